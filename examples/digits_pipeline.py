"""Codes in a scikit-learn pipeline, from grid search to prediction in another process.

On scikit-learn's digits: a Pipeline with logistic regression, a grid search over n_components,
saving, loading in a new process, reconstruction. Every number stands beside the one for PCA.

    python examples/digits_pipeline.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import TransformerMixin
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import BiGANTransformer

# Code of the new process, which is given the names of the files.
LOAD_AND_PREDICT = """
import sys, joblib, numpy as np
model, X, y = joblib.load(sys.argv[1]), np.load(sys.argv[2]), np.load(sys.argv[3])
print(model.score(X, y))
"""


def search(features: TransformerMixin, X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    """Choose n_components by the accuracy of logistic regression on the codes."""
    pipeline = Pipeline(
        [
            ("features", features),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=1000)),
        ]
    )
    grid = {"features__n_components": [8, 16, 32]}
    return GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)


def accuracy_in_a_new_process(model: Pipeline, X: np.ndarray, y: np.ndarray) -> float:
    """Save the model and the rows; load and score them in another Python process."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("model.joblib", "X.npy", "y.npy")]
        joblib.dump(model, files[0])
        np.save(files[1], X)
        np.save(files[2], y)
        command = [sys.executable, "-c", LOAD_AND_PREDICT, *map(str, files)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def explained(model: Pipeline, X: np.ndarray, mean: np.ndarray) -> float:
    """Share of the variation of X that the reconstruction explains (R^2)."""
    transformer = model["features"]
    X_hat = transformer.inverse_transform(transformer.transform(X))
    return float(1 - np.square(X - X_hat).sum() / np.square(X - mean).sum())


def main() -> None:
    """Do the same with both transformers and print one table."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=0
    )
    bigan = BiGANTransformer(random_state=0)
    columns: dict[str, list[str]] = {}
    for name, features in (("BiGAN", bigan), ("PCA", PCA(random_state=0))):
        start = time.perf_counter()
        found = search(features, X_train, y_train)
        model = found.best_estimator_
        scores = found.cv_results_["mean_test_score"]
        columns[name] = [
            *(f"{score:.3f}" for score in scores),
            str(found.best_params_["features__n_components"]),
            f"{model.score(X_test, y_test):.3f}",
            f"{accuracy_in_a_new_process(model, X_test, y_test):.3f}",
            f"{explained(model, X_test, X_train.mean(axis=0)):.3f}",
            f"{time.perf_counter() - start:.1f}",
        ]
    rows = [
        *(f"cross-validated accuracy, {n} components" for n in (8, 16, 32)),
        "components chosen",
        "test accuracy",
        "test accuracy, loaded in a new process",
        "R^2 of the reconstruction, test rows",
        "seconds",
    ]
    print(f"{'digits, 1257 training rows, all labelled':44}{'BiGAN':>8}{'PCA':>8}")
    for row, ours, pca in zip(rows, columns["BiGAN"], columns["PCA"], strict=True):
        print(f"{row:44}{ours:>8}{pca:>8}")


if __name__ == "__main__":
    main()
