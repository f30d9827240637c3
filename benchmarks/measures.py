"""What a representation is worth: nearest neighbour, linear probes, reconstruction."""

import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LABELS = (1000, 100)
DRAWS = 10  # of the labelled rows, the same for every method


def linear_probe(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> float:
    """Accuracy of logistic regression on standardised features, at most 200 iterations."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the cap is the same for all
        return float(probe.fit(F_train, y_train).score(F, y))


def few_labels(
    n: int, F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray
) -> float | None:
    """Mean accuracy of linear probes on draws of n labelled rows, stratified; None if too few."""
    if n > len(y_train) - len(np.unique(y_train)):
        return None
    accuracies = []
    for draw in range(DRAWS):
        labelled, _ = train_test_split(
            np.arange(len(y_train)), train_size=n, stratify=y_train, random_state=draw
        )
        accuracies.append(linear_probe(F_train[labelled], y_train[labelled], F, y))
    return float(np.mean(accuracies))


def probes(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> dict:
    """Every accuracy of one representation."""
    neighbour = KNeighborsClassifier(1, algorithm="brute").fit(F_train, y_train)
    return {
        "1nn": float(neighbour.score(F, y)),
        "linear_all": linear_probe(F_train, y_train, F, y),
    } | {f"linear_{n}": few_labels(n, F_train, y_train, F, y) for n in LABELS}


def explained(model: Any, X: np.ndarray, mean: np.ndarray) -> float:
    """1 - squared error of the reconstruction over that of the training mean, for any method."""
    X_hat = model.inverse_transform(model.transform(X))
    return float(1 - np.square(X - X_hat).sum() / np.square(X - mean).sum())


def measure(model: Any, data: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """Accuracies on z and on hidden features (PCA has none), and the reconstruction."""
    X_train, y_train, X_test, y_test = data
    figures: dict[str, Any] = {"score": explained(model, X_test, X_train.mean(axis=0))}
    figures["z"] = probes(model.transform(X_train), y_train, model.transform(X_test), y_test)
    if isinstance(model, PCA):
        return figures | {"hidden": None}
    model.set_params(features="hidden")
    hidden = probes(model.transform(X_train), y_train, model.transform(X_test), y_test)
    return figures | {"hidden": hidden}
