"""Priors p(z), and how the encoder's output is brought into their range."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from sklearn_bigan._noise import Noise


class NormalPrior(nn.Module):
    """p(z) = N(0, I); codes are unbounded."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def sample(self, n_samples: int, noise: Noise) -> Tensor:
        """Draw z of shape (n_samples, latent_dim)."""
        return noise.normal(n_samples, self.latent_dim)

    def squash(self, location: Tensor) -> Tensor:
        """Leave the encoder's output as it is: it already has the range of the prior."""
        return location

    def moments(self, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of N(location, scale^2), each (batch, latent_dim)."""
        return location, scale

    def regression_loss(self, location: Tensor, z: Tensor) -> Tensor:
        """Half the squared error, the mean over batch and components."""
        return 0.5 * (location - z).square().mean()


class MixturePrior(NormalPrior):
    """p(z): Gaussian clusters; equally likely and of equal width while the game goes on.

    The means are drawn once, spread as evenly as in a space-filling sample of N(0, I) and scaled
    to unit variance in all; the width follows from their distance. After the game the clusters
    can be fitted to the codes there are.
    """

    # A cluster's typical radius, as a share of the distance between neighbouring means.
    SPREAD = 1 / 3
    # Steps of Lloyd's algorithm, and the draws of N(0, I) for each mean that it runs on, at most
    # so many in all.
    LLOYD_STEPS, LLOYD_DRAWS, MOST_DRAWS = 20, 50, 20_000
    # Such steps from the game's clusters to those of the codes.
    FIT_STEPS = 3

    def __init__(self, latent_dim: int, n_clusters: int) -> None:
        super().__init__(latent_dim)
        n_draws = max(n_clusters, min(self.LLOYD_DRAWS * n_clusters, self.MOST_DRAWS))
        draws = torch.randn(n_draws, latent_dim)
        means = draws[:n_clusters]
        for _ in range(self.LLOYD_STEPS):
            nearest = torch.cdist(draws, means).argmin(1)
            count = nearest.bincount(minlength=n_clusters).unsqueeze(1)
            sums = torch.zeros_like(means).index_add_(0, nearest, draws)
            # A mean that no draw is nearest to stays where it is.
            means = torch.where(count > 0, sums / count.clamp(min=1), means)
        means = means - means.mean(0)
        means = means / means.square().mean().sqrt().clamp(min=1e-6)
        distances = torch.cdist(means, means).fill_diagonal_(math.inf).amin(1)
        gap = float(distances.median()) if n_clusters > 1 else math.sqrt(latent_dim)
        std = self.SPREAD * gap / math.sqrt(latent_dim)
        self.means: Tensor
        self.stds: Tensor
        self.edges: Tensor
        self.register_buffer("means", means)
        self.register_buffer("stds", torch.full_like(means, std))
        # Cluster k takes what a uniform draw puts between edge k - 1 and edge k.
        self.register_buffer("edges", torch.arange(1, n_clusters + 1) / n_clusters)

    def sample(self, n_samples: int, noise: Noise, cluster: int | None = None) -> Tensor:
        """Draw z of shape (n_samples, latent_dim), from all clusters or from one."""
        eps = super().sample(n_samples, noise)
        if cluster is not None:
            return self.means[cluster] + self.stds[cluster] * eps
        clusters = torch.searchsorted(self.edges, noise.uniform(n_samples), right=True)
        return self.means[clusters] + self.stds[clusters] * eps

    def cluster(self, z: Tensor) -> Tensor:
        """Return each code's cluster, (batch,): that of the nearest mean."""
        return torch.cdist(z, self.means).argmin(1)

    def fit(self, chunks: Sequence[Tensor]) -> None:
        """Take the clusters' shares, means and widths from codes, by a few of Lloyd's steps.

        The game brings codes near the clusters, but it does not fill all of them alike, nor each
        to its width; where there are no codes, G has learned from D's guesses alone.
        """
        width = self.stds.square()
        n_clusters = len(self.means)
        for _ in range(self.FIT_STEPS):
            count = torch.zeros(n_clusters, 1, device=self.means.device)
            first, second = torch.zeros_like(self.means), torch.zeros_like(self.means)
            for z in chunks:
                nearest = self.cluster(z)
                members = one_hot(nearest, n_clusters).to(z.dtype)
                # From the old means, which are near: sums of squares of z would lose the width.
                deviation = z - self.means[nearest]
                count += members.sum(0).unsqueeze(1)
                first += members.T @ deviation
                second += members.T @ deviation.square()
            shift = first / count.clamp(min=1)
            # The game's width counts for one code: no cluster shrinks to the code of one row.
            variance = (second - count * shift.square() + width) / (count + 1)
            self.means.add_(shift)
            self.stds.copy_(variance.clamp(min=0).sqrt())
        total = count.squeeze(1).cumsum(0)
        self.edges.copy_(total / total[-1])


class UniformPrior(nn.Module):
    """p(z) = U(-1, 1) in each component; codes are squashed into (-1, 1) by tanh."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    # tanh of a Gaussian has no closed moments. 64 Gauss-Hermite nodes give them within 1e-4 for
    # scales up to 2 and within 6e-3 for scales up to 4, where codes have long left their range.
    _nodes, _weights = np.polynomial.hermite_e.hermegauss(64)

    def sample(self, n_samples: int, noise: Noise) -> Tensor:
        """Draw z of shape (n_samples, latent_dim)."""
        return noise.uniform(n_samples, self.latent_dim) * 2 - 1

    def squash(self, location: Tensor) -> Tensor:
        """Bring the encoder's output into (-1, 1)."""
        return torch.tanh(location)

    def moments(self, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of tanh(N(location, scale^2)), each (batch, latent_dim)."""
        # Deviations from tanh(location), not z itself: the variance of a sure encoder would be
        # lost in the difference of two numbers near 1.
        centre = torch.tanh(location)
        first, second = torch.zeros_like(centre), torch.zeros_like(centre)
        for node, weight in zip(self._nodes, self._weights / self._weights.sum(), strict=True):
            deviation = torch.tanh(location + scale * float(node)) - centre
            first += float(weight) * deviation
            second += float(weight) * deviation.square()
        return centre + first, (second - first.square()).clamp(min=0).sqrt()

    def regression_loss(self, location: Tensor, z: Tensor) -> Tensor:
        """Cross-entropy of z and its estimate, both rescaled to [0, 1] as in BiGAN's code.

        (1 + tanh(a)) / 2 = sigmoid(2 a), hence the logits.
        """
        return binary_cross_entropy_with_logits(2 * location, (z + 1) / 2)


Prior = NormalPrior | MixturePrior | UniformPrior
PRIORS = ("normal", "uniform", "mixture")


def make_prior(name: str, latent_dim: int, n_clusters: int) -> Prior:
    """Make a prior, its parameters drawn from torch's global generator."""
    if name == "mixture":
        return MixturePrior(latent_dim, n_clusters)
    return NormalPrior(latent_dim) if name == "normal" else UniformPrior(latent_dim)
