"""Priors p(z), and how the encoder's output is brought into their range."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

# Codes that are drawn at a time.
CHUNK_ROWS = 1024

# Share of the identity in a fitted correlation matrix.
RIDGE = 1e-6


class NormalPrior(nn.Module):
    """p(z) = N(0, I); codes are unbounded."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draw z, (n_samples, latent_dim), on the generator's device."""
        shape = (n_samples, self.latent_dim)
        return torch.randn(shape, generator=generator, device=generator.device)

    def squash(self, location: Tensor) -> Tensor:
        """Return the encoder's output unchanged: it already has the range of the prior."""
        return location

    def moments(self, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of N(location, scale^2), each (batch, latent_dim)."""
        return location, scale

    def regression_loss(self, location: Tensor, z: Tensor) -> Tensor:
        """Half the squared error, averaged over batch and components."""
        return 0.5 * (location - z).square().mean()


class MixturePrior(NormalPrior):
    """p(z): a mixture of Gaussian clusters, equally likely and of equal width during training.

    After training the clusters can be fitted to the codes, see `fit`. Draws from a cluster are its
    mean plus `stds` times correlated normal noise; `correlations` holds the Cholesky factors.
    """

    # Radius of a cluster as a share of the distance between neighbouring means.
    SPREAD = 1 / 3
    # k-means iterations on draws of N(0, I), and the number of draws per mean and in all.
    N_ITERATIONS, DRAWS_PER_MEAN, MAX_DRAWS = 20, 50, 20_000
    # k-means iterations from the clusters of the game to those of the codes.
    N_FIT_ITERATIONS = 3
    # Up to this number of components clusters have correlations of their own: 3 MB for 50 of them.
    MAX_CORRELATED = 128

    def __init__(self, latent_dim: int, n_clusters: int) -> None:
        super().__init__(latent_dim)
        self.means: Tensor
        self.stds: Tensor
        self.correlations: Tensor
        self.cumulative_weights: Tensor
        self.register_buffer("means", torch.zeros(n_clusters, latent_dim))
        self.register_buffer("stds", torch.ones(n_clusters, latent_dim))
        self.register_buffer("correlations", self._uncorrelated())
        # Cluster k is chosen by uniform draws between cumulative weights k - 1 and k.
        self.register_buffer("cumulative_weights", torch.arange(1, n_clusters + 1) / n_clusters)

    def _uncorrelated(self) -> Tensor:
        n_clusters, latent_dim = self.means.shape
        size = latent_dim if latent_dim <= self.MAX_CORRELATED else 0
        return torch.eye(size).repeat(n_clusters, 1, 1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # States of earlier versions have no correlations.
        state_dict.setdefault(f"{prefix}correlations", self._uncorrelated())
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def initialise(self) -> None:
        """Spread the means evenly, by k-means on draws of N(0, I), and set the width.

        The means have unit variance in all; the width follows from their distance. Draws come from
        torch's default generator, as initial weights do.
        """
        n_clusters, latent_dim = self.means.shape
        n_draws = max(n_clusters, min(self.DRAWS_PER_MEAN * n_clusters, self.MAX_DRAWS))
        draws = torch.randn(n_draws, latent_dim)
        means = draws[:n_clusters]
        for _ in range(self.N_ITERATIONS):
            nearest = torch.cdist(draws, means).argmin(1)
            count = nearest.bincount(minlength=n_clusters).unsqueeze(1)
            sums = torch.zeros_like(means).index_add_(0, nearest, draws)
            # A mean without draws stays where it is.
            means = torch.where(count > 0, sums / count.clamp(min=1), means)
        means = means - means.mean(0)
        means = means / means.square().mean().sqrt().clamp(min=1e-6)
        distances = torch.cdist(means, means).fill_diagonal_(math.inf).amin(1)
        gap = float(distances.median()) if n_clusters > 1 else math.sqrt(latent_dim)
        self.means.copy_(means)
        self.stds.fill_(self.SPREAD * gap / math.sqrt(latent_dim))

    def sample(
        self, n_samples: int, generator: torch.Generator, cluster: int | None = None
    ) -> Tensor:
        """Draw z, (n_samples, latent_dim), from all clusters or from one."""
        eps = super().sample(n_samples, generator)
        if cluster is not None:
            clusters = torch.full((n_samples,), cluster, device=eps.device)
        else:
            uniform = torch.rand(n_samples, generator=generator, device=generator.device)
            clusters = torch.searchsorted(self.cumulative_weights, uniform, right=True)
        if self.correlations.numel() and not self.training:
            # The prior of the training has none. In chunks, since each row takes a matrix.
            rows = zip(*(torch.split(drawn, CHUNK_ROWS) for drawn in (clusters, eps)), strict=True)
            eps = torch.cat([torch.einsum("nij,nj->ni", self.correlations[k], e) for k, e in rows])
        return self.means[clusters] + self.stds[clusters] * eps

    def cluster(self, z: Tensor) -> Tensor:
        """Return the cluster with the nearest mean for each code, (batch,)."""
        return torch.cdist(z, self.means).argmin(1)

    @torch.no_grad()
    def fit(self, chunks: Sequence[Tensor]) -> None:
        """Fit weights, means and covariances to codes, by a few k-means iterations.

        Training brings codes near the clusters, but does not fill all of them equally, nor each to
        its width, nor in all directions alike. Where there are no codes, G was trained by D's
        extrapolation alone.
        """
        n_clusters = len(self.means)
        for _ in range(self.N_FIT_ITERATIONS):
            count = torch.zeros(n_clusters, 1, device=self.means.device)
            total = torch.zeros_like(self.means)
            for z in chunks:
                nearest = self.cluster(z)
                members = one_hot(nearest, n_clusters).to(z.dtype)
                count += members.sum(0).unsqueeze(1)
                # Deviations from the old means: sums of z would lose digits.
                total += members.T @ (z - self.means[nearest])
            self.means.add_(total / count.clamp(min=1))
        count, scatter = self._scatter(chunks)
        shares = count.cumsum(0)
        self.cumulative_weights.copy_(shares / shares[-1])
        self._fit_covariances(count, scatter)

    def _scatter(self, chunks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Count each cluster's codes, and sum (z - mean) (z - mean)^T over them, in float64.

        Where clusters have no correlations, the sums are those of the squares alone.
        """
        correlated = self.correlations.numel() > 0
        means = self.means.cpu().double()
        sums = torch.zeros_like(self.correlations if correlated else self.means).cpu().double()
        count = torch.zeros(len(means), dtype=torch.float64)
        for z in chunks:
            nearest, codes = self.cluster(z).cpu(), z.cpu().double()
            count += nearest.bincount(minlength=len(means))
            for k, mean in enumerate(means):
                deviation = codes[nearest == k] - mean
                sums[k] += deviation.T @ deviation if correlated else deviation.square().sum(0)
        return count, sums

    def _fit_covariances(self, count: Tensor, scatter: Tensor) -> None:
        """Set widths and correlations from what `_scatter` returns.

        A cluster's covariance is shrunk towards that of all clusters, which counts as one code for
        each component, so that few codes leave no direction without width. In the covariance of
        all the width of the training counts as one code.
        """
        latent_dim, correlated = self.means.shape[1], scatter.ndim == 3
        width = self.stds[0].cpu().double().square()
        width = torch.diag(width) if correlated else width
        n_codes = count.view(-1, *[1] * (scatter.ndim - 1))
        pooled = (scatter.sum(0) + width) / (count.sum() + 1)
        covariance = (scatter + latent_dim * pooled) / (n_codes + latent_dim)
        variances = covariance.diagonal(dim1=1, dim2=2) if correlated else covariance
        stds = variances.sqrt()
        self.stds.copy_(stds)
        if correlated:
            correlation = covariance / (stds.unsqueeze(2) * stds.unsqueeze(1))
            # Rounding must not make it indefinite where components depend on each other.
            identity = torch.eye(latent_dim, dtype=torch.float64)
            correlation = torch.lerp(correlation, identity.expand_as(correlation), RIDGE)
            self.correlations.copy_(torch.linalg.cholesky(correlation))


class UniformPrior(nn.Module):
    """p(z) = U(-1, 1) in each component; codes are squashed into (-1, 1) by tanh."""

    # tanh of a Gaussian has no closed moments. 64 Gauss-Hermite nodes give them within 1e-4 for
    # scales up to 2 and within 6e-3 for scales up to 4, far outside the range of codes.
    _nodes, _weights = np.polynomial.hermite_e.hermegauss(64)

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draw z, (n_samples, latent_dim), on the generator's device."""
        shape = (n_samples, self.latent_dim)
        return torch.rand(shape, generator=generator, device=generator.device) * 2 - 1

    def squash(self, location: Tensor) -> Tensor:
        """Bring the encoder's output into (-1, 1)."""
        return torch.tanh(location)

    def moments(self, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of tanh(N(location, scale^2)), each (batch, latent_dim)."""
        # Deviations from tanh(location), not z itself: a small variance would be lost in the
        # difference of two numbers near 1.
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
    """Make a prior by its name; the clusters of a mixture are not spread yet."""
    if name == "mixture":
        return MixturePrior(latent_dim, n_clusters)
    return NormalPrior(latent_dim) if name == "normal" else UniformPrior(latent_dim)
