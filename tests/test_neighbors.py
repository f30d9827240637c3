import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from sklearn_bigan import _blocks, _neighbors
from sklearn_bigan._batches import PairBatches
from sklearn_bigan._blocks import Blocks
from sklearn_bigan._neighbors import (
    BlockGraphs,
    by_brute_force,
    by_covariances,
    neighbor_graph,
    walk,
)

# Two clumps of 20 rows each, far apart.
ROWS = np.random.RandomState(0).randn(40, 3).astype(np.float32)
ROWS[20:] += 100


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_neighbours_are_the_nearest_other_rows():
    distances = np.linalg.norm(ROWS[:, None] - ROWS[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1)[:, :3]
    np.testing.assert_array_equal(np.sort(neighbor_graph(ROWS, 3, seed=0)), np.sort(expected))


@pytest.mark.parametrize("query_rows", [7, 100])
def test_an_accelerator_finds_the_same_neighbours(monkeypatch, query_rows):
    monkeypatch.setattr(_neighbors, "QUERY_ROWS", query_rows)
    expected = neighbor_graph(ROWS, 3, seed=0)
    torch.testing.assert_close(by_brute_force(torch.from_numpy(ROWS), 3), expected)


def test_an_accelerator_finds_the_same_principal_components():
    points = np.random.RandomState(0).randn(500, 60) * np.geomspace(10, 0.1, 60) + 3
    expected = PCA(50).fit_transform(points)
    found = by_covariances(torch.from_numpy(points)).numpy()[:, ::-1]  # from the least on
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n_rows", "k"), [(40, 3), (700, 7), (1500, 10)])
def test_few_rows_have_small_neighbourhoods(n_rows, k):
    rows = np.random.RandomState(0).randn(n_rows, 3)
    assert neighbor_graph(rows, 10, seed=0).shape == (n_rows, k)


def test_identical_rows_are_each_others_neighbours_and_not_their_own():
    graph = neighbor_graph(np.ones((6, 2), dtype=np.float32), 3, seed=0)
    assert all(row not in neighbours for row, neighbours in enumerate(graph.tolist()))


@pytest.mark.parametrize("n_rows", [2, 3])
def test_a_few_rows_have_the_neighbours_there_are(n_rows):
    assert neighbor_graph(ROWS[:n_rows], 10, seed=0).shape == (n_rows, n_rows - 1)


def test_wide_rows_are_compared_by_their_principal_components():
    random = np.random.RandomState(1)
    leading, noise = 4 * random.randn(1000, 50), 1.5 * random.randn(1000, 500)
    wide = np.c_[leading, noise].astype(np.float32)  # together the noise weighs more
    graph = neighbor_graph(wide, 3, seed=0).numpy()

    _neighbors.standardise_rows(wide)

    def agreement(columns) -> float:
        found = NearestNeighbors(n_neighbors=3).fit(columns).kneighbors(return_distance=False)
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(graph, found, strict=True)]))

    assert agreement(PCA(50, random_state=0).fit_transform(wide)) > 0.95
    assert agreement(wide) < 0.8


def test_wide_rows_are_compared_by_correlation():
    rows = np.random.RandomState(0).randn(30, 60).astype(np.float32)
    brighter = np.r_[rows, 5 * rows + 3]
    before = brighter.copy()
    graph = neighbor_graph(brighter, 1, seed=0)
    assert torch.equal(graph[:, 0], torch.arange(60).roll(30))  # each finds its other self
    np.testing.assert_array_equal(brighter, before)


def test_narrow_rows_are_compared_by_distance():
    rows = np.array([[0, 1], [0, 10], [1, 0], [10, 1]], dtype=np.float32)
    graph = neighbor_graph(rows, 1, seed=0)
    assert graph[:, 0].tolist() == [2, 0, 0, 2]


def test_rows_without_variation_become_nothing_and_others_of_length_one():
    levels = np.array([[0], [7], [0.1], [1 / 3], [-100.1], [1e-6]])  # most are rounded
    constant = (levels * np.ones(784)).astype(np.float32)
    faint = constant + 1e-4 * np.abs(levels) * np.random.RandomState(0).randn(784)
    rows = np.r_[constant, faint[1:]].astype(np.float32)
    _neighbors.standardise_rows(rows)
    lengths = np.linalg.norm(rows, axis=1)
    assert not lengths[:6].any()
    np.testing.assert_allclose(lengths[6:], 1, rtol=1e-5)


def test_neighbours_are_sought_within_a_block(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_ROWS", 16)
    monkeypatch.setattr(_blocks, "SPANS", 4)
    monkeypatch.setattr(_neighbors, "MOST_GRAPHS", 2)
    blocks = Blocks(ROWS, torch.device("cpu"), seed=0)
    graphs = BlockGraphs(blocks, 3, 0, unit=torch.ones(ROWS.shape[1]))
    assert len(graphs.kept) == 2
    for number in range(3):
        expected = neighbor_graph(blocks.read(number), 3, seed=0)
        assert torch.equal(graphs.of_block(number), expected)


def test_a_walk_takes_as_many_steps_as_it_is_told():
    circle = (torch.arange(10) + 1).remainder(10).unsqueeze(1)  # each row's neighbour is the next
    for steps in (1, 2, 5):
        ends = walk(circle, torch.arange(10), steps, generator())
        assert torch.equal(ends, (torch.arange(10) + steps).remainder(10))


def test_a_walk_takes_each_neighbour_equally_often():
    graph = torch.tensor([[1, 2, 3, 4]] * 5)
    ends = walk(graph, torch.zeros(40_000, dtype=torch.int64), 1, generator())
    share = torch.bincount(ends, minlength=5) / len(ends)
    assert share[0] == 0
    assert (share[1:] - 0.25).abs().max() < 0.02  # standard error 0.002


def test_an_epoch_has_every_row_once_with_a_partner_of_its_clump():
    batches = PairBatches(
        torch.from_numpy(ROWS), 6, generator(), graph=neighbor_graph(ROWS, 4, 0), steps=3
    )
    seen = []
    for batch in batches:
        rows, partners = batch.chunk(2)
        seen.append(rows)
        assert len(rows) == len(partners) <= 6
        assert torch.equal(rows[:, 0] > 50, partners[:, 0] > 50)
    assert len(seen) == len(batches) == 7
    rows = torch.cat(seen)
    assert torch.equal(rows[rows[:, 0].argsort()], torch.from_numpy(ROWS[ROWS[:, 0].argsort()]))


def test_without_a_graph_each_row_is_its_own_partner():
    rows = torch.arange(7.0).unsqueeze(1)
    batches = list(PairBatches(rows, 3, generator(), graph=None, steps=2))
    assert [len(batch) for batch in batches] == [6, 8]  # a single pair joins the one before it
    for batch in batches:
        one, other = batch.chunk(2)
        assert torch.equal(one, other)


def test_distances_are_in_the_units_of_the_columns():
    for rows in (ROWS, np.tile(ROWS, (1, 30))):  # narrow; wide, where correlations count
        unit = np.ones(rows.shape[1], dtype=np.float32)
        unit[0] = 1024
        found = neighbor_graph(rows * unit, 3, seed=0, unit=unit)
        assert torch.equal(found, neighbor_graph(rows, 3, seed=0))
        assert not torch.equal(found, neighbor_graph(rows * unit, 3, seed=0))
