"""Chunked evaluation of trained networks on arrays of any length."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sklearn_bigan._blocks import as_float32

# Rows in flight at a time. Bounds the memory beside the output to a few activations of this many
# rows, and is far above what a device needs to be busy.
CHUNK_ROWS = 8192

# Chunks are filled up with zeros to a multiple of this. Matrix products of a few rows are summed by
# other kernels than those of many, and a row's code would depend on its company in the last bits.
ROWS_MULTIPLE = 32


def map_rows(
    function: Callable[[Tensor], Tensor], rows: np.ndarray, n_columns: int, device: torch.device
) -> np.ndarray:
    """Apply `function`, (chunk, n) to (chunk, n_columns), to all rows; float32 in and out.

    The output is allocated once; beside it only chunks are ever held, so that float64 or integer
    rows are not converted as a whole.
    """
    out = np.empty((len(rows), n_columns), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            outputs = function(_padded_float32(chunk).to(device))[: len(chunk)]
            out[start : start + CHUNK_ROWS] = outputs.cpu().numpy()
    return out


def _padded_float32(chunk: np.ndarray) -> Tensor:
    """Copy to a float32 tensor; read-only and memory-mapped rows are welcome."""
    n_rows = -(-len(chunk) // ROWS_MULTIPLE) * ROWS_MULTIPLE
    padded = np.empty((n_rows, chunk.shape[1]), dtype=np.float32)
    padded[: len(chunk)] = as_float32(chunk)
    padded[len(chunk) :] = 0
    return torch.from_numpy(padded)
