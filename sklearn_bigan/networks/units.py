"""The units that networks see unbounded rows in, so that X may be of any scale, as for PCA."""

import torch
from torch import Tensor, nn


class Inward(nn.Module):
    """(x - mean) / std, with the mean of each column and one std for all.

    Adam's steps are as long whatever the rows' scale: without this the weights of a last layer
    could not reach rows of a million.

    Parameters
    ----------
    x_mean : Tensor of shape (n_features,)
        Mean of the training data.
    x_std : float
        Root of the mean variance of its columns. Columns keep their shares of the variance.
    """

    def __init__(self, x_mean: Tensor, x_std: float) -> None:
        super().__init__()
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", -x_mean / x_std)
        self.register_buffer("scale", torch.tensor([1 / x_std], dtype=x_mean.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """From rows to the networks' units."""
        return torch.addcmul(self.shift, x, self.scale)


class Outward(nn.Module):
    """mean + std * y, the way back; see `Inward`."""

    def __init__(self, x_mean: Tensor, x_std: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", x_mean.clone())
        self.register_buffer("std", torch.tensor([x_std], dtype=x_mean.dtype))

    def forward(self, y: Tensor) -> Tensor:
        """From the networks' units to rows."""
        return torch.addcmul(self.mean, y, self.std)
