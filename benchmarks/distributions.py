"""How far two samples' distributions are apart."""

import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.neighbors import NearestNeighbors


def some(X: np.ndarray, n: int) -> np.ndarray:
    """At most n rows, the same for every array of the same length."""
    return X[np.random.default_rng(0).permutation(len(X))[:n]]


def energy_distance(A: np.ndarray, B: np.ndarray) -> float:
    """Energy distance over what it would be if neither sample had any spread of its own.

    (2 E|a - b| - E|a - a'| - E|b - b'|) / (2 E|a - b|), pairs of different rows: in expectation
    0 for the same distribution (single figures may lie a little below), 1 at most.
    """
    across = 2 * cdist(A, B).mean()
    return float(1 - (pdist(A).mean() + pdist(B).mean()) / across)


def c2st(A: np.ndarray, B: np.ndarray) -> float:
    """Accuracy of the classifier two-sample test by 1-NN (Lopez-Paz & Oquab 2017).

    Leave-one-out, on samples of the same size: 0.5 if nobody can tell them apart, 1 if 1-NN
    always can.
    """
    rows, origin = np.concatenate([A, B]), np.repeat([0, 1], [len(A), len(B)])
    # No query rows: a row is then not its own neighbour.
    nearest = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(return_distance=False)
    return float(np.mean(origin[nearest.ravel()] == origin))


def total_variance(X: np.ndarray) -> float:
    """Sum of the columns' variances."""
    return float(X.var(axis=0).sum())
