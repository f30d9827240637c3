"""Private randomness: seed streams and generators of a fit."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
import torch

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
