"""Private randomness, and settings of the process under which training has the same bits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.backends import cudnn

# torch's default generators belong to the process. Whoever seeds them holds this lock, so that
# fits in several threads neither see nor disturb each other's state.
_DEFAULT_GENERATORS = threading.RLock()


class Stream(IntEnum):
    """The independent random streams of a fit, all derived from its seed by `child_seed`."""

    WEIGHTS = 0  # initial weights and prior means
    ORDER = 1  # of the rows, and the choice of neighbours
    DRAWS = 2  # draws from the prior, reparameterisation noise, augmentation
    DROPOUT = 3  # what networks draw from torch's default generator
    BLOCKS = 4  # which rows share a block, and the order of blocks
    GRAPH = 5  # randomised PCA of the nearest-neighbour graph
    DIAGNOSTICS = 6  # rows and draws for the diagnostics of each epoch
    FINISH = 7  # rows and draws for batch statistics and the prior's fit after training
    TRIAL = 8  # rows and draws that users' networks are tried on before training


def child_seed(seed: int, *path: int) -> int:
    """Derive one of the independent seeds below `seed`, named by a path of integers."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1)[0])


def generator_on(device: torch.device, seed: int) -> torch.Generator:
    """Return a private generator on the device."""
    return torch.Generator(device).manual_seed(seed)


@contextmanager
def default_generators_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's default generators of the CPU and the device; restore them at the end.

    Weight initialisation and dropout take no generator: their draws are made inside.
    """
    # States are set, not seeds: torch.manual_seed would reseed every device of the machine.
    with _DEFAULT_GENERATORS:
        before = default_states(device)
        try:
            places = dict.fromkeys([torch.device("cpu"), device])
            set_default_states(device, [generator_on(p, seed).get_state() for p in places])
            yield
        finally:
            set_default_states(device, before)


def default_states(device: torch.device) -> list[Tensor]:
    """Return the states of torch's default generators of the CPU and, if another, the device."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state(*_place(device)))
    return states


def set_default_states(device: torch.device, states: list[Tensor]) -> None:
    """Set what `default_states` returned."""
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1], *_place(device))


def _place(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # torch.mps knows one device only


class _Shared:
    """A setting of the process that several threads may want at once.

    The first thread to enter saves the old setting, the last to leave restores it.
    """

    def __init__(self, setting: Callable[[], AbstractContextManager[Any]]) -> None:
        self.setting = setting
        self.lock = threading.Lock()
        self.inside = 0

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        with self.lock:
            if self.inside == 0:
                self.held = self.setting()
                self.before = self.held.__enter__()
            self.inside += 1
        try:
            yield self.before
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.held.__exit__(None, None, None)


@contextmanager
def _default_dtype() -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield before
    torch.set_default_dtype(before)


@contextmanager
def _pools_and_cudnn() -> Iterator[int]:
    n_threads, before = torch.get_num_threads(), (cudnn.deterministic, cudnn.benchmark)
    cudnn.deterministic, cudnn.benchmark = True, False
    with threadpool_limits(1):
        yield n_threads
    cudnn.deterministic, cudnn.benchmark = before


# Makes new tensors float32 whatever the caller's default dtype is; draws depend on it, too.
float32_by_default = _Shared(_default_dtype)
_PINNED = _Shared(_pools_and_cudnn)


@contextmanager
def deterministic(n_threads: int = 1) -> Iterator[None]:
    """Use a fixed number of CPU threads, and cuDNN's deterministic kernels.

    Sums over a batch depend on the number of threads in their last bits, and joblib's workers have
    fewer threads than the process that started them: only a fixed number gives the same bits in
    every worker. `n_threads` are torch's; BLAS and scikit-learn use one.
    """
    with _PINNED() as before:
        torch.set_num_threads(n_threads)  # a setting of each Python thread
        try:
            yield
        finally:
            torch.set_num_threads(before)
