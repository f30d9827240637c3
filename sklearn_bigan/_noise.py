"""Random numbers for the rows of a batch, from a private generator."""

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Request(NamedTuple):
    """What was asked for."""

    draw: Callable[..., Tensor]
    n_rows: int
    shape: tuple[int, ...]


class Noise:
    """Draws for as many rows as are asked for.

    Where several processes share a batch, each draws for all of its rows and keeps what is for
    its own: together they draw what one process would.

    Parameters
    ----------
    device : torch.device
        Where draws are made.
    seed : int
        Of the generator.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.rank, self.size = 0, 1

    def shared(self, rank: int, size: int) -> "Noise":
        """Return the same source for this process's part of batches that `size` of them share."""
        noise = copy.copy(self)
        noise.rank, noise.size = rank, size
        return noise

    def normal(self, n_rows: int, *shape: int) -> Tensor:
        """Draw from N(0, 1), (n_rows, *shape)."""
        return self.answer(Request(torch.randn, n_rows, shape))

    def uniform(self, n_rows: int, *shape: int) -> Tensor:
        """Draw from U(0, 1), (n_rows, *shape)."""
        return self.answer(Request(torch.rand, n_rows, shape))

    def answer(self, request: Request) -> Tensor:
        """Draw what is asked for, (n_rows, *shape)."""
        size = (request.n_rows * self.size, *request.shape)
        draws = request.draw(size, generator=self.generator, device=self.device)
        return part(draws, self.rank, self.size)


class Overheard(Noise):
    """The same source, and a list of what it was asked for."""

    def __init__(self, noise: Noise) -> None:
        vars(self).update(vars(noise))
        self.requests: list[Request] = []

    def answer(self, request: Request) -> Tensor:
        """Draw, and remember the request."""
        self.requests.append(request)
        return super().answer(request)


class Drawn(Noise):
    """Hands out what was drawn before, in that order."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self.draws = iter(draws)

    def answer(self, request: Request) -> Tensor:
        """Return the next of the draws."""
        return next(self.draws)


def part(rows: Tensor, rank: int, size: int) -> Tensor:
    """Return one of `size` equal parts of a batch, of either of its halves a part.

    The halves are rows and their partners, where there are any: a row stays with its own.
    """
    if size == 1:
        return rows
    return rows.view(2, size, -1, *rows.shape[1:])[:, rank].flatten(0, 1)
