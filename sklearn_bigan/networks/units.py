"""The units that networks see unbounded rows in, so that X may be of any scale."""

import torch
from torch import Tensor, nn


class Inward(nn.Module):
    """(x - mean) / unit, column by column.

    Adam's steps are as long whatever the rows' scale: without this the weights of a last layer
    could not reach rows of a million.

    Parameters
    ----------
    x_mean : Tensor of shape (n_features,)
        Mean of the training data.
    x_unit : Tensor of shape (n_features,)
        What counts as 1 in each column.
    """

    def __init__(self, x_mean: Tensor, x_unit: Tensor) -> None:
        super().__init__()
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", -x_mean / x_unit)
        self.register_buffer("scale", 1 / x_unit)

    def forward(self, x: Tensor) -> Tensor:
        """From rows to the networks' units."""
        return torch.addcmul(self.shift, x, self.scale)


class Outward(nn.Module):
    """mean + unit * y, the way back; see `Inward`."""

    def __init__(self, x_mean: Tensor, x_unit: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.unit: Tensor
        self.register_buffer("mean", x_mean.clone())
        self.register_buffer("unit", x_unit.clone())

    def forward(self, y: Tensor) -> Tensor:
        """From the networks' units to rows."""
        return torch.addcmul(self.mean, y, self.unit)
