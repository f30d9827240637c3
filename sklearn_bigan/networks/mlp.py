"""Multi-layer perceptrons for tables."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# LeakyReLU's slope in the encoder and the discriminator of BiGAN's MNIST networks.
SLOPE = 0.2


def layers(n_in: int, widths: Iterable[int], *, batch_norm: bool) -> list[nn.Module]:
    """Linear, optional BatchNorm, LeakyReLU, once for each width."""
    modules: list[nn.Module] = []
    for width in widths:
        modules.append(nn.Linear(n_in, width, bias=not batch_norm))
        if batch_norm:
            modules.append(nn.BatchNorm1d(width))
        modules.append(nn.LeakyReLU(SLOPE, inplace=True))
        n_in = width
    return modules


def encoder_body(n_features: int, latent_dim: int, widths: tuple[int, ...]) -> nn.Module:
    """From x (batch, n_features) to hidden features (batch, widths[-1])."""
    return nn.Sequential(*layers(n_features, widths, batch_norm=True))


def generator_body(n_features: int, latent_dim: int, widths: tuple[int, ...]) -> nn.Module:
    """From z (batch, latent_dim) to x before bias and activation (batch, n_features)."""
    upwards = widths[::-1]
    return nn.Sequential(
        *layers(latent_dim, upwards, batch_norm=True),
        nn.Linear(upwards[-1], n_features, bias=False),
    )


class PairBody(nn.Module):
    """From x and z, side by side in the first layer, to features (batch, widths[-1]).

    No batch norm: each row's logit depends on that row alone, so that one backward pass through D
    serves both players (see `_objectives.adversarial`). z may have no columns.
    """

    row_independent = True

    def __init__(self, n_features: int, latent_dim: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, *others = widths
        # W_x x + W_z z + b, initialised as one linear layer of (x, z) would be.
        self.from_x = nn.Linear(n_features, first)
        self.from_z = nn.Linear(latent_dim, first, bias=False) if latent_dim else None
        bound = (n_features + latent_dim) ** -0.5
        for weight in self.first_weights():
            nn.init.uniform_(weight, -bound, bound)
        self.layers = nn.Sequential(
            nn.LeakyReLU(SLOPE, inplace=True), *layers(first, others, batch_norm=False)
        )

    def first_weights(self) -> list[nn.Parameter]:
        """Return the weights of the first layer."""
        parts = [self.from_x] if self.from_z is None else [self.from_x, self.from_z]
        return [weight for part in parts for weight in part.parameters()]

    def of_pairs(self, *batches: Tensor) -> Tensor:
        """Features of several batches x, z, x', z', ..., one below the other.

        The first layer is applied to each batch by itself: of the inputs only E(x) and G(z) need
        gradients, and concatenating all inputs first would compute gradients for all of them.
        """
        first = [
            self.from_x(x) if self.from_z is None else self.from_x(x) + self.from_z(z)
            for x, z in zip(batches[::2], batches[1::2], strict=True)
        ]
        return self.layers(torch.cat(first))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Features of the pairs (x, z)."""
        return self.of_pairs(x, z)
