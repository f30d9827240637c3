"""Randomness that is ours alone, and the same at any number of threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.backends import cudnn

# torch's default generators belong to the process. Whoever must seed them holds this lock, so
# that fits in several threads neither see nor spoil each other's state.
_DEFAULT_GENERATORS = threading.RLock()


def child_seed(seed: int, *path: int) -> int:
    """One of the independent seeds that hang below `seed`, named by a path of integers."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1)[0])


def generator_on(device: torch.device, seed: int) -> torch.Generator:
    """Return a private generator on the device."""
    return torch.Generator(device).manual_seed(seed)


@contextmanager
def default_generators_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's default generators of the CPU and of the device; put them back at the end.

    Weight initialisation and dropout take no generator: what they draw is drawn in here.
    """
    # States are set, not seeds: torch.manual_seed would reseed every device of the machine.
    owners: list[tuple[torch.device, Callable[[], Any], Callable[[Any], None]]] = [
        (torch.device("cpu"), torch.get_rng_state, torch.set_rng_state)
    ]
    if device.type != "cpu":
        module = torch.get_device_module(device)
        where = () if device.type == "mps" else (device,)  # torch.mps knows one device only
        owners.append(
            (
                device,
                lambda: module.get_rng_state(*where),
                lambda state: module.set_rng_state(state, *where),
            )
        )
    with _DEFAULT_GENERATORS:
        before = [get_state() for _, get_state, _ in owners]
        try:
            for place, _, set_state in owners:
                set_state(generator_on(place, seed).get_state())
            yield
        finally:
            for (_, _, set_state), state in zip(owners, before, strict=True):
                set_state(state)


class _Shared:
    """A setting of the process for as long as anybody wants it, fits in other threads among them.

    The first to come remembers how the process was set, the last to go sets it so again.
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


# Makes new tensors float32, whatever the caller has them be: draws depend on it, too.
float32_by_default = _Shared(_default_dtype)
_PINNED = _Shared(_pools_and_cudnn)


@contextmanager
def repeatable() -> Iterator[None]:
    """Run on the CPU on one thread, torch's kernels, BLAS and scikit-learn's, and as cuDNN repeats.

    Batch statistics and means are summed in another order by another number of threads, and
    joblib's workers have fewer threads than the process that started them: only a fixed number
    gives the same bits at every n_jobs. On steps as small as ours a second thread gains little.
    Some of cuDNN's convolutions sum in another order each time.
    """
    with _PINNED() as n_threads:
        torch.set_num_threads(1)  # each thread has a number of its own
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)
