"""Chunked evaluation of trained networks on arrays of any length."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from sklearn_bigan._runtime.settings import InferenceSettings

# Rows evaluated at a time: few enough for the activations to stay in a CPU's cache, which takes a
# tenth less time than 8192 rows do, enough to keep any device busy. Very wide rows are evaluated
# fewer at a time, to bound the memory beside the output.
CHUNK_ROWS = 1024
CHUNK_BYTES = 2**26

# Chunks are padded with zeros to a multiple of this many rows. Matrix products of a few rows use
# other kernels than those of many, and a row's code would depend on the batch it came in.
MULTIPLE = 32

# On some CPUs matrix products of fewer rows have the same bits, too, and one row takes a third less
# time: the candidates, and shapes (columns in and out) that they are tried on.
MULTIPLES = (4, 8, 16, MULTIPLE)
TRIAL_SHAPES = ((20, 256), (64, 256), (256, 50), (784, 512))


def chunk_rows(n_columns: int) -> int:
    """Return how many rows are evaluated at a time."""
    return min(CHUNK_ROWS, max(MULTIPLE, CHUNK_BYTES // (4 * n_columns) // MULTIPLE * MULTIPLE))


def map_chunks(
    function: Callable[[Tensor], Tensor],
    rows: Any,
    device: torch.device,
    to_float32: Callable[[Any, np.ndarray], np.ndarray],
    multiple: int = MULTIPLE,
) -> np.ndarray:
    """Apply a function of tensors to all rows, a chunk at a time; row i depends on row i alone.

    The function maps (chunk, n) to (chunk, m), both float32 on the device. `rows`, (n_samples, n),
    at least one, have any numeric dtype and may be read-only, memory-mapped or sparse; `to_float32`
    writes the values that the function expects into a float32 array. Chunks are padded to a
    `multiple` of rows. The output is allocated once; beside it only chunks are held, so that
    float64, integer or sparse rows are never converted as a whole. Raises ValueError if an output
    is not finite.
    """
    n_rows, n_columns = rows.shape
    at_a_time = chunk_rows(n_columns)

    def outputs(start: int) -> np.ndarray:
        size = min(at_a_time, n_rows - start)
        padded = np.empty((-(-size // multiple) * multiple, n_columns), np.float32)
        padded[size:] = 0
        to_float32(rows[start : start + size], padded[:size])
        out = function(torch.from_numpy(padded).to(device)).cpu().numpy()[:size]
        _check_finite(out, start)
        return out

    with InferenceSettings():
        first = outputs(0)
        if n_rows == len(first):
            return first
        out = np.empty((n_rows, first.shape[1]), dtype=np.float32)
        out[:at_a_time] = first
        for start in range(at_a_time, n_rows, at_a_time):
            out[start : start + at_a_time] = outputs(start)
    return out


def _check_finite(out: np.ndarray, start: int) -> None:
    """Raise ValueError, naming the first row, unless the outputs of the rows are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(np.add.reduce(out, axis=None)):
            return
    wrong = np.flatnonzero(~np.isfinite(out).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"Row {start + wrong[0]} is too far from the training data: what the networks compute "
            f"of it overflows float32. Bring it into the units of the rows that were passed to fit."
        )


@cache
def smallest_exact_multiple() -> int:
    """Return the smallest batch size whose products on this CPU have the bits of a large one."""
    with InferenceSettings():  # those that the multiple will be used with
        exact = (m for m in MULTIPLES if all(_is_exact(m, *shape) for shape in TRIAL_SHAPES))
        return next(exact, MULTIPLE)


def _is_exact(multiple: int, n_in: int, n_out: int) -> bool:
    """Return whether `linear` on `multiple` rows equals, bit for bit, `linear` on a large batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4 * MULTIPLE, n_in, generator=generator, dtype=torch.float32)
    weight = torch.randn(n_out, n_in, generator=generator, dtype=torch.float32)
    bias = torch.randn(n_out, generator=generator, dtype=torch.float32)
    parts = torch.split(x, multiple)
    return all(
        torch.equal(torch.cat([linear(part, weight, b) for part in parts]), whole)
        for b, whole in ((b, linear(x, weight, b)) for b in (None, bias))
    )
