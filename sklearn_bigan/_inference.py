"""Chunked evaluation of trained networks on arrays of any length."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from sklearn_bigan._blocks import as_float32

# Rows in flight at a time. Bounds the memory beside the output to a few activations of this many
# rows, and is far above what a device needs to be busy.
CHUNK_ROWS = 8192

# Chunks are filled up with zeros to a multiple of so many rows. Products of a few are summed by
# other kernels than those of many, and a row's code would depend on its company in the last bits.
MULTIPLE = 32

# For plain matrix products fewer may do, which depends on the processor: the least of these that
# makes no difference to products of some shapes (columns in and out).
MULTIPLES = (4, 8, 16, MULTIPLE)
PROBES = ((20, 256), (64, 256), (256, 50), (784, 512))


def map_rows(
    function: Callable[[Tensor], Tensor],
    rows: np.ndarray,
    device: torch.device,
    multiple: int = MULTIPLE,
) -> np.ndarray:
    """Apply `function`, (chunk, n) to (chunk, m), to all rows, of which there are some; float32.

    The output is allocated once; beside it only chunks are ever held, so that float64 or integer
    rows are not converted as a whole.
    """

    def outputs(start: int) -> np.ndarray:
        chunk = rows[start : start + CHUNK_ROWS]
        return function(_padded_float32(chunk, multiple).to(device)).cpu().numpy()[: len(chunk)]

    with torch.inference_mode():
        first = outputs(0)
        if len(rows) == len(first):
            return first
        out = np.empty((len(rows), first.shape[1]), dtype=np.float32)
        out[:CHUNK_ROWS] = first
        for start in range(CHUNK_ROWS, len(rows), CHUNK_ROWS):
            out[start : start + CHUNK_ROWS] = outputs(start)
    return out


@cache
def rows_multiple() -> int:
    """Return of how many rows a product has the bits on this CPU that it has among many."""
    return next((m for m in MULTIPLES if all(_alike(m, *probe) for probe in PROBES)), MULTIPLE)


def _alike(multiple: int, n_in: int, n_out: int) -> bool:
    """Whether products of so many rows have the bits of those of many, with a bias and without."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4 * MULTIPLE, n_in, generator=generator, dtype=torch.float32)
    weight = torch.randn(n_out, n_in, generator=generator, dtype=torch.float32)
    bias = torch.randn(n_out, generator=generator, dtype=torch.float32)
    return all(
        torch.equal(
            torch.cat([linear(part, weight, b) for part in torch.split(x, multiple)]), whole
        )
        for b, whole in ((b, linear(x, weight, b)) for b in (None, bias))
    )


def _padded_float32(chunk: np.ndarray, multiple: int) -> Tensor:
    """Copy to a float32 tensor; read-only and memory-mapped rows are welcome."""
    n_rows = -(-len(chunk) // multiple) * multiple
    padded = np.zeros((n_rows, chunk.shape[1]), dtype=np.float32)
    padded[: len(chunk)] = as_float32(chunk)
    return torch.from_numpy(padded)
