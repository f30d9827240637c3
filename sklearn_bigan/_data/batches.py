"""Mini-batches: rows of a block that already lies on the device, their neighbours, and draws.

skorch's default, a DataLoader, fetches and collates row by row: on tables in memory that takes
several times as long as a training step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_bigan._data.draws import Draws
from sklearn_bigan._data.neighbors import NeighborGraphs, random_neighbors
from sklearn_bigan._data.source import RowSource
from sklearn_bigan._runtime.distributed import rank_and_size, shard


class Batch(NamedTuple):
    """What a training step needs besides the weights.

    `x` holds standardised rows, (batch, n_features), and `neighbor` one of the nearest neighbours
    of each; without a graph the row itself.
    """

    x: Tensor
    neighbor: Tensor
    draws: Draws


@dataclass
class Place:
    """Where an epoch is: enough to go on from there with the same batches.

    `order` and `noise` are the states of these generators at the beginning of the block, and
    `blocks` is that of the generator of the blocks' order after it has given this epoch's.
    """

    PLAIN: ClassVar = ("blocks_left", "n_batches", "blocks")

    blocks_left: list[int]  # numbers of the blocks, the current one first
    n_batches: int  # that the current block has given
    order: Tensor
    noise: Tensor
    blocks: dict[str, Any]


class Batches:
    """One epoch each time it is iterated: every row once, in a new random order.

    The last batch of a block is what is left; a single row joins the batch before it, since batch
    norm has no statistics of one row. Under `torchrun` each process gets its part of every batch; a
    few rows may then be left out of an epoch, so that all parts are equal. The generator `order`
    determines order and neighbours, and `noise` what `draw` draws.

    During an epoch `place` says where it is. Set before an epoch, it is where that epoch goes on.
    """

    def __init__(
        self,
        source: RowSource,
        batch_size: int,
        draw: Callable[[int, torch.Generator], Draws],
        *,
        order: torch.Generator,
        noise: torch.Generator,
        graphs: NeighborGraphs | None,
    ) -> None:
        self.source = source
        self.batch_size = batch_size
        self.draw = draw
        self.order = order
        self.noise = noise
        self.graphs = graphs
        self.place: Place | None = None

    def __len__(self) -> int:
        return sum(count_batches(n_rows, self.batch_size) for n_rows in self.source.sizes)

    @property
    def n_rows(self) -> int:
        """Number of rows of the batches, but for the last of a block."""
        cut = next(cuts(max(self.source.sizes), self.batch_size))
        return int(cut.stop - cut.start)

    def __iter__(self) -> Iterator[Batch]:
        rank, size = rank_and_size()
        numbers, n_skipped = self._begin()
        while numbers:
            number = numbers[0]
            self.place = self._place(numbers)
            rows = self.source.block(number)
            graph = None if self.graphs is None else self.graphs.of_block(number)
            order = torch.randperm(len(rows), generator=self.order, device=rows.device)
            for cut in cuts(len(rows), self.batch_size):
                chosen = order[cut]
                near = chosen
                if graph is not None:
                    near = random_neighbors(graph, chosen, self.order)
                draws = self.draw(len(chosen), self.noise)
                self.place.n_batches += 1
                if self.place.n_batches <= n_skipped:
                    continue
                if size > 1:
                    chosen, near = shard(chosen, rank, size), shard(near, rank, size)
                    draws = draws.shard(rank, size)
                x = rows.index_select(0, chosen)
                neighbor = x if graph is None else rows.index_select(0, near)
                yield Batch(x, neighbor, draws)
            del rows  # before the next block is read
            numbers, n_skipped = numbers[1:], 0
        self.place = None

    def _begin(self) -> tuple[list[int], int]:
        """Return the blocks of an epoch, and how many batches of the first were taken before."""
        if self.place is None:
            return list(self.source.blocks_in_random_order()), 0
        self.order.set_state(self.place.order)
        self.noise.set_state(self.place.noise)
        self.source.random.bit_generator.state = self.place.blocks
        return self.place.blocks_left, self.place.n_batches

    def _place(self, numbers: list[int]) -> Place:
        return Place(
            blocks_left=numbers,
            n_batches=0,
            order=self.order.get_state(),
            noise=self.noise.get_state(),
            blocks=dict(self.source.random.bit_generator.state),
        )


def cuts(n_rows: int, batch_size: int) -> Iterator[slice]:
    """Yield the slices of an order that make batches, each of two rows or more per process.

    Several processes have a multiple of four each: every other row, and every other one of these,
    is then the same as in one process.
    """
    _, size = rank_and_size()
    for cut in gen_batches(n_rows, batch_size, min_batch_size=(4 if size > 1 else 2) * size):
        surplus = (cut.stop - cut.start) % (4 * size) if size > 1 else 0
        yield slice(cut.start, cut.stop - surplus)


def count_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of batches in an epoch of rows that fit in one block."""
    return sum(1 for _ in cuts(n_rows, batch_size))
