"""Priors p(z), and how the encoder's output is brought into their range."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


class NormalPrior:
    """p(z) = N(0, I); codes are unbounded."""

    @staticmethod
    def sample(
        n_samples: int, latent_dim: int, generator: torch.Generator, device: torch.device
    ) -> Tensor:
        """Draw z of shape (n_samples, latent_dim)."""
        return torch.randn(n_samples, latent_dim, generator=generator, device=device)

    @staticmethod
    def squash(location: Tensor) -> Tensor:
        """Leave the encoder's output as it is: it already has the range of the prior."""
        return location

    @staticmethod
    def moments(location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of N(location, scale^2), each (batch, latent_dim)."""
        return location, scale

    @staticmethod
    def regression_loss(location: Tensor, z: Tensor) -> Tensor:
        """Half the squared error, the mean over batch and components."""
        return 0.5 * (location - z).square().mean()


class UniformPrior:
    """p(z) = U(-1, 1) in each component; codes are squashed into (-1, 1) by tanh."""

    # tanh of a Gaussian has no closed moments. 64 Gauss-Hermite nodes give them within 1e-4 for
    # scales up to 2 and within 6e-3 for scales up to 4, where codes have long left their range.
    _nodes, _weights = np.polynomial.hermite_e.hermegauss(64)

    @staticmethod
    def sample(
        n_samples: int, latent_dim: int, generator: torch.Generator, device: torch.device
    ) -> Tensor:
        """Draw z of shape (n_samples, latent_dim)."""
        return torch.rand(n_samples, latent_dim, generator=generator, device=device) * 2 - 1

    @staticmethod
    def squash(location: Tensor) -> Tensor:
        """Bring the encoder's output into (-1, 1)."""
        return torch.tanh(location)

    @classmethod
    def moments(cls, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of tanh(N(location, scale^2)), each (batch, latent_dim)."""
        # Deviations from tanh(location), not z itself: the variance of a sure encoder would be
        # lost in the difference of two numbers near 1.
        centre = torch.tanh(location)
        first, second = torch.zeros_like(centre), torch.zeros_like(centre)
        for node, weight in zip(cls._nodes, cls._weights / cls._weights.sum(), strict=True):
            deviation = torch.tanh(location + scale * float(node)) - centre
            first += float(weight) * deviation
            second += float(weight) * deviation.square()
        return centre + first, (second - first.square()).clamp(min=0).sqrt()

    @staticmethod
    def regression_loss(location: Tensor, z: Tensor) -> Tensor:
        """Cross-entropy of z and its estimate, both rescaled to [0, 1] as in BiGAN's code.

        (1 + tanh(a)) / 2 = sigmoid(2 a), hence the logits.
        """
        return binary_cross_entropy_with_logits(2 * location, (z + 1) / 2)


Prior = type[NormalPrior] | type[UniformPrior]
PRIORS: dict[str, Prior] = {"normal": NormalPrior, "uniform": UniformPrior}
