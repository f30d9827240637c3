"""What a fitted method is worth: probes of representations, reconstructions, samples, clusters.

`PROBES` are functions of a representation of the training rows, their labels, and the same of the
test rows. `METRICS` are functions of a model and of what it is measured on. Both return a dict.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    balanced_accuracy_score,
    normalized_mutual_info_score,
    roc_auc_score,
)
from sklearn.metrics.cluster import contingency_matrix
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import LinearSVC

from quality.data import MODES, Split
from quality.judge import Classifier, frechet_distance, predict, train_classifier
from quality.methods import Model
from quality.neighbors import neighbor_graph, walk

Figures = dict[str, float | int | None]

# Draws of labeled rows, the same for every method.
DRAWS = 10
# Of data with more training rows than MANY a part is measured: the cost of nearest neighbors is the
# product of training and test rows.
MANY, TRAINING_PART, TEST_PART = 60_000, 50_000, 20_000
# Rows on either side of a two-sample test, and of a Frechet distance.
C2ST_ROWS, FRECHET_ROWS = 1000, 10_000
# C is chosen by three-fold cross-validation on so many labeled rows of the first draw at most.
GRID, CHOOSING_ROWS = {"linearsvc__C": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]}, 1000
MODE_SAMPLES, FEWEST_NEAR = 10_000, 20
CLASSIFIERS: dict[tuple[str, int], Classifier] = {}


def some(X: np.ndarray, n: int) -> np.ndarray:
    """Return at most n rows, the same for every array of the same length."""
    return X[np.random.default_rng(0).permutation(len(X))[:n]]


def labeled(y: np.ndarray, n: int, draw: int) -> np.ndarray:
    """Return the numbers of n rows, stratified."""
    return train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=draw)[0]


def too_few(y: np.ndarray, n: int) -> bool:
    """Return whether n labeled rows cannot be drawn so that others are left of each class."""
    return n > len(y) - len(np.unique(y))


def linear_probe(F: np.ndarray, y: np.ndarray) -> Pipeline:
    """Fit a logistic regression on standardized features, at most 200 iterations."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(F, y)


def nearest(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of the nearest training row's label."""
    return {
        "1nn": float(KNeighborsClassifier(1, algorithm="brute").fit(F_train, y_train).score(F, y))
    }


def few_labels(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Mean accuracy of linear probes over draws of 1000 and of 100 labeled rows."""
    figures: Figures = {}
    for n in (1000, 100):
        draws = [] if too_few(y_train, n) else [labeled(y_train, n, draw) for draw in range(DRAWS)]
        scores = [linear_probe(F_train[rows], y_train[rows]).score(F, y) for rows in draws]
        figures[f"linear_{n}"] = float(np.mean(scores)) if scores else None
    return figures


def linear(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of the linear probe with all labels.

    Of two classes one may be rare, and accuracy then hardly moves: they also have the balanced
    accuracy and the area under the ROC curve.
    """
    probe = linear_probe(F_train, y_train)
    figures: Figures = {"linear_all": float(probe.score(F, y))}
    if len(probe.classes_) == 2:
        figures["balanced_all"] = float(balanced_accuracy_score(y, probe.predict(F)))
        figures["auc_all"] = float(roc_auc_score(y, probe.decision_function(F)))
    return figures


def svm(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of a linear support vector machine, squared hinge loss, by the number of labels."""

    def machine(C: float = 1.0) -> Pipeline:
        return make_pipeline(StandardScaler(), LinearSVC(C=C, dual=True, tol=1e-2, max_iter=300))

    figures: Figures = {"svm_100": None, "svm_1000": None, "svm_4000": None}
    draws = {
        f"svm_{n}": [labeled(y_train, n, draw) for draw in range(DRAWS)]
        for n in (100, 1000, 4000)
        if not too_few(y_train, n)
    }
    for name, rows_of_draws in (draws | {"svm_all": [np.arange(len(y_train))]}).items():
        first = rows_of_draws[0]
        if len(first) > CHOOSING_ROWS:
            first = first[labeled(y_train[first], CHOOSING_ROWS, 0)]
        search = GridSearchCV(machine(), GRID, cv=3).fit(F_train[first], y_train[first])
        C = search.best_params_["linearsvc__C"]
        scores = [machine(C).fit(F_train[r], y_train[r]).score(F, y) for r in rows_of_draws]
        figures[name] = float(np.mean(scores))
    return figures


def neighborhoods(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray
) -> Figures:
    """How often walks over the nearest neighbors keep their class, and label spreading over them.

    Labels only judge the graph. Label spreading gets 100 of them, the mean over draws.
    """
    graph = neighbor_graph(F_train)
    n_rows, k = graph.shape
    start, figures = np.arange(n_rows), {}
    for n_steps in (1, 2, 4):
        ends = walk(graph, start, n_steps, np.random.default_rng(0))
        figures[f"after {n_steps}"] = float(np.mean(y_train[ends] == y_train))
    edges = (np.ones(n_rows * k), graph.ravel(), np.arange(0, n_rows * k + 1, k))
    one_way = csr_array(edges, shape=(n_rows, n_rows))
    both_ways = one_way + one_way.T
    model = LabelSpreading(kernel=lambda X, Y=None: both_ways, alpha=0.99, max_iter=100)
    accuracies = []
    for draw in range(DRAWS):
        known = np.full(n_rows, -1)
        rows = labeled(y_train, 100, draw)
        known[rows] = y_train[rows]
        found = model.fit(np.zeros((n_rows, 1)), known).transduction_
        accuracies.append(np.mean((found == y_train)[known < 0]))
    return figures | {"label spreading": float(np.mean(accuracies))}


PROBES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Figures]] = {
    "1nn": nearest,
    "few_labels": few_labels,
    "linear": linear,
    "svm": svm,
    "neighborhoods": neighborhoods,
}


@dataclass
class Measured:
    """What a model is measured on.

    Attributes
    ----------
    name : str
        Of the data set.
    rows : tuple of ndarray
        X_train, y_train, X_test, y_test.
    image_shape : tuple of int or None
        Height, width and channels.
    n_clusters : int or None
        Number of clusters asked for.
    """

    name: str
    rows: Split
    image_shape: tuple[int, int, int] | None = None
    n_clusters: int | None = None

    @property
    def classifier(self) -> Classifier:
        """Return a classifier of these images, trained once in a process."""
        key = self.name, len(self.rows[0])
        if key not in CLASSIFIERS:
            CLASSIFIERS[key] = train_classifier(*self.rows[:2], self.image_shape)
        return CLASSIFIERS[key]


def reconstruction(model: Model, measured: Measured) -> Figures:
    """How near G(E(x)) is to x.

    `score`: share of the variation round the training mean that is kept (R^2);
    `reconstruction_ratio`: squared error over that for another row: 0 is perfect, 1 says that a
    reconstruction has nothing to do with its row.
    """
    if model.reconstruct is None:
        return {"score": None, "reconstruction_ratio": None}
    X_train, _, X, _ = measured.rows
    X_hat = model.reconstruct(X)
    error = np.square(X - X_hat).sum()
    order = np.random.default_rng(0).permutation(len(X))
    other = np.square(X[np.roll(order, 1)] - X_hat[order]).sum()
    return {
        "score": float(1 - error / np.square(X - X_train.mean(axis=0)).sum()),
        "reconstruction_ratio": float(error / other),
    }


def samples(model: Model, measured: Measured) -> Figures:
    """`c2st`: how well a nearest neighbor tells samples from held-out rows."""
    if model.sample is None:
        return {"c2st": None}
    rows = some(measured.rows[2], C2ST_ROWS)
    return {"c2st": c2st(model.sample(len(rows)), rows)}


def c2st(A: np.ndarray, B: np.ndarray) -> float:
    """Accuracy of the classifier two-sample test by 1-NN (Lopez-Paz and Oquab 2017).

    Leave-one-out, on samples of the same size: 0.5 if nobody can tell them apart, 1 if 1-NN
    always can.
    """
    rows, origin = np.concatenate([A, B]), np.repeat([0, 1], [len(A), len(B)])
    # Without query rows a row is not its own neighbor.
    found = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(return_distance=False)
    return float(np.mean(origin[found.ravel()] == origin))


def judge(model: Model, measured: Measured) -> Figures:
    """Ask a classifier of the images about reconstructions and samples.

    `reconstructions_in_class`, `originals_in_class`: accuracy on reconstructions of test images and
    on these; `largest_class`: share of its most frequent answer for samples; `frechet`: Frechet
    distance of samples from training images in its features.
    """
    X_train, y_train, X, y = measured.rows
    labels = np.searchsorted(np.unique(y_train), y)
    eye = measured.classifier
    names = ("reconstructions_in_class", "classes_found", "largest_class", "frechet")
    figures: Figures = dict.fromkeys(names)
    figures["originals_in_class"] = float(np.mean(predict(eye, X) == labels))
    if model.reconstruct is not None:
        seen = predict(eye, model.reconstruct(X))
        figures["reconstructions_in_class"] = float(np.mean(seen == labels))
    if model.sample is not None:
        rows = some(X_train, FRECHET_ROWS)
        made = model.sample(len(rows))
        shares = np.bincount(predict(eye, made)) / len(made)
        figures["classes_found"] = int(np.sum(shares > 0))
        figures["largest_class"] = float(shares.max())
        figures["frechet"] = frechet_distance(eye, rows, made)
    return figures


def clusters(model: Model, measured: Measured) -> Figures:
    """How well clusters and classes agree on the test rows."""
    *_, X, y = measured.rows
    return agreement(y, model.predict_cluster(X), measured.n_clusters)


def agreement(y: np.ndarray, found: np.ndarray, n_clusters: int | None) -> Figures:
    """Compare clusters with classes.

    `nmi`: normalized mutual information; `purity`: share of rows of their cluster's most frequent
    class; `accuracy`, where there are as many clusters as classes: the same with one cluster for
    each class, in the best way.
    """
    counts = contingency_matrix(y, found)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum() / len(y)
    return {
        "nmi": float(normalized_mutual_info_score(y, found)),
        "purity": float(counts.max(axis=0).sum() / len(y)),
        "accuracy": float(matched) if n_clusters == len(np.unique(y)) else None,
    }


def modes(model: Model, measured: Measured) -> Figures:
    """Count the modes that samples find."""
    return modes_found(model.sample(MODE_SAMPLES), *MODES[measured.name.removesuffix("_5000")])


def modes_found(made: np.ndarray, centers: np.ndarray, std: float) -> Figures:
    """Count `modes` with 20 samples within three deviations; `near`: share of samples so near."""
    near = cdist(made, centers) <= 3 * std
    return {
        "modes": int((near.sum(axis=0) >= FEWEST_NEAR).sum()),
        "near": float(near.any(axis=1).mean()),
    }


METRICS: dict[str, Callable[[Model, Measured], Figures]] = {
    "reconstruction": reconstruction,
    "samples": samples,
    "judge": judge,
    "clusters": clusters,
    "modes": modes,
}


def part(rows: Split) -> Split:
    """Return the rows that are measured: a part of those of large data."""
    if len(rows[0]) <= MANY:
        return rows
    X_train, y_train, X, y = rows
    return (
        *(some(array, TRAINING_PART) for array in (X_train, y_train)),
        *(some(array, TEST_PART) for array in (X, y)),
    )
