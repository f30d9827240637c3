"""Standardisation at the border: everything inside works on standardised rows."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Values converted at a time: half of a typical second-level cache.
CHUNK_VALUES = 2**15
FLOAT32_MAX = float(np.finfo(np.float32).max)
TOO_LARGE = (
    "Input X contains a value too large for dtype('float32'), whose largest is 3.4e38. "
    "Rescale X, for example with StandardScaler."
)


@dataclass(frozen=True)
class Standardizer:
    """(x - mean) / scale for each column, and back.

    Where `mean` and `scale` are None rows are only converted to float32: bounded outputs (sigmoid,
    tanh) need X as it is.
    """

    mean: np.ndarray | None = None  # (n_features,), float64
    scale: np.ndarray | None = None  # (n_features,), float64
    # Mean variance of the training data's columns after standardisation: 1 unless rows are left as
    # they are.
    variance: float = 1.0

    def transform(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Standardise rows of any numeric dtype to float32; raise ValueError if one overflows.

        Arithmetic is done in float64, a few rows at a time: a large offset costs no precision, and
        the same values have the same bits in any dtype. The result is written to `out`, if given;
        else it is a new array, or x itself if nothing changes.
        """
        if self.mean is None or self.scale is None:
            return as_float32(x, out)
        if out is None:
            out = np.empty(x.shape, dtype=np.float32)
        x = np.asarray(x)  # slices of a memory map are expensive objects
        n_rows = max(1, CHUNK_VALUES // x.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(x), n_rows):
                y = np.subtract(x[start : start + n_rows], self.mean, dtype=np.float64)
                y *= self._factor
                out[start : start + n_rows] = y
            return _checked(out, x)

    @cached_property
    def _factor(self) -> np.ndarray:
        assert self.scale is not None
        return 1 / self.scale

    def inverse_transform(self, y: np.ndarray) -> np.ndarray:
        """Bring standardised float32 rows back to the units of X; `y` is overwritten."""
        if self.mean is None or self.scale is None:
            return y
        y *= self.scale.astype(np.float32)
        y += self.mean.astype(np.float32)
        return y

    @property
    def relative_scale(self) -> np.ndarray:
        """Scales of the columns over the largest, float32: weights of errors in units of X."""
        scale = np.ones(1) if self.scale is None else self.scale
        return (scale / scale.max()).astype(np.float32)


def as_float32(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return the rows as a C-contiguous float32 array, a copy only where one is needed."""
    if out is None and x.dtype == np.float32:
        return np.ascontiguousarray(x)
    if out is None:
        out = np.empty(x.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        out[:] = x
        return _checked(out, x)


def _checked(converted: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the converted rows if none of them overflowed."""
    finite = math.isfinite(np.add.reduce(converted, axis=None))
    if not finite and (np.isinf(converted) & np.isfinite(x)).any():
        raise ValueError(TOO_LARGE)
    return converted
