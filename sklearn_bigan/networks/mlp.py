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


class DiscriminatorBody(nn.Module):
    """x and z, side by side from the first layer on, to features (batch, widths[-1]).

    No batch norm: each row's logit depends on that row alone, which is what lets one backward
    pass serve D, E and G (see `_gradients`).
    """

    row_independent = True

    def __init__(self, n_features: int, latent_dim: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers(n_features + latent_dim, widths, batch_norm=False))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Features (batch, widths[-1]) of the pairs (x, z)."""
        return self.layers(torch.cat([x, z], dim=1))
