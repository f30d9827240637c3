"""Private randomness: seed streams and generators of a fit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

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
