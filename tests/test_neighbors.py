"""The nearest-neighbour graph, and random walks on it."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from sklearn_bigan._data import neighbors, source
from sklearn_bigan._data.neighbors import (
    NeighborGraphs,
    nearest_by_brute_force,
    random_neighbors,
    standardise_rows,
)
from sklearn_bigan._data.source import RowSource
from sklearn_bigan._data.standardizer import Standardizer

CPU = torch.device("cpu")
# Two clumps of 20 rows each, far apart.
ROWS = np.random.RandomState(0).randn(40, 3).astype(np.float32)
ROWS[20:] += 100


def neighbor_graph(rows: np.ndarray, n_neighbors: int) -> torch.Tensor:
    return neighbors.neighbor_graph(rows, n_neighbors, seed=0, device=CPU)


def test_neighbours_are_the_nearest_other_rows():
    distances = np.linalg.norm(ROWS[:, None] - ROWS[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1)[:, :3]
    np.testing.assert_array_equal(np.sort(neighbor_graph(ROWS, 3)), np.sort(expected))


@pytest.mark.parametrize("query_rows", [7, 100])
def test_brute_force_finds_the_same_neighbours(monkeypatch, query_rows):
    monkeypatch.setattr(neighbors, "QUERY_ROWS", query_rows)
    found = nearest_by_brute_force(torch.from_numpy(ROWS), 3)
    torch.testing.assert_close(found, neighbor_graph(ROWS, 3))


def test_neighbours_are_found_in_chunks_of_rows(monkeypatch):
    rows = np.concatenate([ROWS, np.ones((9, 3), dtype=np.float32)])
    whole = neighbor_graph(rows, 3)
    monkeypatch.setattr(neighbors, "QUERY_ROWS", 7)
    torch.testing.assert_close(neighbor_graph(rows, 3), whole)


@pytest.mark.parametrize(("n_rows", "k"), [(40, 3), (700, 7), (1500, 10)])
def test_few_rows_have_small_neighbourhoods(n_rows, k):
    rows = np.random.RandomState(0).randn(n_rows, 3).astype(np.float32)
    assert neighbor_graph(rows, 10).shape == (n_rows, k)


def test_identical_rows_are_each_others_neighbours_and_not_their_own():
    graph = neighbor_graph(np.ones((6, 2), dtype=np.float32), 3)
    assert all(row not in neighbours for row, neighbours in enumerate(graph.tolist()))


@pytest.mark.parametrize("n_rows", [2, 3])
def test_very_few_rows_are_all_neighbours(n_rows):
    assert neighbor_graph(ROWS[:n_rows], 10).shape == (n_rows, n_rows - 1)


def test_wide_rows_are_compared_by_their_principal_components():
    random = np.random.RandomState(1)
    leading, noise = 4 * random.randn(1000, 50), 1.5 * random.randn(1000, 500)
    wide = np.c_[leading, noise].astype(np.float32)  # together the noise weighs more
    graph = neighbor_graph(wide, 3).numpy()
    wide = standardise_rows(wide)

    def agreement(columns) -> float:
        found = NearestNeighbors(n_neighbors=3).fit(columns).kneighbors(return_distance=False)
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(graph, found, strict=True)]))

    assert agreement(PCA(50, random_state=0).fit_transform(wide)) > 0.95
    assert agreement(wide) < 0.8


def test_wide_rows_are_compared_by_correlation():
    rows = np.random.RandomState(0).randn(30, 60).astype(np.float32)
    brighter = np.r_[rows, 5 * rows + 3]
    before = brighter.copy()
    graph = neighbor_graph(brighter, 1)
    assert torch.equal(graph[:, 0], torch.arange(60).roll(30))  # each finds its other self
    np.testing.assert_array_equal(brighter, before)


def test_narrow_rows_are_compared_by_distance():
    rows = np.array([[0, 1], [0, 10], [1, 0], [10, 1]], dtype=np.float32)
    graph = neighbor_graph(rows, 1)
    assert graph[:, 0].tolist() == [2, 0, 0, 2]


def test_constant_rows_become_zero_and_others_have_length_one():
    levels = np.array([[0], [7], [0.1], [1 / 3], [-100.1], [1e-6]])  # most are rounded
    constant = (levels * np.ones(784)).astype(np.float32)
    faint = constant + 1e-4 * np.abs(levels) * np.random.RandomState(0).randn(784)
    rows = np.r_[constant, faint[1:]].astype(np.float32)
    lengths = np.linalg.norm(standardise_rows(rows), axis=1)
    assert not lengths[:6].any()
    np.testing.assert_allclose(lengths[6:], 1, rtol=1e-5)


def test_neighbours_are_searched_within_a_block_in_the_units_of_the_networks(monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 16)
    monkeypatch.setattr(source, "SPANS_PER_BLOCK", 4)
    monkeypatch.setattr(neighbors, "MAX_GRAPHS", 2)
    standardizer = Standardizer(np.zeros(3), np.array([1024.0, 1.0, 1.0]))
    rows = RowSource(ROWS, standardizer, CPU, seed=0)
    graphs = NeighborGraphs(rows, 3, seed=0)
    assert len(graphs.kept) == 2
    for number in range(3):
        found = graphs.of_block(number)
        assert torch.equal(found, neighbor_graph(rows.read(number), 3))
        in_other_units = np.concatenate([ROWS[span] for span in rows.spans[number]])
        assert not torch.equal(found, neighbor_graph(in_other_units, 3))


def test_a_random_neighbour_is_one_of_the_rows_own():
    circle = (torch.arange(10) + 1).remainder(10).unsqueeze(1)  # each row's neighbour is the next
    rows = torch.tensor([7, 9, 0])
    assert random_neighbors(circle, rows, torch.Generator()).tolist() == [8, 0, 1]


def test_each_neighbour_is_chosen_equally_often():
    graph = torch.tensor([[1, 2, 3, 4]] * 5)
    rows = torch.zeros(40_000, dtype=torch.int64)
    found = random_neighbors(graph, rows, torch.Generator())
    share = torch.bincount(found, minlength=5) / len(found)
    assert share[0] == 0
    assert (share[1:] - 0.25).abs().max() < 0.02  # standard error 0.002
