"""Mini-batches of rows, their neighbours, and the random numbers drawn for them."""

import numpy as np
import pytest
import torch
from factories import networks

from sklearn_bigan._data import source as source_module
from sklearn_bigan._data.augmentation import draw_views
from sklearn_bigan._data.batches import Batch, Batches
from sklearn_bigan._data.draws import Draws, map_tensors
from sklearn_bigan._data.neighbors import NeighborGraphs
from sklearn_bigan._data.source import RowSource
from sklearn_bigan._data.standardizer import Standardizer

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(rows, batch_size: int, seed: int = 0, n_neighbors: int = 0) -> Batches:
    """Return batches of rows, or of that many rows whose value is their number."""
    if isinstance(rows, int):
        rows = np.arange(rows, dtype=np.float32)[:, None]
    source = RowSource(rows, Standardizer(), CPU, seed=0)
    prior = networks().encoder.prior
    return Batches(
        source,
        batch_size,
        lambda n_rows, noise: Draws(prior.sample(n_rows, noise).unsqueeze(0)),
        order=generator(seed),
        noise=generator(seed + 100),
        graphs=NeighborGraphs(source, n_neighbors, 0) if n_neighbors else None,
    )


def values(epoch) -> list[float]:
    return torch.cat([batch.x for batch in epoch]).ravel().tolist()


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (300, 128, [128, 128, 44]),
        (256, 128, [128, 128]),
        (257, 128, [128, 129]),  # a single row joins the batch before it
        (3, 2, [3]),
        (2, 128, [2]),
    ],
)
def test_batches_have_the_given_size_and_never_one_row(n_rows, batch_size, sizes):
    made = batches(n_rows, batch_size)
    assert [len(batch.x) for batch in made] == sizes
    assert len(made) == len(sizes)


@pytest.mark.parametrize("block_rows", [1000, 80])
def test_an_epoch_has_every_row_once_in_an_order_of_its_own(monkeypatch, block_rows):
    monkeypatch.setattr(source_module, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(source_module, "SPANS_PER_BLOCK", 4)
    made = batches(301, 32)
    first, second = list(made), list(made)
    assert sorted(values(first)) == sorted(values(second)) == list(range(301))
    assert values(first) != values(second)
    assert len(first) == len(second) == len(made)


def test_the_seed_decides_order_and_draws():
    one, same, other = (list(batches(300, 128, seed)) for seed in (1, 1, 2))
    assert values(one) == values(same) != values(other)
    assert all(torch.equal(a.draws.z, b.draws.z) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0].draws.z, other[0].draws.z)


def test_draws_are_as_many_as_rows_and_new_for_each_batch():
    one, other, last = batches(300, 128)
    assert [len(batch.draws.z[0]) for batch in (one, other, last)] == [128, 128, 44]
    assert not torch.equal(one.draws.z, other.draws.z)


def test_a_neighbor_is_a_near_row_and_without_a_graph_the_row_itself():
    rows = np.random.RandomState(0).randn(40, 3).astype(np.float32)
    rows[20:] += 100
    for batch in batches(rows, 6, n_neighbors=4):
        assert torch.equal(batch.x[:, 0] > 50, batch.neighbor[:, 0] > 50)
        assert (batch.x != batch.neighbor).any()
    assert all(torch.equal(batch.x, batch.neighbor) for batch in batches(rows, 6))


def test_parts_of_draws_put_together_are_the_whole():
    noise = generator()
    whole = Draws(
        torch.randn(2, 12, 3, generator=noise),
        torch.randn(2, 12, 3, generator=noise),
        draw_views((2, 12), 1, ("crop", "color"), noise),
    )
    parts = [whole.shard(rank, 3) for rank in range(3)]
    for name in ("z", "eps"):
        joined = torch.cat([getattr(part, name) for part in parts], dim=1)
        assert torch.equal(joined, getattr(whole, name))
    for name in ("crop", "color"):
        joined = torch.cat([getattr(part.views, name) for part in parts], dim=1)
        assert torch.equal(joined, getattr(whole.views, name))
    assert all(part.views.flip is None for part in parts)
    assert Draws(whole.z).shard(0, 3)[1:] == (None, None)


def test_a_function_of_tensors_keeps_the_structure_of_a_batch():
    views = draw_views((2, 4), 1, ("flip",), generator())
    batch = Batch(torch.ones(4, 2), torch.ones(4, 2), Draws(torch.ones(1, 4, 3), None, views))
    doubled = map_tensors(lambda tensor: 2 * tensor, batch)
    assert torch.equal(doubled.draws.z, 2 * batch.draws.z)
    assert torch.equal(doubled.draws.views.flip, 2 * views.flip)
    assert doubled.draws.eps is doubled.draws.views.crop is None
    assert type(doubled) is Batch
