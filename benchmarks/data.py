"""The data sets: float32 rows in [0, 1], labels, and a split that is always the same."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FOLDER = Path(
    os.environ.get(
        "SKLEARN_BIGAN_DATA", Path(__file__).resolve().parents[1].joinpath("../shared/data")
    )
)

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits(folder: Path) -> Split:
    """scikit-learn's digits, 64 columns: 1257 training and 540 test rows, stratified."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        (X / 16).astype(np.float32), y, test_size=0.3, stratify=y, random_state=0
    )
    return X_train, y_train, X_test, y_test


def mnist(folder: Path) -> Split:
    """MNIST, 784 columns, permutation-invariant: 60,000 training and 10,000 test rows."""
    path = folder / "mnist.npz"
    if not path.exists():
        raise SystemExit(
            f"{path} is missing. It holds X_train, y_train, X_test, y_test, images as uint8; say "
            f"where it is by --data DIR or by the environment variable SKLEARN_BIGAN_DATA."
        )
    with np.load(path) as file:
        X_train, X_test = (
            (file[name].reshape(len(file[name]), -1) / 255).astype(np.float32)
            for name in ("X_train", "X_test")
        )
        return X_train, file["y_train"], X_test, file["y_test"]


LOADERS = {"digits": digits, "mnist": mnist}


def load(name: str, folder: Path, validate: bool = False) -> Split:
    """Return X_train, y_train, X_test, y_test; with `validate` both from the training rows."""
    X_train, y_train, X_test, y_test = LOADERS[name](folder)
    if validate:
        X_train, X_test, y_train, y_test = train_test_split(
            X_train, y_train, test_size=0.3, stratify=y_train, random_state=1
        )
    return X_train, y_train, X_test, y_test
