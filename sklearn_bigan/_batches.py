"""Batches as rows picked from one tensor that already lies on the device.

skorch's default, a DataLoader, fetches and collates row by row: on tables in memory that costs
several times the training step itself.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_bigan._blocks import Blocks
from sklearn_bigan._neighbors import walk
from sklearn_bigan._noise import part


class BlockBatches:
    """One epoch each time it is iterated: the blocks in a fresh seeded order, each in batches.

    Parameters
    ----------
    blocks : Blocks
        The training data.
    count : callable
        From a number of rows to how many batches they make.
    of_block : callable
        From a block's number to its batches.
    """

    def __init__(
        self,
        blocks: Blocks,
        count: Callable[[int], int],
        of_block: Callable[[int], Iterable[Tensor]],
    ) -> None:
        self.blocks = blocks
        self.count = count
        self.of_block = of_block

    def __len__(self) -> int:
        return sum(map(self.count, self.blocks.sizes))

    def __iter__(self) -> Iterator[Tensor]:
        order = self.blocks.random.permutation(len(self.blocks.sizes)).tolist()
        for number, following in zip_longest(order, order[1:]):
            batches = self.of_block(number)
            if following is not None:
                self.blocks.expect(following)
            yield from batches
            del batches  # before the next block is read: it holds this one


class TensorBatches:
    """One epoch each time it is iterated: every row once, in a fresh seeded order.

    Parameters
    ----------
    rows : Tensor of shape (n_samples, n_features)
        The training data, on the training device.
    batch_size : int
        Rows in a batch. The last batch is what is left; a single row left over joins the batch
        before it, since batch norm has no statistics of one row.
    generator : torch.Generator
        Source of the order.
    rank, size : int
        Which part of each batch is wanted, of how many equal parts; a few rows may then be left
        out of an epoch.
    """

    def __init__(
        self,
        rows: Tensor,
        batch_size: int,
        generator: torch.Generator,
        *,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.rows = rows
        self.generator = generator
        self.rank, self.size = rank, size
        self.cuts = list(cuts(len(rows), batch_size, size))

    def __len__(self) -> int:
        return len(self.cuts)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.rows), generator=self.generator, device=self.rows.device)
        for cut in self.cuts:
            yield self.rows.index_select(0, part(order[cut], self.rank, self.size))


class PairBatches:
    """One epoch each time it is iterated: every row once, each with a partner.

    The first half of a batch are rows in a fresh order, the second half, in the same order, where
    random walks from them ended; without a graph these are the rows themselves.

    Parameters
    ----------
    rows : Tensor of shape (n_samples, n_features)
        As for `TensorBatches`.
    n_pairs : int
        Pairs in a batch. The last batch is what is left; a single pair joins the batch before it.
    generator : torch.Generator
        Source of the order and the walks.
    graph : Tensor of shape (n_samples, n_neighbors), dtype int64, or None
        The neighbours of each row.
    steps : int
        Length of the walks.
    rank, size : int
        As for `TensorBatches`.
    """

    def __init__(
        self,
        rows: Tensor,
        n_pairs: int,
        generator: torch.Generator,
        *,
        graph: Tensor | None,
        steps: int,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.rows = rows
        self.generator = generator
        self.graph = graph
        self.steps = steps
        self.rank, self.size = rank, size
        self.cuts = list(cuts(len(rows), n_pairs, size))

    def __len__(self) -> int:
        return len(self.cuts)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.rows), generator=self.generator, device=self.rows.device)
        for cut in self.cuts:
            ends = order[cut]
            if self.graph is not None:
                ends = walk(self.graph, ends, self.steps, self.generator)
            pairs = part(torch.cat([order[cut], ends]), self.rank, self.size)
            yield self.rows.index_select(0, pairs)


def cuts(n_rows: int, batch_size: int, size: int) -> Iterator[slice]:
    """Yield where batches are in an order: at least two rows, and an even number for each part."""
    multiple = 1 if size == 1 else 2 * size
    for cut in gen_batches(n_rows, batch_size, min_batch_size=max(2, multiple)):
        yield slice(cut.start, cut.stop - (cut.stop - cut.start) % multiple)
