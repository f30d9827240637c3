"""The data sets: float32 rows, labels, a split that is always the same, and how each is trained on.

Images are in [0, 1]; columns of tables have mean 0 and variance 1 over the training rows.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FOLDER = Path(
    os.environ.get(
        "SKLEARN_BIGAN_DATA", Path(__file__).resolve().parents[1].joinpath("../shared/data")
    )
)

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits(folder: Path) -> Split:
    """scikit-learn's digits, 64 columns: 1257 training and 540 test rows, stratified."""
    X, y = load_digits(return_X_y=True)
    return split((X / 16).astype(np.float32), y)


def images(name: str, folder: Path) -> Split:
    """Images as rows of pixels, channels last, in the order of the file."""
    contents = "X_train, y_train, X_test, y_test, images as uint8"
    with archive(folder / f"{name}.npz", contents) as file:
        X_train, X_test = (
            (file[part].reshape(len(file[part]), -1) / 255).astype(np.float32)
            for part in ("X_train", "X_test")
        )
        return X_train, file["y_train"], X_test, file["y_test"]


def table(name: str, folder: Path) -> Split:
    """One of the tables with anomalies, which have the label 1."""
    contents = "for each table <name>__X and <name>__y"
    with archive(folder / "tabular_anomaly.npz", contents) as file:
        return standardised(*split(file[f"{name}__X"].astype(np.float32), file[f"{name}__y"]))


def kdd(folder: Path) -> Split:
    """KDD Cup 99, a tenth of it, 121 columns; the label says if a connection is normal."""
    contents = "X_num, columns_num, y, vocab_label and codes X_protocol_type, X_service, X_flag"
    with archive(folder / "kddcup99_10pct.npz", contents) as file:
        binary = np.isin(
            file["columns_num"], ["land", "logged_in", "is_host_login", "is_guest_login"]
        )
        numbers = file["X_num"]
        codes = [file[f"X_{name}"] for name in ("protocol_type", "service", "flag")]
        kinds = np.column_stack([*codes, numbers[:, binary]])
        one_hot = OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(kinds)
        y = file["vocab_label"][file["y"]] == "normal"
    return standardised(*split(np.hstack([numbers[:, ~binary], one_hot]), y.astype(np.uint8)))


def blobs(folder: Path) -> Split:
    """Ten overlapping, elongated Gaussian clusters of unequal size and shape, 50 columns."""
    rng = np.random.default_rng(0)
    sizes = rng.multinomial(10_000, rng.dirichlet(np.full(10, 4)))
    clusters = []
    for size in sizes:
        centre, lengths = rng.normal(size=50), rng.lognormal(size=(50, 1))
        axes = rng.normal(size=(50, 50)) * lengths / np.sqrt(50)
        clusters.append(centre + rng.normal(size=(size, 50)) @ axes)
    X = np.concatenate(clusters).astype(np.float32)
    return standardised(*split(X, np.repeat(np.arange(len(sizes)), sizes)))


def manifold(folder: Path) -> Split:
    """Draw from a bent sheet of eight dimensions in 50 columns, without clusters.

    A row's class is the greatest of its first five coordinates on the sheet: nothing is sparse
    between classes.
    """
    rng = np.random.default_rng(0)
    position = rng.normal(size=(10_000, 8))
    bent = np.tanh(position @ rng.normal(size=(8, 32)) / 2)
    X = bent @ rng.normal(size=(32, 50)) + rng.normal(size=(10_000, 50))
    y = position[:, :5].argmax(axis=1)
    return standardised(*split(X.astype(np.float32), y))


def archive(path: Path, contents: str) -> np.lib.npyio.NpzFile:
    """Open a file of arrays, or say what is missing."""
    if not path.exists():
        raise SystemExit(
            f"{path} is missing. It holds {contents}; say where it is by --data DIR or by the "
            f"environment variable SKLEARN_BIGAN_DATA."
        )
    return np.load(path)


def split(X: np.ndarray, y: np.ndarray, seed: int = 0) -> Split:
    """Set 30 % of the rows aside, stratified."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=seed
    )
    return X_train, y_train, X_test, y_test


def standardised(
    X_train: np.ndarray, y_train: np.ndarray, X_test: np.ndarray, y_test: np.ndarray
) -> Split:
    """Scale the columns by the training rows."""
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), y_train, scaler.transform(X_test), y_test


@dataclass(frozen=True)
class Facts:
    """How a data set is loaded and trained on."""

    loader: Callable[[Path], Split]
    n_components: int
    output_activation: str = "identity"
    minutes: float = 3.0  # of one core, for each run; enough for the default to end by itself
    seeds: int = 5
    checkpoints: tuple[float, ...] = ()  # minutes after which the codes are measured, too


large_images = partial(
    Facts,
    n_components=50,  # BiGAN's on MNIST
    output_activation="sigmoid",
    minutes=10.0,
    seeds=3,
    checkpoints=(1.0, 3.0),
)
large_table = partial(Facts, minutes=10.0, seeds=3)
IMAGES = {
    "digits": Facts(digits, n_components=16, output_activation="sigmoid", minutes=1.0),
    "mnist": large_images(partial(images, "mnist")),
    "fashion_mnist": large_images(partial(images, "fashion_mnist")),
}
# The tables' columns: half as many components, from 2 to 16.
COLUMNS = {
    "arrhythmia": 274,
    "cardio": 21,
    "thyroid": 6,
    "annthyroid": 6,
    "breastw": 9,
    "mammography": 6,
    "optdigits": 64,
    "pendigits": 16,
}
DATA = {
    **IMAGES,
    **{
        name: Facts(partial(table, name), n_components=min(16, max(2, n_columns // 2)))
        for name, n_columns in COLUMNS.items()
    },
    "shuttle": large_table(partial(table, "shuttle"), n_components=4),
    "kdd": large_table(kdd, n_components=16),
    "blobs": Facts(blobs, n_components=16),
    "manifold": Facts(manifold, n_components=16),
}


def load(name: str, folder: Path, validate: bool = False) -> Split:
    """Return X_train, y_train, X_test, y_test; with `validate` both from the training rows."""
    X_train, y_train, X_test, y_test = DATA[name].loader(folder)
    return split(X_train, y_train, seed=1) if validate else (X_train, y_train, X_test, y_test)
