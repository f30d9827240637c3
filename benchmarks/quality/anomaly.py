"""Outlier detectors: ours beside those that a user would pick, by area under the ROC curve.

Three protocols. "contaminated": a detector is fitted to a table with its outliers and ranks the
same rows. "novelty": it is fitted to half of the normal rows and ranks all other rows. "permuted":
as "contaminated", with other outliers: rows whose columns are those of different normal rows, odd
only in how they go together (the dependency anomalies of ADBench, Han et al. 2022). Columns are
standardised with the rows that a detector is fitted to. "spoiled" asks our detector of a
contaminated table for the reason why a row is odd: one value of a normal row is moved away, and the
figure is the share of rows whose spoiled column has the largest gain. Tables have at most
`MOST_ROWS` rows, drawn with each seed. One class of images against the others is novelty.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from inspect import signature
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lines import RESULTS, Line
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from quality.data import anomalies, kdd, load
from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer

QUESTION = "Which rows are outliers, and who finds them?"
TABLES = (
    *("annthyroid", "arrhythmia", "breastw", "cardio", "mammography"),
    *("optdigits", "pendigits", "shuttle", "thyroid"),
)
IMAGES = {"digits": (8, 8), "mnist": (28, 28), "fashion_mnist": (28, 28)}
CLASSES = tuple(f"{name}_{label}" for name, label in product(IMAGES, range(10)))
DATA = (*TABLES, "kdd", *CLASSES)
RANKED = ("contaminated", "novelty", "permuted")
PROTOCOLS = (*RANKED, "spoiled")
SEEDS = tuple(range(5))

MOST_ROWS = 2000
KDD_ROWS = 20_000  # of the normal ones, to fit to
IMAGE_EPOCHS = {"digits": 300, "mnist": 12, "fashion_mnist": 12}  # under three minutes of a core
PERMUTED_SHARE = 0.1  # as many rows, as a share of the normal ones, are put together from others
# Rows with a spoiled value, and how many standard deviations it lies from the mean.
SPOILED_ROWS, SPOILED_BY = 200, 6.0
# The share of outliers that the papers' protocol for KDD Cup 99 takes as known.
KDD_SHARE = 0.2

Score = Callable[[np.ndarray], np.ndarray]  # higher is odder
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # fitted to, scored, and 1 for the outliers


def detector(
    X: np.ndarray, seed: int, epochs: int | None, **parameters: Any
) -> BiGANOutlierDetector:
    """Fit the detector of the package; `epochs` is None for tables."""
    networks: dict[str, Any] = {}
    if epochs is not None:
        networks = {"image_shape": square(X), "max_epochs": epochs}
    networks |= parameters.pop("networks", {})
    bigan = BiGANTransformer(random_state=seed, **networks)
    return BiGANOutlierDetector(bigan, random_state=seed, **parameters).fit(X)


def ours(X: np.ndarray, seed: int, epochs: int | None, **parameters: Any) -> Score:
    """Fit the detector of the package, and return its scores."""
    fitted = detector(X, seed, epochs, **parameters)
    return lambda rows: -fitted.score_samples(rows)


def of_scikit_learn(
    make: Callable[..., Any], X: np.ndarray, seed: int, epochs: int | None
) -> Score:
    """Fit a detector of scikit-learn."""
    fitted = make(seed).fit(X)
    return lambda rows: -fitted.score_samples(rows)


def local_outlier_factor(X: np.ndarray, seed: int, epochs: int | None) -> Score:
    """Fit LocalOutlierFactor, whose scores of training rows differ from those of new ones."""
    fitted = LocalOutlierFactor(novelty=True).fit(X)

    def score(rows: np.ndarray) -> np.ndarray:
        return -(fitted.negative_outlier_factor_ if rows is X else fitted.score_samples(rows))

    return score


def of_pyod(module: str, name: str, X: np.ndarray, seed: int, epochs: int | None) -> Score:
    """Fit a detector of PyOD with its defaults."""
    torch.manual_seed(seed)  # some draw from the generators of the process
    np.random.seed(seed)  # noqa: NPY002 - as PyOD draws
    make = getattr(import_module(f"pyod.models.{module}"), name)
    known = {"random_state": seed, "n_features": X.shape[1]}
    if name == "PCA":  # it divides by the variances of all components, which may be 0
        known["n_components"] = int(np.linalg.matrix_rank(X - X.mean(axis=0)))
    given = {key: value for key, value in known.items() if key in signature(make).parameters}
    fitted = make(**given).fit(X)
    return lambda rows: fitted.decision_scores_ if rows is X else fitted.decision_function(rows)


METHODS: dict[str, Callable[[np.ndarray, int, int | None], Score]] = {
    "default": ours,
    "trimmed": partial(ours, trim=0.35),
    "egbad": partial(ours, distance="egbad"),
    "hidden": partial(ours, distance="hidden"),
    "untrained": partial(ours, networks={"max_epochs": 0}),
    "isolation_forest": partial(
        of_scikit_learn, lambda seed: IsolationForest(n_estimators=300, random_state=seed)
    ),
    "local_outlier_factor": local_outlier_factor,
    "one_class_svm": partial(of_scikit_learn, lambda seed: OneClassSVM(nu=0.1)),
    "pca": partial(of_pyod, "pca", "PCA"),
    "knn": partial(of_pyod, "knn", "KNN"),
    "ecod": partial(of_pyod, "ecod", "ECOD"),
    "alad": partial(of_pyod, "alad", "ALAD"),
    "vae": partial(of_pyod, "vae", "VAE"),
    "autoencoder": partial(of_pyod, "auto_encoder", "AutoEncoder"),
    "deep_svdd": partial(of_pyod, "deep_svdd", "DeepSVDD"),
    "dif": partial(of_pyod, "dif", "DIF"),
}


def square(X: np.ndarray) -> tuple[int, int]:
    """Return the shape of square images."""
    side = round(X.shape[1] ** 0.5)
    return side, side


def settings(
    *,
    data: list[str] | None = None,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
) -> Iterator[Line]:
    """Yield the settings of the experiment, or of some of its data, methods and seeds."""
    for name, method, seed in product(data or DATA, methods or METHODS, seeds or SEEDS):
        for protocol in PROTOCOLS if name in TABLES else ("novelty",):
            if protocol == "spoiled" and method != "default":
                continue
            yield {
                **{"experiment": "anomaly", "data": name, "protocol": protocol},
                **{"method": method, "seed": seed},
            }


def run(setting: Line, folder: Path) -> Line:
    """Fit one detector with one seed, and return its figures."""
    name, seed = setting["data"], setting["seed"]
    X, rows, is_odd = load_rows(name, setting["protocol"], seed, folder)
    if name not in CLASSES:
        scale = StandardScaler().fit(X)
        X, rows = scale.transform(X), (None if rows is X else scale.transform(rows))
        rows = X if rows is None else rows
    if setting["protocol"] == "spoiled":
        return {"named_first": named_first(X, is_odd, seed), "rows": len(X)}
    epochs = IMAGE_EPOCHS[name.rpartition("_")[0]] if name in CLASSES else None
    start = time.process_time()
    score = METHODS[setting["method"]](X, seed, epochs)
    fitted = time.process_time() - start
    scores = np.asarray(score(rows), dtype=np.float64)
    figures: Line = {
        "roc_auc": round(float(roc_auc_score(is_odd, scores)), 4),
        "average_precision": round(float(average_precision_score(is_odd, scores)), 4),
        **{"seconds": round(fitted, 2), "rows": len(X), "scored": len(rows)},
    }
    if name == "kdd":
        threshold = np.quantile(scores, 1 - KDD_SHARE)
        found = precision_recall_fscore_support(is_odd, scores > threshold, average="binary")[:3]
        names = ("precision", "recall", "f1")
        figures |= {key: round(float(value), 4) for key, value in zip(names, found, strict=True)}
    return figures


def named_first(X: np.ndarray, is_odd: np.ndarray, seed: int) -> float:
    """Return the share of spoiled rows whose spoiled column has the largest gain of all columns."""
    random = np.random.default_rng(seed)
    varied = np.flatnonzero(X.std(axis=0) > 0)
    normal = random.permutation(np.flatnonzero(is_odd == 0))[:SPOILED_ROWS]
    rows, columns = X[normal].copy(), random.choice(varied, len(normal))
    rows[np.arange(len(rows)), columns] = SPOILED_BY * random.choice([-1, 1], len(rows))
    gains = detector(X, seed, None).explain(rows)
    return round(float(np.mean(gains.argmax(axis=1) == columns)), 4)


def load_rows(name: str, protocol: str, seed: int, folder: Path) -> Rows:
    """Return the rows that a detector is fitted to, those that it scores, and the outliers."""
    random = np.random.default_rng(seed)
    if name in CLASSES:
        name, _, label = name.rpartition("_")
        X, y, X_new, y_new = load(name, folder, validate=False, seed=seed)
        return X[y == int(label)], X_new, (y_new != int(label)).astype(int)
    if name == "kdd":
        # As in the papers: connections labelled normal, a fifth, are the anomalies, and the share
        # of anomalies among the scored rows is a fifth.
        X, y, X_new, y_new = kdd(folder, seed)
        normal = random.permutation(np.flatnonzero(y == 0))[:KDD_ROWS]
        return X[normal], X_new, y_new.astype(int)
    X, y = anomalies(name, folder)
    X, y = drawn(X, y.astype(int), random)
    if protocol == "permuted":
        normal = X[y == 0]
        n_odd = round(PERMUTED_SHARE * len(normal))
        odd = np.column_stack([random.permutation(column)[:n_odd] for column in normal.T])
        X = np.vstack([normal, odd])
        return X, X, np.repeat([0, 1], [len(normal), n_odd])
    if protocol != "novelty":
        return X, X, y
    normal = random.permutation(np.flatnonzero(y == 0))
    half = normal[: len(normal) // 2]
    others = np.setdiff1d(np.arange(len(X)), half)
    return X[half], X[others], y[others]


def drawn(
    X: np.ndarray, y: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `MOST_ROWS` random rows, with the share of outliers of the table."""
    if len(X) <= MOST_ROWS:
        return X, y
    n_odd = round(MOST_ROWS * y.mean())
    odd, normal = (random.permutation(np.flatnonzero(y == label)) for label in (1, 0))
    kept = random.permutation(np.concatenate([odd[:n_odd], normal[: MOST_ROWS - n_odd]]))
    return X[kept], y[kept]


def file_of(setting: Line) -> Path:
    """Return the file of a setting's line."""
    name = setting["data"]
    group = "tables" if name in TABLES else name.rpartition("_")[0] or name
    return RESULTS / f"anomaly_{group}.jsonl"
