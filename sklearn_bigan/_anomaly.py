"""What tells outliers from other rows: trained networks' distances, and an isolation forest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.utils import check_random_state
from torch import Tensor

from sklearn_bigan._forest import ForestScore
from sklearn_bigan._training.net import BiGANNet
from sklearn_bigan.networks.bigan import BiGAN

# Weight of the discriminator's term in EGBAD's anomaly score.
EGBAD_WEIGHT = 0.1

# The interquartile range of a normal distribution with standard deviation 1.
NORMAL_IQR = 1.349

# Distances are fitted to at most this many random rows, which bounds the memory that they take.
MAX_ROWS = 20_000

# A smaller distance is rounding, and has no logarithm of interest.
LEAST_DISTANCE = 1e-6

# A column whose spread is below this share of the largest is constant but for rounding, and so is
# a direction of the hidden features whose variance is below this share of the largest.
LEAST_SPREAD, LEAST_VARIANCE = 1e-6, 1e-6


class Encoded(NamedTuple):
    """Standardised rows and what the encoder's body makes of them, once for all distances."""

    x: Tensor
    hidden: Tensor  # what codes are computed from
    pooled: Tensor  # the hidden features that `transform` returns

    @classmethod
    def of(cls, bigan: BiGAN, x: Tensor) -> Self:
        """Run the encoder's body."""
        return cls(x, *bigan.averaged.encoder.hidden_and_pooled(x))


Distance = Callable[[BiGAN, Encoded], Tensor]  # of each row, (batch,), at least 0


def egbad(bigan: BiGAN, rows: Encoded) -> Tensor:
    """Return EGBAD's anomaly score of each row (Zenati et al. 2018, section 3), (batch,).

    0.9 * ||x - G(E(x))||_1 + 0.1 * ||f(x, E(x)) - f(G(E(x)), E(x))||_1, f the layer of D before the
    logit.
    """
    D, x = bigan.discriminator, rows.x
    z_hat, _ = bigan.averaged.encoder.moments(rows.hidden)
    x_hat = bigan.averaged.generator(z_hat)
    gap = D.features((x, z_hat)) - D.features((x_hat, z_hat))
    reconstruction, matching = (x - x_hat).abs().sum(1), gap.abs().sum(1)
    return (1 - EGBAD_WEIGHT) * reconstruction + EGBAD_WEIGHT * matching


@dataclass(frozen=True)
class ColumnDistance:
    """Sum over columns j of log(1 + |x_j - median_j| / spread_j), without the networks.

    The logarithm keeps a single far value from deciding the sum. The spread is the interquartile
    range, in standard deviations of a normal distribution.
    """

    center: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, net: BiGANNet, X: np.ndarray) -> Self:
        """Take medians and spreads of rows in their own units."""
        x = net.standardizer.transform(X)
        return cls(*robust_units(x))

    def __call__(self, bigan: BiGAN, rows: Encoded) -> Tensor:
        """Return the distance of each row."""
        center, spread = (on(rows.x, values) for values in (self.center, self.spread))
        return torch.log1p(((rows.x - center) / spread).abs()).sum(1)


@dataclass(frozen=True)
class HiddenDistance:
    """Mahalanobis distance in the encoder's hidden features, with Ledoit and Wolf's covariance."""

    center: np.ndarray
    whitening: np.ndarray

    @classmethod
    def fit(cls, net: BiGANNet, X: np.ndarray) -> Self:
        """Estimate the covariance of the hidden features of rows in their own units."""
        encoder = net.module_.averaged.encoder
        hidden = net.map_rows(lambda x: encoder.features(x, "hidden"), X)
        fitted = LedoitWolf().fit(hidden.astype(np.float64))
        variances, axes = np.linalg.eigh(fitted.covariance_)
        least = (LEAST_VARIANCE * variances[-1]) or 1.0
        whitening = axes / np.sqrt(np.maximum(variances, least))
        return cls(fitted.location_.astype(np.float32), whitening.astype(np.float32))

    def __call__(self, bigan: BiGAN, rows: Encoded) -> Tensor:
        """Return the distance of each row."""
        center, whitening = (on(rows.x, values) for values in (self.center, self.whitening))
        return torch.linalg.vector_norm((rows.pooled - center) @ whitening, dim=1)


@dataclass(frozen=True)
class AnomalyScore:
    """Mean of the logarithms of distances, each in units of its spread over the training rows.

    The score of the forest, if there is one, counts as a distance.
    """

    distances: tuple[Distance, ...]
    forest: ForestScore | None
    center: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(
        cls,
        net: BiGANNet,
        names: tuple[str, ...],
        forest: ForestScore | None,
        X: np.ndarray,
        seed: int,
    ) -> Self:
        """Fit the distances with these names to rows in their own units."""
        if len(X) > MAX_ROWS:
            X = X[np.sort(check_random_state(seed).choice(len(X), MAX_ROWS, replace=False))]
        distances = tuple(DISTANCES[name](net, X) for name in names)
        return cls(distances, forest, *robust_units(logarithms(distances, forest, net, X)))

    def __call__(self, net: BiGANNet, X: np.ndarray) -> np.ndarray:
        """Return the score of each row in its own units, (n_samples,), float64; higher is odder."""
        logs = logarithms(self.distances, self.forest, net, X)
        return ((logs - self.center) / self.spread).mean(axis=1)


DISTANCES: dict[str, Callable[[BiGANNet, np.ndarray], Distance]] = {
    "columns": ColumnDistance.fit,
    "egbad": lambda net, X: egbad,
    "hidden": HiddenDistance.fit,
}


def logarithms(
    distances: tuple[Distance, ...], forest: ForestScore | None, net: BiGANNet, X: np.ndarray
) -> np.ndarray:
    """Return the logarithms of the distances of each row, (n_samples, n_distances), float64."""

    def of_chunk(x: Tensor) -> Tensor:
        rows = Encoded.of(net.module_, x)
        return torch.stack([distance(net.module_, rows) for distance in distances], dim=1)

    found = net.map_rows(of_chunk, X).astype(np.float64)
    if forest is not None:
        found = np.column_stack([found, forest(X)])
    return np.log(np.maximum(found, LEAST_DISTANCE))


def robust_units(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return median and spread of each column, float32; the spread of a constant column is 1.

    Where more than half of a column is one value, the spread is the standard deviation.
    """
    low, center, high = np.percentile(x, (25, 50, 75), axis=0)
    spread, deviation = (high - low) / NORMAL_IQR, x.std(axis=0, dtype=np.float64)
    spread = np.where(spread > LEAST_SPREAD * deviation, spread, deviation)
    spread = np.where(spread > LEAST_SPREAD * spread.max(), spread, 1.0)
    return center.astype(np.float32), spread.astype(np.float32)


def on(x: Tensor, values: np.ndarray) -> Tensor:
    """Return values as a tensor where x is."""
    return torch.from_numpy(values).to(x.device)
