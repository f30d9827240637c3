"""What a fitted method is worth: probes of representations, reconstructions, samples, clusters.

`PROBES` are functions of a representation of the training rows, their labels, and the same of the
test rows. `METRICS` are functions of a model and of what it is measured on. Both return a dict.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, normalized_mutual_info_score, roc_auc_score
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


def labeled(y: np.ndarray, n: int, n_draws: int = DRAWS) -> list[np.ndarray]:
    """Return draws of the numbers of n rows, stratified; none unless others are left of each."""
    if n > len(y) - len(np.unique(y)):
        return []
    draw = partial(train_test_split, np.arange(len(y)), train_size=n, stratify=y)
    return [draw(random_state=seed)[0] for seed in range(n_draws)]


def linear_probe(F: np.ndarray, y: np.ndarray) -> Pipeline:
    """Fit a logistic regression on standardized features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(F, y)


def nearest(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of the nearest training row's label."""
    model = KNeighborsClassifier(1, algorithm="brute").fit(F_train, y_train)
    return {"1nn": float(model.score(F, y))}


def few_labels(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Mean accuracy of linear probes over draws of 1000 and of 100 labeled rows."""
    figures: Figures = {}
    for n in (1000, 100):
        draws = labeled(y_train, n)
        scores = [linear_probe(F_train[rows], y_train[rows]).score(F, y) for rows in draws]
        figures[f"linear_{n}"] = float(np.mean(scores)) if scores else None
    return figures


def linear(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of the linear probe with all labels, and what a rare one of two classes moves."""
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

    figures: Figures = {}
    draws = {f"svm_{n}": labeled(y_train, n) for n in (100, 1000, 4000)}
    for name, rows_of_draws in (draws | {"svm_all": [np.arange(len(y_train))]}).items():
        if not rows_of_draws:
            figures[name] = None
            continue
        first = rows_of_draws[0]
        if len(first) > CHOOSING_ROWS:
            first = first[labeled(y_train[first], CHOOSING_ROWS, 1)[0]]
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
    for rows in labeled(y_train, 100):
        known = np.full(n_rows, -1)
        known[rows] = y_train[rows]
        found = model.fit(np.zeros((n_rows, 1)), known).transduction_
        accuracies.append(np.mean((found == y_train)[known < 0]))
    return figures | {"label spreading": float(np.mean(accuracies))}


PROBES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Figures]] = {
    **{"1nn": nearest, "few_labels": few_labels, "linear": linear, "svm": svm},
    "neighborhoods": neighborhoods,
}


@dataclass
class Measured:
    """What a model is measured on."""

    name: str  # of the data set
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
    """`score`: share of the variation round the training mean that G(E(x)) keeps (R^2).

    `reconstruction_ratio`: squared error over that for another row: 1 has nothing to do with x.
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
    rows = some(measured.rows[2], C2ST_ROWS)
    return {"c2st": None if model.sample is None else c2st(model.sample(len(rows)), rows)}


def c2st(A: np.ndarray, B: np.ndarray) -> float:
    """Accuracy of the two-sample test by 1-NN (Lopez-Paz and Oquab 2017), .5 if all are alike."""
    rows, origin = np.concatenate([A, B]), np.repeat([0, 1], [len(A), len(B)])
    # Without query rows a row is not its own neighbor.
    found = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(return_distance=False)
    return float(np.mean(origin[found.ravel()] == origin))


def judge(model: Model, measured: Measured) -> Figures:
    """Ask a classifier how often reconstructions and originals are of their class, and of samples.

    `largest_class`: share of its most frequent answer; `frechet`: distance from training images.
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


def agreement(y: np.ndarray, found: np.ndarray, n_clusters: int | None) -> Figures:
    """Mutual information of clusters and classes, share of rows of their cluster's main class.

    `accuracy`, where there are as many clusters as classes: the same with a cluster for each class.
    """
    counts = contingency_matrix(y, found)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum() / len(y)
    return {
        "nmi": float(normalized_mutual_info_score(y, found)),
        "purity": float(counts.max(axis=0).sum() / len(y)),
        "accuracy": float(matched) if n_clusters == len(np.unique(y)) else None,
    }


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
    "clusters": lambda model, measured: agreement(
        measured.rows[3], model.predict_cluster(measured.rows[2]), measured.n_clusters
    ),
    "modes": lambda model, measured: modes_found(
        model.sample(MODE_SAMPLES), *MODES[measured.name.removesuffix("_5000")]
    ),
}


def part(rows: Split) -> Split:
    """Return the rows that are measured: a part of those of large data."""
    if len(rows[0]) <= MANY:
        return rows
    sizes = (TRAINING_PART, TRAINING_PART, TEST_PART, TEST_PART)
    return tuple(map(some, rows, sizes))
