"""The training rows, in blocks small enough to be held, shuffled and compared with one another.

Rows that fit into one block are on the device all the while. Of more than that one block is, so
that training takes as much memory for a memory map of any length; an accelerator keeps as many as
it has room for, and the next is on its way. A block's rows are spans of consecutive rows from all
over the data: a disk reads them many times faster than single rows, and sorted data are mixed all
the same.
"""

import mmap
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_bigan._device import Upload, free_bytes

# Neighbours are sought within a block, and the cost of brute force grows with its square.
BLOCK_ROWS = 65_536
# A block of wide rows has fewer of them.
BLOCK_BYTES = 2**28
SPANS = 64


class Blocks:
    """Rows in blocks; which spans are in a block is drawn once.

    Parameters
    ----------
    array : ndarray of shape (n_samples, n_features)
        The rows, a memory map or not, of any numeric dtype; never changed, and never copied whole
        unless it fits into a block.
    device : torch.device
        Where rows are wanted.
    seed : int
        Of the spans, and of what is sampled.
    chosen : ndarray of shape (n_chosen,), dtype int64, or None
        Which rows there are, in rising order. None: all.
    """

    def __init__(
        self,
        array: np.ndarray,
        device: torch.device,
        seed: int,
        *,
        chosen: np.ndarray | None = None,
    ) -> None:
        self.array = array
        self.device = device
        self.chosen = chosen
        self.random = np.random.default_rng(seed)
        row_bytes = 4 * max(1, array.shape[1])
        block_rows = min(BLOCK_ROWS, max(2 * SPANS, BLOCK_BYTES // row_bytes))
        n_blocks = -(-len(self) // block_rows)
        if n_blocks == 1:
            self.spans = [[slice(0, len(self))]]
        else:
            spans = np.array(list(gen_batches(len(self), block_rows // SPANS)), dtype=object)
            drawn = np.array_split(self.random.permutation(len(spans)), n_blocks)
            self.spans = [list(spans[np.sort(numbers)]) for numbers in drawn]
        # A CPU would read in the time, and the memory, that training takes.
        self.reads_ahead = device.type != "cpu"
        self._upload = Upload(device)
        self._room = max(1, free_bytes(device) // 2 // (row_bytes * block_rows))
        self._held: dict[int, Tensor] = {}
        self._last = 0
        self._coming: tuple[int, Future[Tensor]] | None = None
        self._reader = ThreadPoolExecutor(max_workers=1)

    def __len__(self) -> int:
        return len(self.array if self.chosen is None else self.chosen)

    @property
    def sizes(self) -> list[int]:
        """How many rows each block has."""
        return [sum(span.stop - span.start for span in spans) for spans in self.spans]

    def read(self, number: int) -> np.ndarray:
        """Return a block in the host's memory, float32; not to be changed."""
        spans = self.spans[number]
        if len(spans) == 1:
            return as_float32(self._rows(spans[0]))
        rows = np.empty((self.sizes[number], self.array.shape[1]), dtype=np.float32)
        start = 0
        for span in spans:
            part = self._rows(span)
            rows[start : start + len(part)] = as_float32(part)
            start += len(part)
            release(self.array)
        return rows

    def block(self, number: int) -> Tensor:
        """Return a block on the device, (n_rows, n_features)."""
        self._last = number
        if number not in self._held:
            while len(self._held) >= self._room:
                del self._held[next(iter(self._held))]  # before the next one is read
            coming, self._coming = self._coming, None
            if coming is not None and coming[0] == number:
                self._held[number] = self._upload.arrived(coming[1].result())
            else:
                self._held[number] = self._to_device(self.read(number))
        return self._held[number]

    def expect(self, number: int) -> None:
        """Begin to read a block that will be asked for next, if that is of use."""
        if self.reads_ahead and number not in self._held and self._coming is None:
            self._coming = number, self._reader.submit(self._read_aside, number)

    def _read_aside(self, number: int) -> Tensor:
        return self._upload(_as_tensor(self.read(number)))

    def sample(self, n_rows: int) -> Tensor:
        """Return so many different rows of the last block asked for, or all that it has."""
        rows = self.block(self._last)
        if n_rows >= len(rows):
            return rows
        drawn = self.random.choice(len(rows), n_rows, replace=False)
        return rows.index_select(0, torch.from_numpy(drawn).to(self.device))

    def mean(self) -> Tensor:
        """Return the columns' means, on the device."""
        sums = (self.read(i).sum(axis=0, dtype=np.float64) for i in range(len(self.spans)))
        return self._to_device(as_float32(sum(sums) / len(self)))

    def _rows(self, span: slice) -> np.ndarray:
        return self.array[span if self.chosen is None else self.chosen[span]]

    def _to_device(self, rows: np.ndarray) -> Tensor:
        return _as_tensor(rows).to(self.device)


def _as_tensor(rows: np.ndarray) -> Tensor:
    # torch warns about tensors over read-only memory.
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def release(array: np.ndarray) -> None:
    """Give back what was read of a memory map.

    The kernel would do so only when short of memory; until then it counts as this process's.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    # What was written to a copy-on-write map is nowhere else.
    if isinstance(base, mmap.mmap) and getattr(array, "mode", "c") != "c":
        with suppress(AttributeError):  # not on Windows
            base.madvise(mmap.MADV_DONTNEED)


def as_float32(rows: np.ndarray) -> np.ndarray:
    """Return the rows as a C-contiguous float32 array, a copy only where one is needed.

    Raises
    ------
    ValueError
        If float32 cannot hold a value.
    """
    if rows.dtype == np.float32:
        return np.ascontiguousarray(rows)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(rows, dtype=np.float32)
    if (np.isinf(converted) & np.isfinite(rows)).any():
        raise ValueError(
            "Input X contains a value too large for dtype('float32'), whose largest is 3.4e38. "
            "Rescale X, for example with StandardScaler."
        )
    return converted
