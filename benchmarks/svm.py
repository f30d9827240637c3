"""What features are worth to a linear SVM with squared hinge loss, by the number of labels."""

from collections.abc import Sequence

import numpy as np
from runs import Line
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

DRAWS = 10
# C, by three-fold cross-validation on the labelled rows of the first draw; on so many of them at
# most, since fits to more take minutes.
GRID = {"linearsvc__C": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
FOLDS, CHOOSING_ROWS = 3, 1000


def accuracies(
    F_train: np.ndarray,
    y_train: np.ndarray,
    F: np.ndarray,
    y: np.ndarray,
    numbers: Sequence[int | str],
) -> Line:
    """Accuracy by the number of labels, or "all": the mean over stratified draws.

    None where there are not so many labels.
    """
    found: Line = {}
    for n in numbers:
        if n == "all":
            draws = [np.arange(len(y_train))]
        elif n > len(y_train) - len(np.unique(y_train)):
            found[f"svm_{n}"] = None
            continue
        else:
            draws = [drawn(y_train, n, seed) for seed in range(DRAWS)]
        C = chosen(F_train[draws[0]], y_train[draws[0]])
        scores = [svm(C).fit(F_train[few], y_train[few]).score(F, y) for few in draws]
        found[f"svm_{n}"] = float(np.mean(scores))
    return found


def svm(C: float = 1.0) -> Pipeline:
    """L2-SVM on standardised features."""
    return make_pipeline(StandardScaler(), LinearSVC(C=C, dual=True, tol=1e-2, max_iter=300))


def drawn(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw n rows, stratified."""
    few, _ = train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=seed)
    return few


def chosen(F: np.ndarray, y: np.ndarray) -> float:
    """Return the best C of the grid."""
    if len(y) > CHOOSING_ROWS:
        rows = drawn(y, CHOOSING_ROWS, seed=0)
        F, y = F[rows], y[rows]
    search = GridSearchCV(svm(), GRID, cv=FOLDS).fit(F, y)
    return float(search.best_params_["linearsvc__C"])
