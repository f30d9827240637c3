"""The generator: a body, an output bias that starts at the data's marginal, an activation."""

import torch
from torch import Tensor, nn

from sklearn_bigan.networks.units import Outward

# Keeps the log-odds of columns that are always 0 or always 1 finite.
MARGIN = 1e-3

# What the activation can reach; X must lie in it. None: everything.
OUTPUT_RANGES: dict[str, tuple[float, float] | None] = {
    "identity": None,
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}


def marginal_bias(x_mean: Tensor, output_activation: str) -> Tensor:
    """Bias b with activation(b) = x_mean: its log-odds, its inverse tanh, or in its units 0."""
    if output_activation == "sigmoid":
        return torch.logit(x_mean, eps=MARGIN)
    if output_activation == "tanh":
        return torch.atanh(x_mean.clamp(-1 + MARGIN, 1 - MARGIN))
    return torch.zeros_like(x_mean)


class Generator(nn.Module):
    """G : z -> x.

    Parameters
    ----------
    body : nn.Module
        Maps z (batch, latent_dim) to (batch, n_features) once flattened.
    x_mean : Tensor of shape (n_features,)
        Mean of the data. ALI's code starts the output bias at its log-odds, so that the first
        samples already lie where the data does.
    x_unit : Tensor of shape (n_features,)
        The units of rows that are not bounded.
    output_activation : {"identity", "sigmoid", "tanh"}
        Range of x.
    """

    def __init__(
        self, body: nn.Module, x_mean: Tensor, x_unit: Tensor, output_activation: str
    ) -> None:
        super().__init__()
        self.body = body
        self.bias = nn.Parameter(marginal_bias(x_mean, output_activation))
        self.activation = {
            "identity": Outward(x_mean, x_unit),
            "sigmoid": nn.Sigmoid(),
            "tanh": nn.Tanh(),
        }[output_activation]

    def forward(self, z: Tensor) -> Tensor:
        """x_hat = G(z), (batch, n_features)."""
        return self.activation(self.body(z).flatten(1) + self.bias)
