"""The random numbers of a training step, drawn before the step computes anything."""

from typing import NamedTuple

from torch import Tensor

from sklearn_bigan._data.augmentation import ViewDraws
from sklearn_bigan._runtime.distributed import shard


class Draws(NamedTuple):
    """Random numbers of a step; the leading axes are sets (rows, partners or views) and rows.

    A step is then a pure function of weights, batch and draws: sharing it between processes,
    compiling it, recording it as a CUDA graph and testing it need no machinery for randomness.

    Attributes
    ----------
    z : Tensor of shape (n_sets, batch, latent_dim)
        Draws from the prior.
    eps : Tensor of shape (n_sets, batch, latent_dim) or None
        Noise of the Gaussian posterior.
    views : ViewDraws or None
        Augmentation of (2, batch) images.
    """

    z: Tensor
    eps: Tensor | None = None
    views: ViewDraws | None = None

    def shard(self, rank: int, size: int) -> "Draws":
        """Return the part of one of `size` processes."""

        def part(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            return shard(tensor.transpose(0, 1), rank, size).transpose(0, 1)

        views = None if self.views is None else ViewDraws(*map(part, self.views))
        z = part(self.z)
        assert z is not None
        return Draws(z, part(self.eps), views)
