"""The generator: a body, an output bias that starts at the data's mean, an activation.

The bias of images stays at their mean.
"""

import torch
from torch import Tensor, nn

from sklearn_bigan.networks.body import Network

# Keeps the log-odds of columns that are always 0 or always 1 finite.
MARGIN = 1e-3

# Range of each output activation, which X must lie in; None is unbounded.
OUTPUT_RANGES: dict[str, tuple[float, float] | None] = {
    "identity": None,
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
ACTIVATIONS = {"identity": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def inverse_activation(x_mean: Tensor, output_activation: str) -> Tensor:
    """Return the bias b with activation(b) = x_mean."""
    if output_activation == "sigmoid":
        return torch.logit(x_mean, eps=MARGIN)
    if output_activation == "tanh":
        return torch.atanh(x_mean.clamp(-1 + MARGIN, 1 - MARGIN))
    return x_mean.clone()


class Generator(Network):
    """G : z -> x, with a body from z (batch, latent_dim) to (batch, n_features) once flattened."""

    role = "generator"

    bias: Tensor

    def __init__(
        self, body: nn.Module, n_features: int, output_activation: str, *, fixed_bias: bool
    ) -> None:
        super().__init__(body, n_features)
        self.output_activation = output_activation
        bias = torch.zeros(n_features)
        # Trained for each pixel, the bias of images learns a grid (benchmarks/README.md, Images).
        if fixed_bias:
            self.register_buffer("bias", bias)
        else:
            self.bias = nn.Parameter(bias)
        self.activation = ACTIVATIONS[output_activation]()

    @torch.no_grad()
    def initialise_bias(self, x_mean: Tensor) -> None:
        """Start the output bias at the mean of the data, as ALI's code does.

        The first samples then already lie where the data lie.
        """
        self.bias.copy_(inverse_activation(x_mean, self.output_activation))

    def forward(self, z: Tensor) -> Tensor:
        """x_hat = G(z), (batch, n_features)."""
        return self.activation(self.run_body(z) + self.bias)
