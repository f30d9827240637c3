"""What a fitted method is worth: probes of representations, reconstructions, samples, clusters.

`PROBES` are functions of a representation of the training rows, their labels, and the same of the
test rows. `METRICS` are functions of a model and of what it is measured on. Both return a dict.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    balanced_accuracy_score,
    get_scorer,
    normalized_mutual_info_score,
    roc_auc_score,
)
from sklearn.metrics.cluster import contingency_matrix
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from quality.classifiers import label_spreading
from quality.data import MODES, Split
from quality.judge import Classifier, frechet_distance, predict, recognised, train_classifier
from quality.methods import Model
from quality.neighbors import both_ways, neighbor_graph, walk
from quality.spectrum import stride_peak
from sklearn_bigan import metrics as selection

Figures = dict[str, Any]

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
# One row is transformed so often, but no more once so many seconds have passed.
ONE_ROW_CALLS, ONE_ROW_SECONDS = 20, 5.0
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


class OneScale(StandardScaler):
    """Center features, and divide all by one number, the root of their mean variance."""

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> "OneScale":
        """Find the means and the number."""
        super().fit(X)
        self.scale_ = np.full_like(self.scale_, np.sqrt(self.var_.mean()))
        return self


def linear_probe(F: np.ndarray, y: np.ndarray, scaled: bool = True) -> Pipeline:
    """Fit a logistic regression on features that are standardized, or all divided by one number."""
    scaler = StandardScaler() if scaled else OneScale()
    return make_pipeline(scaler, LogisticRegression(max_iter=200)).fit(F, y)


def nearest(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of the nearest training row's label."""
    model = KNeighborsClassifier(1, algorithm="brute").fit(F_train, y_train)
    return {"1nn": float(model.score(F, y))}


def few_labels(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray, scaled: bool = True
) -> Figures:
    """Mean accuracy of linear probes over draws of 1000 and of 100 labeled rows."""
    figures: Figures = {}
    for n in (1000, 100):
        draws = labeled(y_train, n)
        probes = (linear_probe(F_train[rows], y_train[rows], scaled) for rows in draws)
        scores = [probe.score(F, y) for probe in probes]
        figures[f"linear_{n}"] = float(np.mean(scores)) if scores else None
    return figures


def linear(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray, scaled: bool = True
) -> Figures:
    """Accuracy of the linear probe with all labels, and what a rare one of two classes moves."""
    probe = linear_probe(F_train, y_train, scaled)
    figures: Figures = {"linear_all": float(probe.score(F, y))}
    if len(probe.classes_) == 2:
        figures["balanced_all"] = float(balanced_accuracy_score(y, probe.predict(F)))
        figures["auc_all"] = float(roc_auc_score(y, probe.decision_function(F)))
    return figures


def svm(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Figures:
    """Accuracy of a linear support vector machine, squared hinge loss, by the number of labels.

    Of attributes this is the mean of their balanced accuracies.
    """
    if y.ndim == 2:
        each = [svm(F_train, y_train[:, i], F, y[:, i]) for i in range(y.shape[1])]
        missing = [name for name, value in each[0].items() if value is None]
        means = {n: float(np.mean([one[n] for one in each])) for n in each[0] if n not in missing}
        return dict.fromkeys(missing) | means
    score = "accuracy" if len(np.unique(y)) > 2 else "balanced_accuracy"
    scored = get_scorer(score)

    def machine(C: float = 1.0) -> Pipeline:
        weights = None if score == "accuracy" else "balanced"
        classifier = LinearSVC(C=C, class_weight=weights, dual=True, tol=1e-2, max_iter=300)
        return make_pipeline(StandardScaler(), classifier)

    figures: Figures = {}
    draws = {f"svm_{n}": labeled(y_train, n) for n in (100, 1000, 4000)}
    for name, rows_of_draws in (draws | {"svm_all": [np.arange(len(y_train))]}).items():
        if not rows_of_draws:
            figures[name] = None
            continue
        first = rows_of_draws[0]
        if len(first) > CHOOSING_ROWS:
            first = first[labeled(y_train[first], CHOOSING_ROWS, 1)[0]]
        search = GridSearchCV(machine(), GRID, cv=3, scoring=score)
        C = search.fit(F_train[first], y_train[first]).best_params_["linearsvc__C"]
        scores = [scored(machine(C).fit(F_train[r], y_train[r]), F, y) for r in rows_of_draws]
        figures[name] = float(np.mean(scores))
    return figures


def neighborhoods(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray
) -> Figures:
    """How often walks over the nearest neighbors keep their class, and label spreading over them.

    Labels only judge the graph. Label spreading gets 100 of them, the mean over draws.
    """
    graph = neighbor_graph(F_train)
    n_rows = len(graph)
    start, figures = np.arange(n_rows), {}
    for n_steps in (1, 2, 4):
        ends = walk(graph, start, n_steps, np.random.default_rng(0))
        figures[f"after {n_steps}"] = float(np.mean(y_train[ends] == y_train))
    edges, accuracies = both_ways(graph), []
    for rows in labeled(y_train, 100):
        found = label_spreading(edges, rows, y_train[rows])
        accuracies.append(np.mean(np.delete(found == y_train, rows)))
    return figures | {"label spreading": float(np.mean(accuracies))}


PROBES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Figures]] = {
    **{"1nn": nearest, "few_labels": few_labels, "linear": linear, "svm": svm},
    "neighborhoods": neighborhoods,
}
# The same for codes whose scales say something.
UNSCALED = PROBES | {
    "few_labels": partial(few_labels, scaled=False),
    "linear": partial(linear, scaled=False),
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
    labels = y if y.ndim == 2 else np.searchsorted(np.unique(y_train), y)
    eye = measured.classifier
    names = ("reconstructions_in_class", "classes_found", "largest_class", "frechet")
    figures: Figures = dict.fromkeys(names)
    figures["originals_in_class"] = recognised(eye, X, labels)
    if model.reconstruct is not None:
        figures["reconstructions_in_class"] = recognised(eye, model.reconstruct(X), labels)
    if model.sample is not None:
        rows = some(X_train, FRECHET_ROWS)
        made = model.sample(len(rows))
        if y.ndim == 1:
            shares = np.bincount(predict(eye, made)) / len(made)
            figures["classes_found"] = int(np.sum(shares > 0))
            figures["largest_class"] = float(shares.max())
        figures["frechet"] = frechet_distance(eye, rows, made)
    return figures


def spectrum(model: Model, measured: Measured) -> Figures:
    """Grid patterns of reconstructions and samples, and those of the held-out images themselves."""
    rows = some(measured.rows[2], C2ST_ROWS)
    made = {"originals": lambda: rows}
    if model.reconstruct is not None:
        made["reconstructions"] = lambda: model.reconstruct(rows)
    if model.sample is not None:
        made["samples"] = lambda: model.sample(len(rows))
    return {
        f"peak_{name}": stride_peak(make().reshape(-1, *measured.image_shape))
        for name, make in made.items()
    }


def accuracy(model: Model, measured: Measured) -> Figures:
    """Accuracy of a classifier with the labels that linear probes get, and under their names.

    `training_seconds`: CPU time of the training with the most labels. It comes on top of what does
    not depend on labels, which is the graph of the transductive ones.
    """
    if model.classify is None:
        return {}
    _, y_train, X, y = measured.rows
    n_rows, rows_of_test = len(y_train), model.encode(X)["rows"]
    draws = {"linear_100": labeled(y_train, 100), "linear_1000": labeled(y_train, 1000)}
    draws["linear_all"] = [np.arange(n_rows)] if n_rows <= model.most_labels else []
    figures: Figures = {}
    for name, rows_of_draws in draws.items():
        scores = []
        for rows in rows_of_draws:
            start = time.process_time()
            predict = model.classify(rows, y_train[rows])
            seconds = time.process_time() - start
            scores.append(np.mean(predict(rows_of_test) == y))
        figures[name] = float(np.mean(scores)) if scores else None
    took = clocked(lambda X: predict(model.encode(X)["rows"]), X)
    return {"z": figures, "training_seconds": round(seconds, 2), **took}


def times(model: Model, measured: Measured) -> Figures:
    """CPU time of codes; a classifier's is measured with its accuracy."""
    if model.classify is not None:
        return {}
    return clocked(model.transform or model.encode, measured.rows[2])


def clocked(function: Callable[[np.ndarray], Any], X: np.ndarray) -> Figures:
    """CPU time of all test rows, and the median time of one of them."""
    start = time.process_time()
    function(X)
    moments = [time.process_time()]
    while len(moments) <= ONE_ROW_CALLS and moments[-1] - moments[0] < ONE_ROW_SECONDS:
        function(X[len(moments) - 1 :][:1])
        moments.append(time.process_time())
    one_row = statistics.median(np.diff(moments))
    return {
        "transform_seconds": round(moments[0] - start, 4),
        "one_row_ms": round(1000 * one_row, 3),
    }


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


def scores(model: Model, measured: Measured) -> Figures:
    """Scores of the estimator without labels, on the test rows."""
    names = selection.__all__
    return {name: getattr(selection, name)(model.estimator, measured.rows[2]) for name in names}


METRICS: dict[str, Callable[[Model, Measured], Figures]] = {
    "reconstruction": reconstruction,
    "samples": samples,
    "judge": judge,
    "spectrum": spectrum,
    "accuracy": accuracy,
    "times": times,
    "scores": scores,
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
