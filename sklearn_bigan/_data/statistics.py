"""Statistics of the training data's columns, from one pass over X."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from sklearn.utils import assert_all_finite, gen_batches

from sklearn_bigan._data.source import advise_dontneed
from sklearn_bigan._data.standardizer import FLOAT32_MAX, TOO_LARGE, Standardizer

# Rows read at a time.
CHUNK_ROWS = 8192

# Standard deviations outside this range lose the squares of differences in float32.
MIN_STD, MAX_STD = 1e-16, 1e16

# Errors are squared: a column whose unit makes its numbers much larger than all others' would be
# all that is learned. A column's standard deviation therefore counts as at most this multiple of
# the median one. Chosen on raw tables by looking at test rows (benchmarks/README.md, Units).
# Columns in one unit hardly reach it: pixels of digits 1.5, of MNIST 2.4.
MAX_TIMES_MEDIAN = 3.0

# Columns whose standard deviation is below these shares of their mean, or of the largest standard
# deviation, are treated as constant (round-off).
ROUND_OFF, ROUND_OFF_BESIDE_OTHERS = 1e-9, 1e-12


@dataclass(frozen=True)
class ColumnStatistics:
    """Number of rows, mean, variance and range of X.

    `mean` and `variance` (of the population) belong to each column, in float64; `minimum` and
    `maximum` are those of all columns.
    """

    n_rows: int
    mean: np.ndarray
    variance: np.ndarray
    minimum: float
    maximum: float

    @classmethod
    def of(cls, X: np.ndarray, estimator_name: str) -> Self:
        """Compute the statistics in one pass, in float64; ValueError if X has NaN or infinity."""
        chunks = _chunks(X)
        first = next(chunks)
        # Means are computed relative to the first row: in differences of means, a large offset
        # would cost the digits that the variance is made of.
        origin = first[0].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            found = cls._of_chunk(first, origin, estimator_name)
            for chunk in chunks:
                found = found.merge(cls._of_chunk(chunk, origin, estimator_name))
            return replace(found, mean=origin + found.mean)

    @classmethod
    def _of_chunk(cls, x: np.ndarray, origin: np.ndarray, estimator_name: str) -> Self:
        minimum, maximum = float(x.min()), float(x.max())
        if not math.isfinite(minimum) or not math.isfinite(maximum):
            assert_all_finite(x, estimator_name=estimator_name, input_name="X")
        deviations = x - origin
        mean = deviations.mean(axis=0)
        variance = np.square(deviations - mean).mean(axis=0)
        return cls(len(x), mean, variance, minimum, maximum)

    def merge(self, other: "ColumnStatistics") -> Self:
        """Return the statistics of both sets of rows together (Chan et al. 1983)."""
        n_rows = self.n_rows + other.n_rows
        share = other.n_rows / n_rows
        difference = other.mean - self.mean
        between = share * (1 - share) * np.square(difference)
        return type(self)(
            n_rows,
            self.mean + share * difference,
            (1 - share) * self.variance + share * other.variance + between,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )

    def standardizer(self, *, bounded: bool, shared: bool) -> Standardizer:
        """Return what brings rows to the networks' units.

        With a `bounded` output activation rows are left as they are. `shared`: all columns have one
        unit, as pixels do, the root of their mean variance; otherwise columns that vary more than
        MAX_TIMES_MEDIAN allows get larger units. Raises ValueError if float32 cannot hold X, or the
        squares of its columns' variation.
        """
        if max(-self.minimum, self.maximum) > FLOAT32_MAX:
            raise ValueError(TOO_LARGE)
        std = math.sqrt(self.variance.mean())
        constant = std <= ROUND_OFF * np.abs(self.mean).max()
        if not constant and not MIN_STD <= std <= MAX_STD:
            raise ValueError(
                f"The root of the mean variance of X's columns must be in [{MIN_STD:g}, "
                f"{MAX_STD:g}] to be computed with in float32. Got {std:.2g}; rescale X, for "
                f"example with StandardScaler."
            )
        if bounded:
            return Standardizer(variance=1.0 if constant else std**2)
        if constant:
            return Standardizer(self.mean, np.ones(len(self.mean)))
        stds = np.sqrt(self.variance)
        round_off = np.maximum(ROUND_OFF * np.abs(self.mean), ROUND_OFF_BESIDE_OTHERS * stds.max())
        most = MAX_TIMES_MEDIAN * np.median(stds[stds > round_off])
        excess = np.ones(len(stds)) if shared else np.maximum(1, stds / most)
        return Standardizer(self.mean, excess * np.sqrt(np.square(stds / excess).mean()))


def _chunks(X: np.ndarray) -> Iterator[np.ndarray]:
    for cut in gen_batches(len(X), CHUNK_ROWS):
        yield X[cut]
        advise_dontneed(X)
