"""Batches as rows picked from one tensor that already lies on the device.

skorch's default, a DataLoader, fetches and collates row by row: on tables in memory that costs
several times the training step itself.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_bigan._blocks import Blocks
from sklearn_bigan._neighbors import walk


class BlockBatches:
    """One epoch each time it is iterated: the blocks in a fresh seeded order, each in batches.

    Parameters
    ----------
    blocks : Blocks
        The training data.
    batch_size : int
        Rows in a batch, for the count.
    of_block : callable
        From a block's number to its batches.
    """

    def __init__(
        self, blocks: Blocks, batch_size: int, of_block: Callable[[int], Iterable[Tensor]]
    ) -> None:
        self.blocks = blocks
        self.batch_size = batch_size
        self.of_block = of_block

    def __len__(self) -> int:
        return sum(n_batches(size, self.batch_size) for size in self.blocks.sizes)

    def __iter__(self) -> Iterator[Tensor]:
        for number in self.blocks.random.permutation(len(self.blocks.sizes)).tolist():
            yield from self.of_block(number)


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
    """

    def __init__(self, rows: Tensor, batch_size: int, generator: torch.Generator) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return n_batches(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        n_rows = len(self.rows)
        order = torch.randperm(n_rows, generator=self.generator, device=self.rows.device)
        for cut in gen_batches(n_rows, self.batch_size, min_batch_size=2):
            yield self.rows.index_select(0, order[cut])


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
    """

    def __init__(
        self,
        rows: Tensor,
        n_pairs: int,
        generator: torch.Generator,
        *,
        graph: Tensor | None,
        steps: int,
    ) -> None:
        self.rows = rows
        self.n_pairs = n_pairs
        self.generator = generator
        self.graph = graph
        self.steps = steps

    def __len__(self) -> int:
        return n_batches(len(self.rows), self.n_pairs)

    def __iter__(self) -> Iterator[Tensor]:
        n_rows = len(self.rows)
        order = torch.randperm(n_rows, generator=self.generator, device=self.rows.device)
        for cut in gen_batches(n_rows, self.n_pairs, min_batch_size=2):
            ends = order[cut]
            if self.graph is not None:
                ends = walk(self.graph, ends, self.steps, self.generator)
            yield self.rows.index_select(0, torch.cat([order[cut], ends]))


def n_batches(n_rows: int, batch_size: int) -> int:
    """Count the batches; a single row left over joins the one before it."""
    return sum(1 for _ in gen_batches(n_rows, batch_size, min_batch_size=2))
