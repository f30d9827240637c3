"""The random numbers of a training step, drawn before the step computes anything."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor

from sklearn_bigan._data.augmentation import ViewDraws
from sklearn_bigan._runtime.distributed import shard


class Draws(NamedTuple):
    """Random numbers of a step; the leading axes are sets (rows, neighbours or views) and rows.

    A step is then a pure function of weights, batch and draws: sharing it between processes,
    compiling it, recording it as a CUDA graph and testing it need no machinery for randomness.
    """

    z: Tensor  # (n_sets, batch, latent_dim), from the prior
    eps: Tensor | None = None  # (n_sets, batch, latent_dim), noise of the Gaussian posterior
    views: ViewDraws | None = None  # augmentation of (1, batch) images

    def shard(self, rank: int, size: int) -> "Draws":
        """Return the part of one of `size` processes."""
        part: Draws = map_tensors(
            lambda drawn: shard(drawn.transpose(0, 1), rank, size).transpose(0, 1), self
        )
        return part


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to every tensor of draws or of a batch, keeping the structure."""
    if value is None or isinstance(value, Tensor):
        return None if value is None else function(value)
    return type(value)(*(map_tensors(function, part) for part in value))


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of draws or of a batch, in the order of `map_tensors`."""
    if isinstance(value, Tensor):
        yield value
    elif value is not None:
        for part in value:
            yield from tensors(part)
