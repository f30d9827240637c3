"""Nearest neighbors of rows, found by scikit-learn as the estimator finds them."""

import numpy as np
from numpy.random import Generator
from scipy.sparse import csr_array
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

# Rows of more columns are compared by their leading principal components.
MOST_COMPONENTS = 50
N_NEIGHBORS, FEWEST, ROWS_PER_NEIGHBOR = 10, 3, 100


def comparable(X: np.ndarray, by: str, seed: int = 0) -> np.ndarray:
    """Return the points whose distances compare the rows (n_samples, n_features).

    Two images of the same thing, one of them brighter, have a high "correlation"; otherwise rows
    are compared by "distance".
    """
    if by == "correlation":
        X = X - X.mean(axis=1, keepdims=True)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    if X.shape[1] > MOST_COMPONENTS < len(X):
        return PCA(MOST_COMPONENTS, random_state=seed).fit_transform(X)
    return X


def neighbor_graph(points: np.ndarray) -> np.ndarray:
    """Return the nearest other rows of each row, (n_samples, k)."""
    k = min(N_NEIGHBORS, max(FEWEST, len(points) // ROWS_PER_NEIGHBOR), len(points) - 1)
    # Without query rows a row is not its own neighbor.
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def compared(X: np.ndarray, seed: int) -> np.ndarray:
    """Return the points whose distances compare the rows as the estimator does."""
    return comparable(X, "correlation" if X.shape[1] > MOST_COMPONENTS else "distance", seed)


def nearness(points: np.ndarray, graph: np.ndarray) -> np.ndarray:
    """Return a weight for each neighbor, exp(-4 d^2 / d_k^2), d_k being that of the last one."""
    squares = np.square(points[graph] - points[:, np.newaxis]).sum(axis=2)
    return np.exp(-4 * squares / np.maximum(squares.max(axis=1, keepdims=True), 1e-12))


def both_ways(graph: np.ndarray, weights: np.ndarray | None = None) -> csr_array:
    """Return the sum of the weights of both directions, else 1 each, (n_samples, n_samples)."""
    n_rows, k = graph.shape
    weights = np.ones((n_rows, k)) if weights is None else weights
    edges = (weights.ravel(), graph.ravel(), np.arange(0, n_rows * k + 1, k))
    one_way = csr_array(edges, shape=(n_rows, n_rows))
    return one_way + one_way.T


def walk(graph: np.ndarray, start: np.ndarray, n_steps: int, random: Generator) -> np.ndarray:
    """Return the ends of random walks from the rows `start`."""
    for _ in range(n_steps):
        start = graph[start, random.integers(graph.shape[1], size=len(start))]
    return start
