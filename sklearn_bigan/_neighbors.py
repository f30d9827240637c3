"""Neighbours of the training rows, and walks from neighbour to neighbour."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

# Distances are measured between the leading principal components: cheaper, and on images nearer
# to the classes than distances between pixels.
MOST_COMPONENTS = 50

# Of few rows the nearest ten are no neighbourhood, and two steps reach half of the table: at most
# one in so many, but never fewer than FEWEST.
ROWS_PER_NEIGHBOR, FEWEST = 100, 3

# Rows beyond this are split at random into blocks, and neighbours sought within a row's block:
# the cost of brute force grows with the square.
BLOCK_ROWS = 65_536


def neighbor_graph(rows: np.ndarray, n_neighbors: int, seed: int) -> Tensor:
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
        Of the blocks and of the randomised PCA.

    Returns
    -------
    graph : Tensor of shape (n_samples, k), dtype int64
        Row i holds the neighbours of row i; k is smaller than `n_neighbors` if rows are few.
    """
    n_rows, n_features = rows.shape
    order = np.random.default_rng(seed).permutation(n_rows)
    blocks = np.array_split(order, -(-n_rows // BLOCK_ROWS))
    k = min(n_neighbors, max(FEWEST, n_rows // ROWS_PER_NEIGHBOR), min(map(len, blocks)) - 1)
    graph = np.empty((n_rows, k), dtype=np.int64)
    pca = None
    for block in blocks:
        points = rows[block]
        if n_features > MOST_COMPONENTS:
            standardise_rows(points)
            if pca is None and len(block) > MOST_COMPONENTS:
                # The components of the first block serve all: PCA copies the rows it is shown.
                pca = PCA(MOST_COMPONENTS, random_state=seed)
                with np.errstate(invalid="ignore"):  # shares of a variance that may be 0
                    pca.fit(points)
            points = points if pca is None else pca.transform(points)
        # No query rows: a row is then not its own neighbour.
        found = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
        graph[block] = block[found]
    return torch.from_numpy(graph)


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
