"""Standardisation at the border: everything inside works on standardised, squashed rows."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from sklearn_bigan._data.rows import is_sparse

# Values converted at a time: half of a typical second-level cache.
CHUNK_VALUES = 2**15
FLOAT32_MAX = float(np.finfo(np.float32).max)
# Values beyond this are squashed to the bound itself; its square does not overflow float32.
SQUARABLE = 1e15
FLOAT32_EPS = float(np.finfo(np.float32).eps)

# Largest rounding error that generated values may have by their dtype, as a share of their column's
# unit: squared it is a millionth of the variance.
MAX_ROUNDING = 1e-3
TOO_LARGE = (
    "Input X contains a value too large for dtype('float32'), whose largest is 3.4e38, as it is or "
    "divided by the unit of its column. Rescale X, for example with StandardScaler."
)


@dataclass(frozen=True)
class Standardizer:
    """Standardise each column and squash its tails smoothly; and back.

    t = (x - center) / scale and y = t / sqrt(1 + (t / bound)^2): y is close to t for ordinary
    values, and never beyond +-bound, so that no outlier dominates a loss or a batch statistic.

    Where `center` is None rows are only converted to float32: bounded outputs (sigmoid, tanh) need
    X as it is. Where `bound` is None nothing is squashed.
    """

    center: np.ndarray | None = None  # (n_features,), float64
    scale: np.ndarray | None = None  # (n_features,), float64
    bound: np.ndarray | None = None  # (n_features,), float64
    # Smallest and largest value of each column, which rows are brought back into: close to the
    # bound the inverse of the squashing would magnify the smallest error.
    minimum: np.ndarray | None = None  # (n_features,), float64
    maximum: np.ndarray | None = None  # (n_features,), float64
    # Mean variance of the training data's columns in the networks' units.
    variance: float = 1.0

    def transform(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Bring rows of any numeric dtype, dense or CSR, to the networks' units, float32.

        Rows are standardised in float64, a few at a time: a large offset costs no precision, and
        the same values have the same bits in any dtype. They are squashed in float32. The result is
        written to `out`, if given; else it is a new array, or x itself if nothing changes. Raises
        ValueError if a standardised value overflows float32.
        """
        if is_sparse(x):
            if out is None:
                out = np.empty(x.shape, dtype=np.float32)
            for cut in gen_batches(x.shape[0], max(1, CHUNK_VALUES // x.shape[1])):
                self.transform(x[cut].toarray(), out[cut])
            return out
        if self.center is None:
            return as_float32(x, out)
        if out is None:
            out = np.empty(x.shape, dtype=np.float32)
        x = np.asarray(x)  # slices of a memory map are expensive objects
        n_rows = max(1, CHUNK_VALUES // x.shape[1])
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for start in range(0, len(x), n_rows):
                rows, t = x[start : start + n_rows], out[start : start + n_rows]
                standardised = np.subtract(rows, self.center, dtype=np.float64)
                standardised *= self._factor
                t[:] = standardised
                if self.bound is None:
                    _check_overflow(t, rows)
                    continue
                square = self._squared(t)
                if not _all_finite(square):
                    _check_overflow(t, rows)
                    np.clip(t, -SQUARABLE, SQUARABLE, out=t)
                    square = self._squared(t)
                square += 1
                t /= np.sqrt(square, out=square)
        return out

    def of_columns(self, columns: slice) -> "Standardizer":
        """Return what standardises some of the columns, without their extremes."""
        assert self.center is not None
        assert self.scale is not None
        bound = None if self.bound is None else self.bound[columns]
        return Standardizer(self.center[columns], self.scale[columns], bound)

    @cached_property
    def _factor(self) -> np.ndarray:
        assert self.scale is not None
        return 1 / self.scale

    @cached_property
    def _bound32(self) -> np.ndarray:
        assert self.bound is not None
        return self.bound.astype(np.float32)

    def _squared(self, t: np.ndarray) -> np.ndarray:
        """Return (t / bound)^2, float32."""
        square: np.ndarray = t / self._bound32
        square *= square
        return square

    @cached_property
    def output_dtype(self) -> type[np.floating]:
        """Type of rows in the units of X: float32, or float64 where that rounds too much.

        Far from the origin float32 does not hold a column: it is spaced by 8 at 1e8.
        """
        if self.center is None or self.scale is None:
            return np.float32
        rounding = FLOAT32_EPS / 2 * np.abs(self.center)
        return np.float64 if (rounding > MAX_ROUNDING * self.scale).any() else np.float32

    def inverse_transform(self, y: np.ndarray) -> np.ndarray:
        """Bring float32 rows in the networks' units back to those of X, as `output_dtype`."""
        if self.center is None or self.scale is None:
            return y
        x = np.empty(y.shape, dtype=self.output_dtype)
        n_rows = max(1, CHUNK_VALUES // y.shape[1])
        for start in range(0, len(y), n_rows):
            t = y[start : start + n_rows].astype(np.float64)
            if self.bound is not None:
                with np.errstate(divide="ignore"):
                    t /= np.sqrt(np.maximum(0, 1 - np.square(t / self.bound)))
            t *= self.scale
            t += self.center
            if self.bound is not None:
                np.clip(t, self.minimum, self.maximum, out=t)
            x[start : start + n_rows] = t
        return x


def as_float32(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return the rows as a C-contiguous float32 array, a copy only where one is needed."""
    if out is None and x.dtype == np.float32:
        return np.ascontiguousarray(x)
    if out is None:
        out = np.empty(x.shape, dtype=np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        out[:] = x
        _check_overflow(out, x)
    return out


def _check_overflow(converted: np.ndarray, x: np.ndarray) -> None:
    """Raise ValueError if a finite value has become infinite in float32."""
    if not _all_finite(converted) and (np.isinf(converted) & np.isfinite(x)).any():
        raise ValueError(TOO_LARGE)


def _all_finite(x: np.ndarray) -> bool:
    """Return whether all values are finite, and so is their sum, which is quick to compute."""
    return math.isfinite(np.add.reduce(x, axis=None))
