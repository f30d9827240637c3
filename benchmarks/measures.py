"""What a trained method is worth: probes of its representations, reconstruction, samples."""

from typing import Any

import numpy as np
from data import Split
from distributions import c2st, energy_distance, some, total_variance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from trained import Trained

REPRESENTATIONS = ("z", "hidden", "all", "discriminator")
LABELS = (1000, 100)
DRAWS = 10  # of the labelled rows, the same for every method

# Of data with more training rows than MANY a part is measured: nearest neighbours cost the product
# of training and test rows, and logistic regression minutes.
MANY, TRAINING_PART, TEST_PART = 60_000, 50_000, 20_000

# Rows on either side of an energy distance and of a two-sample test.
ENERGY_ROWS, C2ST_ROWS = 2000, 1000


def nearest_neighbor(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray
) -> float:
    """Accuracy of the nearest training row's label."""
    return float(KNeighborsClassifier(1, algorithm="brute").fit(F_train, y_train).score(F, y))


def linear_probe(F_train: np.ndarray, y_train: np.ndarray) -> Pipeline:
    """Logistic regression on standardised features, at most 200 iterations."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(F_train, y_train)


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
        accuracies.append(linear_probe(F_train[labelled], y_train[labelled]).score(F, y))
    return float(np.mean(accuracies))


def quick_probes(*split: np.ndarray) -> dict[str, float | None]:
    """Accuracies that take no long training."""
    return {"1nn": nearest_neighbor(*split)} | {
        f"linear_{n}": few_labels(n, *split) for n in LABELS
    }


def probes(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray
) -> dict[str, float | None]:
    """Every accuracy of one representation.

    Of two classes one may be rare, and accuracy then hardly moves: more is said of these.
    """
    probe = linear_probe(F_train, y_train)
    figures = quick_probes(F_train, y_train, F, y) | {"linear_all": float(probe.score(F, y))}
    if len(probe.classes_) == 2:
        figures["balanced_all"] = float(balanced_accuracy_score(y, probe.predict(F)))
        figures["auc_all"] = float(roc_auc_score(y, probe.decision_function(F)))
    return figures


def reconstruction(trained: Trained, X: np.ndarray, mean: np.ndarray) -> dict[str, float | None]:
    """How near G(E(x)) is to x: by what the mean leaves (`score`, R^2), by how near another row is.

    `reconstruction_ratio`: mean squared error over that against another row; 0 is perfect, 1 says
    that the reconstruction has nothing to do with its row.
    """
    if trained.reconstruct is None:
        return {"score": None, "reconstruction_ratio": None}
    X_hat = trained.reconstruct(X)
    error = np.square(X - X_hat).sum()
    order = np.random.default_rng(0).permutation(len(X))
    other = np.square(X[np.roll(order, 1)] - X_hat[order]).sum()
    return {
        "score": float(1 - error / np.square(X - mean).sum()),
        "reconstruction_ratio": float(error / other),
    }


def generation(
    trained: Trained, codes: np.ndarray | None, X: np.ndarray
) -> dict[str, float | None]:
    """How near codes are to the prior's draws, and samples to rows."""
    figures: dict[str, float | None] = dict.fromkeys(("prior_distance", "sample_energy", "c2st"))
    rows = some(X, ENERGY_ROWS)
    if trained.prior_draws is not None:
        codes = some(codes, ENERGY_ROWS)
        figures["prior_distance"] = energy_distance(codes, trained.prior_draws(len(codes)))
    if trained.sample is not None:
        samples = trained.sample(len(rows))
        figures["sample_energy"] = energy_distance(samples, rows)
        figures["c2st"] = c2st(samples[:C2ST_ROWS], rows[:C2ST_ROWS])
    return figures


def collapsed(
    trained: Trained, codes: np.ndarray | None, X: np.ndarray, ratio: float | None
) -> bool | None:
    """Whether something was lost in training: the codes' spread, the samples', or the way back.

    Codes have less than 1 % of the prior's variance, samples less than 5 % of the rows', or
    reconstructions are hardly nearer to their row than to another.
    """
    signs = []
    if trained.prior_draws is not None:
        prior = total_variance(trained.prior_draws(ENERGY_ROWS))
        signs.append(total_variance(codes) < 0.01 * prior)
    if trained.sample is not None:
        signs.append(total_variance(trained.sample(ENERGY_ROWS)) < 0.05 * total_variance(X))
    if ratio is not None:
        signs.append(ratio > 0.95)
    return any(signs) if signs else None


def measure(trained: Trained, data: Split) -> dict[str, Any]:
    """All figures; None for what a method has not."""
    if len(data[0]) > MANY:
        parts = (TRAINING_PART, TRAINING_PART, TEST_PART, TEST_PART)
        data = tuple(some(array, n) for array, n in zip(data, parts, strict=True))
    X_train, y_train, X_test, y_test = data
    F_train, F_test = trained.encode(X_train), trained.encode(X_test)
    figures: dict[str, Any] = {
        name: probes(F_train[name], y_train, F_test[name], y_test) if name in F_test else None
        for name in REPRESENTATIONS
    }
    codes = F_test.get("z")
    figures |= reconstruction(trained, X_test, X_train.mean(axis=0))
    figures |= generation(trained, codes, X_test)
    figures["collapsed"] = collapsed(trained, codes, X_test, figures["reconstruction_ratio"])
    figures["checkpoints"] = [measure_codes(checkpoint, data) for checkpoint in trained.checkpoints]
    return figures


def measure_codes(checkpoint: Trained, data: Split) -> dict[str, Any]:
    """Quick accuracies of codes on the way through training."""
    X_train, y_train, X_test, y_test = data
    Z_train, Z_test = (checkpoint.encode(X).get("z") for X in (X_train, X_test))
    return {
        "seconds": round(checkpoint.seconds, 1),
        "updates": checkpoint.updates,
        "z": None if Z_test is None else quick_probes(Z_train, y_train, Z_test, y_test),
    }
