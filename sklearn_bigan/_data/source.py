"""The training rows in blocks small enough to be held, shuffled and compared with one another.

Data that fit in one block stay on the device. Larger data are streamed block by block, so that
memory use does not grow with the number of rows; an accelerator keeps as many blocks as it has room
for. A block consists of spans of consecutive rows from all over the data: a disk reads spans much
faster than single rows, and sorted data are mixed.
"""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from sklearn.utils import gen_batches
from skorch.dataset import Dataset
from torch import Tensor

from sklearn_bigan._data.standardizer import Standardizer
from sklearn_bigan._runtime.device import free_bytes

# Nearest neighbours are searched within a block, and brute force grows with the square of its size.
BLOCK_ROWS = 65_536
# A block of wide rows has fewer rows.
BLOCK_BYTES = 2**28
SPANS_PER_BLOCK = 64


class RowSource(Dataset):
    """The rows of X, standardised and in blocks on the device; the dataset that skorch is given.

    Which rows share a block is drawn once, from `seed`. X has any numeric dtype and may be a memory
    map or a CSR matrix. It is never changed, and never copied or made dense as a whole unless it
    fits in one block.
    """

    def __init__(self, X: Any, standardizer: Standardizer, device: torch.device, seed: int) -> None:
        super().__init__(X)
        self.standardizer = standardizer
        self.device = device
        self.random = np.random.default_rng(seed)
        row_bytes = 4 * max(1, X.shape[1])
        block_rows = min(BLOCK_ROWS, max(2 * SPANS_PER_BLOCK, BLOCK_BYTES // row_bytes))
        n_rows = len(self)
        n_blocks = -(-n_rows // block_rows)
        if n_blocks == 1:
            self.spans = [[slice(0, n_rows)]]
        else:
            spans = np.array(list(gen_batches(n_rows, block_rows // SPANS_PER_BLOCK)), dtype=object)
            drawn = np.array_split(self.random.permutation(len(spans)), n_blocks)
            self.spans = [list(spans[np.sort(numbers)]) for numbers in drawn]
        self._room = max(1, free_bytes(device) // 2 // (row_bytes * block_rows))
        self._held: dict[int, Tensor] = {}

    @property
    def sizes(self) -> list[int]:
        """Number of rows of each block."""
        return [sum(span.stop - span.start for span in spans) for spans in self.spans]

    def read(self, number: int) -> np.ndarray:
        """Return a standardised block in host memory, float32."""
        spans = self.spans[number]
        if len(spans) == 1:
            return self.standardizer.transform(self.X[spans[0]])
        rows = np.empty((self.sizes[number], self.X.shape[1]), dtype=np.float32)
        start = 0
        for span in spans:
            stop = start + span.stop - span.start
            self.standardizer.transform(self.X[span], rows[start:stop])
            start = stop
            advise_dontneed(self.X)
        return rows

    def block(self, number: int) -> Tensor:
        """Return a block on the device, (n_rows, n_features)."""
        if number not in self._held:
            while len(self._held) >= self._room:
                del self._held[next(iter(self._held))]  # before the next one is read
            self._held[number] = as_tensor(self.read(number)).to(self.device)
        return self._held[number]

    def blocks_in_random_order(self) -> Iterator[int]:
        """Yield the number of each block once."""
        yield from self.random.permutation(len(self.spans)).tolist()

    def sample(self, n_rows: int, seed: int) -> Tensor:
        """Return different random rows of the first block, or all of them if it has no more."""
        rows = self.block(0)
        if n_rows >= len(rows):
            return rows
        drawn = np.random.default_rng(seed).choice(len(rows), n_rows, replace=False)
        return rows.index_select(0, torch.from_numpy(drawn).to(self.device))


def as_tensor(rows: np.ndarray) -> Tensor:
    """Return the rows as a tensor; read-only ones are copied, about which torch would warn."""
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def advise_dontneed(array: np.ndarray) -> None:
    """Release the pages of a memory map that have been read.

    The kernel would do so only when short of memory; until then they count as this process's.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    # What was written to a copy-on-write map exists nowhere else.
    if isinstance(base, mmap.mmap) and getattr(array, "mode", "c") != "c":
        with suppress(AttributeError):  # not on Windows
            base.madvise(mmap.MADV_DONTNEED)
