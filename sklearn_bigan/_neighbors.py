"""Neighbours of the training rows, and walks from neighbour to neighbour."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from sklearn_bigan._blocks import Blocks

CPU = torch.device("cpu")

# Distances are measured between the leading principal components: cheaper, and on images nearer
# to the classes than distances between pixels.
MOST_COMPONENTS = 50

# Of few rows the nearest ten are no neighbourhood, and two steps reach half of the table: at most
# one in so many, but never fewer than FEWEST.
ROWS_PER_NEIGHBOR, FEWEST = 100, 3

# Columns up to which an accelerator finds principal components, by all their covariances.
MOST_COVARIANCES = 1000

# Whose distances to a block's rows are on an accelerator at a time: a gigabyte.
QUERY_ROWS = 4096

# Graphs of so many blocks are kept, a million rows: by default more are gone through once. Of
# further blocks they are made anew each time.
MOST_GRAPHS = 16


class BlockGraphs:
    """The neighbours of each row within its block.

    Parameters
    ----------
    blocks : Blocks
        The rows.
    n_neighbors, seed : int
        As for `neighbor_graph`.
    unit : Tensor of shape (n_features,)
        As for `neighbor_graph`.
    """

    def __init__(self, blocks: Blocks, n_neighbors: int, seed: int, unit: Tensor) -> None:
        self.blocks = blocks
        self.n_neighbors = n_neighbors
        self.seed = seed
        self.unit = unit.numpy()
        self.kept = [self._make(number) for number in range(len(blocks.sizes))[:MOST_GRAPHS]]

    def of_block(self, number: int) -> Tensor:
        """Return the block's graph, (n_rows, k), on the device."""
        return self.kept[number] if number < len(self.kept) else self._make(number)

    def _make(self, number: int) -> Tensor:
        rows, device = self.blocks.read(number), self.blocks.device
        return neighbor_graph(rows, self.n_neighbors, self.seed, device, self.unit)


def neighbor_graph(
    rows: np.ndarray,
    n_neighbors: int,
    seed: int,
    device: torch.device = CPU,
    unit: np.ndarray | float = 1.0,
) -> Tensor:
    """Return the nearest other rows of each row.

    Rows of more columns than MOST_COMPONENTS are compared by their correlation: two images of the
    same thing, one of them brighter, are neighbours.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        The training data.
    n_neighbors : int
        How many at most.
    seed : int
        Of the randomised PCA.
    device : torch.device
        Where the graph is wanted, and, if that is an accelerator, found.
    unit : ndarray of shape (n_features,), or 1
        What counts as 1 in each column.

    Returns
    -------
    graph : Tensor of shape (n_samples, k), dtype int64
        Row i holds the neighbours of row i; k is smaller than `n_neighbors` if rows are few.
    """
    n_rows, n_features = rows.shape
    k = min(n_neighbors, max(FEWEST, n_rows // ROWS_PER_NEIGHBOR), n_rows - 1)
    points = rows / unit
    if n_features > MOST_COMPONENTS:
        standardise_rows(points)
        if n_rows > MOST_COMPONENTS:
            return nearest(leading(points, seed, device), k)
    return nearest(torch.from_numpy(points).to(device), k)


def leading(points: np.ndarray, seed: int, device: torch.device) -> Tensor:
    """Return the leading principal components of points, (n_samples, MOST_COMPONENTS)."""
    if device.type != "cpu" and points.shape[1] <= MOST_COVARIANCES:
        return by_covariances(torch.from_numpy(points).to(device))
    with np.errstate(invalid="ignore"):  # shares of a variance that may be 0
        components = PCA(MOST_COMPONENTS, random_state=seed).fit_transform(points)
    return torch.from_numpy(components).to(device)


def by_covariances(points: Tensor) -> Tensor:
    """Return the leading components by all covariances of the columns, an accelerator's way."""
    centred = points - points.mean(0)
    # Few numbers, and in a precision and by a routine that not every accelerator has.
    _, axes = torch.linalg.eigh((centred.T @ centred).cpu().double())
    return centred @ axes[:, -MOST_COMPONENTS:].to(points.dtype).to(points.device)


def nearest(points: Tensor, k: int) -> Tensor:
    """Return the k nearest other points of each, (n_samples, k)."""
    if points.device.type != "cpu":
        return by_brute_force(points, k)
    # No query rows: a row is then not its own neighbour.
    found = NearestNeighbors(n_neighbors=k).fit(points.numpy()).kneighbors(return_distance=False)
    return torch.from_numpy(found)


def by_brute_force(points: Tensor, k: int) -> Tensor:
    """Return the nearest by all distances, an accelerator's way.

    A block takes an H200 80 milliseconds, and scikit-learn on one thread a quarter of a minute.
    """
    found = []
    for start in range(0, len(points), QUERY_ROWS):
        distances = torch.cdist(points[start : start + QUERY_ROWS], points)
        distances.diagonal(start).fill_(torch.inf)  # a point is not its own neighbour
        found.append(distances.topk(k, largest=False).indices)
    return torch.cat(found)


def standardise_rows(rows: np.ndarray) -> None:
    """Bring each row to mean 0 and length 1, in place; a constant row becomes 0.

    Squared distances are then 2 (1 - r), r the correlation of two rows.
    """
    means = rows.mean(axis=1, keepdims=True)
    rows -= means
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    # What rounding leaves of a constant row is not its shape.
    noise = 10 * np.finfo(rows.dtype).eps * np.sqrt(rows.shape[1]) * np.abs(means)
    lengths[lengths <= noise] = np.inf
    rows /= lengths


def walk(graph: Tensor, start: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Where random walks from the rows `start` are after `steps` steps, (len(start),)."""
    here = start
    for _ in range(steps):
        choice = torch.randint(graph.shape[1], here.shape, generator=generator, device=here.device)
        here = graph[here, choice]
    return here
