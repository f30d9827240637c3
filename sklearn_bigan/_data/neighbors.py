"""The k-nearest-neighbour graph of the training rows, and random neighbours from it."""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_bigan._data.source import RowSource, as_tensor

# Distances are measured between the leading principal components: cheaper, and on images closer
# to the classes than distances between pixels.
MAX_COMPONENTS = 50

# In small data sets ten neighbours span too large a region: use at most n_rows / ROWS_PER_NEIGHBOR
# neighbours, but at least MIN_NEIGHBORS.
ROWS_PER_NEIGHBOR, MIN_NEIGHBORS = 100, 3

# Up to this number of columns an accelerator computes principal components from the covariances.
MAX_COVARIANCES = 1000

# Query rows per chunk: on an accelerator a 4096 x 65,536 float32 distance matrix takes 1 GB; on the
# CPU Ctrl-C is noticed after a chunk, about a second.
QUERY_ROWS = 4096

# Graphs of the first 16 blocks (a million rows) are kept; those of later blocks are recomputed in
# each epoch. By default, larger data are passed over once.
MAX_GRAPHS = 16


class NeighborGraphs:
    """The k-nearest-neighbour graph of each block of rows.

    `seed` is that of the randomised PCA. `announce` is called with the name of each block before
    its graph is computed, which may take a quarter of a minute.
    """

    def __init__(
        self,
        source: RowSource,
        n_neighbors: int,
        seed: int,
        announce: Callable[[str], None] = lambda phase: None,
    ) -> None:
        self.source = source
        self.n_neighbors = n_neighbors
        self.seed = seed
        self.announce = announce
        self.kept = [self._compute(number) for number in range(len(source.spans))[:MAX_GRAPHS]]

    def of_block(self, number: int) -> Tensor:
        """Return the graph of a block, (n_rows, k), on the device."""
        return self.kept[number] if number < len(self.kept) else self._compute(number)

    def _compute(self, number: int) -> Tensor:
        self.announce(f"neighbours of block {number + 1}/{len(self.source.spans)}")
        rows = self.source.read(number)
        return neighbor_graph(rows, self.n_neighbors, self.seed, self.source.device)


def neighbor_graph(rows: np.ndarray, n_neighbors: int, seed: int, device: torch.device) -> Tensor:
    """Return the nearest other rows of each row: indices, (n_samples, k), on the device.

    k is `n_neighbors`, or smaller for few rows. Standardised float32 rows with more columns than
    MAX_COMPONENTS are compared by their correlation: two images that differ in brightness and
    contrast only are neighbours. An accelerator computes the graph, too.
    """
    n_rows, n_features = rows.shape
    k = min(n_neighbors, max(MIN_NEIGHBORS, n_rows // ROWS_PER_NEIGHBOR), n_rows - 1)
    if n_features > MAX_COMPONENTS:
        rows = standardise_rows(rows)
    if min(n_rows, n_features) > MAX_COMPONENTS:
        return nearest(leading_components(rows, seed, device), k)
    return nearest(as_tensor(rows).to(device), k)


def leading_components(points: np.ndarray, seed: int, device: torch.device) -> Tensor:
    """Return the leading principal components of points, (n_samples, MAX_COMPONENTS)."""
    if device.type != "cpu" and points.shape[1] <= MAX_COVARIANCES:
        centred = torch.from_numpy(points - points.mean(axis=0)).to(device)
        # The eigenvectors of a small matrix, in float64, which not every accelerator has.
        _, axes = torch.linalg.eigh((centred.T @ centred).cpu().double())
        return centred @ axes[:, -MAX_COMPONENTS:].to(centred.dtype).to(device)
    with np.errstate(invalid="ignore"):  # explained variance ratios of a variance of 0
        components = PCA(MAX_COMPONENTS, random_state=seed).fit_transform(points)
    return torch.from_numpy(components).to(device)


def nearest(points: Tensor, k: int) -> Tensor:
    """Return the k nearest other points of each, (n_samples, k)."""
    if points.device.type != "cpu":
        return nearest_by_brute_force(points, k)
    search = NearestNeighbors(n_neighbors=k + 1).fit(points.numpy())
    found = []
    for cut in gen_batches(len(points), QUERY_ROWS):
        indices = search.kneighbors(points[cut].numpy(), return_distance=False)
        others = indices != np.arange(len(points))[cut, None]
        others[others.all(axis=1), 0] = False  # a row with more than k equal ones
        found.append(indices[others].reshape(-1, k))
    return torch.from_numpy(np.concatenate(found))


def nearest_by_brute_force(points: Tensor, k: int) -> Tensor:
    """Return the nearest points from all distances, on an accelerator.

    A block takes an H200 80 ms; scikit-learn on one thread takes a quarter of a minute.
    """
    found = []
    for start in range(0, len(points), QUERY_ROWS):
        distances = torch.cdist(points[start : start + QUERY_ROWS], points)
        distances.diagonal(start).fill_(torch.inf)  # a point is not its own neighbour
        found.append(distances.topk(k, largest=False).indices)
    return torch.cat(found)


def standardise_rows(rows: np.ndarray) -> np.ndarray:
    """Return each row with mean 0 and length 1; a constant row becomes 0.

    Squared distances are then 2 (1 - r), with r the correlation of two rows.
    """
    means = rows.mean(axis=1, keepdims=True)
    centred = rows - means
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    # The round-off left of a constant row is not its shape.
    round_off = 10 * np.finfo(rows.dtype).eps * np.sqrt(rows.shape[1]) * np.abs(means)
    lengths[lengths <= round_off] = np.inf
    centred /= lengths
    return centred


def random_neighbors(graph: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return one of the neighbours of each of the rows, (len(rows),)."""
    choice = torch.randint(graph.shape[1], rows.shape, generator=generator, device=rows.device)
    return graph[rows, choice]
