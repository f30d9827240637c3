"""Statistics of the training data's columns, from one pass over X."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from sklearn.utils import assert_all_finite, gen_batches, gen_even_slices

from sklearn_bigan._data.rows import dense, is_sparse
from sklearn_bigan._data.source import advise_dontneed
from sklearn_bigan._data.standardizer import FLOAT32_MAX, TOO_LARGE, Standardizer

# Rows read at a time.
CHUNK_ROWS = 8192

# Values of a sparse matrix made dense at a time: its columns are taken in strips.
STRIP_VALUES = 2**22

# Rows that the robust statistics are computed from, at most, and the spans of consecutive rows that
# they come from: a disk reads spans much faster than single rows.
SAMPLE_ROWS, SAMPLE_SPANS = 10_000, 500

# The width of a column is the largest that these pairs of quantiles give, each with this share of
# the rows beyond it: columns of counts and spikes have one value in most rows, and others in some.
TAILS = (0.25, 0.05, 0.01)

# Values are clipped at this number of widths from the median, before the mean and the standard
# deviation are computed: a single wrong entry must not be the unit of its column.
CLIPPED_AT = 10.0

# Values are squashed into this number of standard deviations, of their column or of all columns.
SQUASHED_INTO = 20.0

# Standard deviations outside this range lose the squares of differences in float32.
MIN_STD, MAX_STD = 1e-16, 1e16

# Errors are squared: a column whose unit makes its numbers much larger than all others' would be
# all that is learned. A column's standard deviation therefore counts as at most this multiple of
# the median one. Chosen on raw tables by looking at test rows (benchmarks/README.md, Units).
# Columns in one unit hardly reach it: pixels of digits 1.5, of MNIST 2.4.
MAX_TIMES_MEDIAN = 3.0

# Columns whose standard deviation is below these shares of their mean, two spacings of float64,
# or of the largest standard deviation, are treated as constant (round-off).
ROUND_OFF, ROUND_OFF_BESIDE_OTHERS = 4e-16, 1e-12


@dataclass(frozen=True)
class ColumnStatistics:
    """Number of rows, and mean, variance (of the population) and range of each column, float64."""

    n_rows: int
    mean: np.ndarray
    variance: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, X: Any, estimator_name: str) -> Self:
        """Compute the statistics in float64; ValueError if X has NaN or infinity.

        An array is read once. A CSR matrix is made dense strip by strip of its columns.
        """
        if not is_sparse(X):
            return cls._of_strip(X, estimator_name)
        strips = [cls._of_strip(X[:, strip], estimator_name) for strip in _strips(X, CHUNK_ROWS)]
        return cls(
            X.shape[0],
            np.concatenate([strip.mean for strip in strips]),
            np.concatenate([strip.variance for strip in strips]),
            np.concatenate([strip.minimum for strip in strips]),
            np.concatenate([strip.maximum for strip in strips]),
        )

    @classmethod
    def _of_strip(cls, X: Any, estimator_name: str) -> Self:
        """Compute the statistics of some columns in one pass."""
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
        minimum, maximum = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        if not np.isfinite(minimum).all() or not np.isfinite(maximum).all():
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
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    def is_constant(self, dtype: np.dtype[Any]) -> bool:
        """Return whether all rows, of that dtype, are equal but for round-off."""
        eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
        round_off = max(ROUND_OFF, eps) * np.abs(self.mean)
        return bool((np.sqrt(self.variance) <= round_off).all())

    def standardizer(self, X: Any, *, bounded: bool, shared: bool) -> Standardizer:
        """Return what brings the rows of X, whose statistics these are, to the networks' units.

        With a `bounded` output activation rows are left as they are. `shared`: all columns have one
        unit, as pixels do, the root of their mean variance. Otherwise centre and unit of a column
        are robust, its tails are squashed, and columns that vary more than MAX_TIMES_MEDIAN allows
        get larger units. Raises ValueError if float32 cannot hold X, or the squares of its columns'
        variation.
        """
        if max(-self.minimum.min(), self.maximum.max()) > FLOAT32_MAX:
            raise ValueError(TOO_LARGE)
        std = math.sqrt(self.variance.mean())
        constant = self.is_constant(X.dtype)
        if not constant and not MIN_STD <= std <= MAX_STD:
            raise ValueError(
                f"The root of the mean variance of X's columns must be in [{MIN_STD:g}, "
                f"{MAX_STD:g}] to be computed with in float32. Got {std:.2g}; rescale X, for "
                f"example with StandardScaler."
            )
        if bounded:
            return Standardizer(variance=1.0 if constant else std**2)
        if constant or shared:
            return Standardizer(self.mean, np.full(len(self.mean), 1.0 if constant else std))
        sample = _sample(X)
        strips = _strips(sample, sample.shape[0])
        robust = [robust_statistics(dense(sample[:, strip])) for strip in strips]
        center, stds = np.concatenate(robust, axis=1)
        # Rare values may all be outside of the sample.
        stds = np.where(stds > 0, stds, np.sqrt(self.variance))
        round_off = np.maximum(ROUND_OFF * np.abs(center), ROUND_OFF_BESIDE_OTHERS * stds.max())
        varying = stds[stds > round_off] if (stds > round_off).any() else stds
        excess = np.maximum(1, stds / (MAX_TIMES_MEDIAN * np.median(varying)))
        scale = excess * np.sqrt(np.square(stds / excess).mean())
        # A column that varies little has no narrower bound: the generator's errors there, small as
        # they are, would be magnified by the inverse.
        bound = SQUASHED_INTO * np.maximum(1, stds / scale)
        made = Standardizer(center, scale, bound, self.minimum, self.maximum)
        variances = [
            made.of_columns(strip).transform(dense(sample[:, strip])).var(axis=0, dtype=np.float64)
            for strip in strips
        ]
        return replace(made, variance=float(np.concatenate(variances).mean()))


def robust_statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column of float64 rows, without its outliers.

    Values farther than CLIPPED_AT widths from the median count as that far. The width of a pair of
    quantiles is the standard deviation of a normal distribution that has them.
    """
    median, width = np.median(rows, axis=0), np.zeros(rows.shape[1])
    for tail in TAILS:
        # The inner neighbour of each quantile: of few rows the outer one may be the outlier.
        low = np.quantile(rows, tail, axis=0, method="higher")
        high = np.quantile(rows, 1 - tail, axis=0, method="lower")
        width = np.maximum(width, (high - low) / (2 * NormalDist().inv_cdf(1 - tail)))
    # A column without any width has one value but in a handful of rows.
    reach = np.where(width > 0, CLIPPED_AT * width, np.inf)
    deviations = np.clip(rows - median, -reach, reach)
    return median + deviations.mean(axis=0), deviations.std(axis=0)


def _sample(X: Any) -> Any:
    """Return spans of rows from all over X, or all of its rows if they are few, as float64.

    Those of a CSR matrix are one, too.
    """
    n_rows = X.shape[0]
    if n_rows <= SAMPLE_ROWS:
        return X.astype(np.float64) if is_sparse(X) else np.asarray(X, dtype=np.float64)
    length = SAMPLE_ROWS // SAMPLE_SPANS
    starts = np.linspace(0, n_rows - length, SAMPLE_SPANS).astype(int)
    if is_sparse(X):
        return X[np.add.outer(starts, np.arange(length)).ravel()].astype(np.float64)
    spans = []
    for start in starts:
        spans.append(X[start : start + length].astype(np.float64))
        advise_dontneed(X)
    return np.concatenate(spans)


def _strips(X: Any, n_rows: int) -> list[slice]:
    """Return how the columns of a sparse X are cut, to be made dense `n_rows` at a time.

    An array's columns are not cut. Strips are of about one width: a strip of one column would be
    summed in another order than beside others.
    """
    n_columns = X.shape[1]
    if not is_sparse(X):
        return [slice(0, n_columns)]
    n_strips = -(-n_columns * min(n_rows, X.shape[0]) // STRIP_VALUES)
    return list(gen_even_slices(n_columns, min(n_strips, max(1, n_columns // 2))))


def _chunks(X: Any) -> Iterator[np.ndarray]:
    for cut in gen_batches(X.shape[0], CHUNK_ROWS):
        yield dense(X[cut])
        advise_dontneed(X)
