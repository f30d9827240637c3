"""Data sets: float32 rows, labels, and a split that is always the same but for some tables.

Images are in [0, 1]. The columns of tables have mean 0 and variance 1 over the training rows, but
for those of `RAW`, which come in their own units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

ANGLES = 2 * np.pi * np.arange(8) / 8
# Centers of the modes and their standard deviation: the toy of ALI, and a ring.
MODES: dict[str, tuple[np.ndarray, float]] = {
    "grid": (np.array(list(product((-4.0, -2.0, 0.0, 2.0, 4.0), repeat=2))), 0.05),
    "ring": (2 * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), 0.02),
}


# What is read off CelebA's faces.
ATTRIBUTES = ("male", "smiling", "eyeglasses")


def archive(path: Path, contents: str) -> np.lib.npyio.NpzFile:
    """Open a file of arrays, or say which one is missing."""
    if not path.exists():
        raise SystemExit(
            f"{path} is missing. It holds {contents}; name its folder by --data-dir or by the "
            f"environment variable SKLEARN_BIGAN_DATA."
        )
    return np.load(path)


def split(X: np.ndarray, y: np.ndarray, seed: int = 0) -> Split:
    """Hold out 30 % of the rows, stratified."""
    of_X_and_y = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
    X_train, X_test, y_train, y_test = of_X_and_y
    return X_train, y_train, X_test, y_test


def standardized(rows: Split) -> Split:
    """Scale the columns by the training rows."""
    X_train, y_train, X_test, y_test = rows
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), y_train, scaler.transform(X_test), y_test


def rescaled(rows: Split) -> Split:
    """Change the unit of every column by a random factor from 0.001 to 1000."""
    X_train, y_train, X_test, y_test = rows
    factors = 10 ** np.random.default_rng(0).uniform(-3, 3, X_train.shape[1])
    return X_train * factors, y_train, X_test * factors, y_test


def digits(folder: Path, seed: int) -> Split:
    """scikit-learn's digits, 64 columns: 1257 training and 540 test rows."""
    X, y = load_digits(return_X_y=True)
    return split((X / 16).astype(np.float32), y)


def images(name: str, folder: Path, seed: int) -> Split:
    """Images as rows of pixels, channels last, in the order of the file."""
    contents = "X_train, y_train, X_test, y_test, images as uint8"
    with archive(folder / f"{name}.npz", contents) as file:
        rows = (file[part].reshape(len(file[part]), -1) for part in ("X_train", "X_test"))
        X_train, X_test = ((part / 255).astype(np.float32) for part in rows)
        return X_train, file["y_train"], X_test, file["y_test"]


def faces(folder: Path, seed: int) -> Split:
    """CelebA's faces at 64 x 64; the labels are columns of zeros and ones, the `ATTRIBUTES`."""
    contents = "X_train and X_test, faces as uint8, and their attributes y_<attribute>_<part>"
    with archive(folder / "celeba_subset.npz", contents) as file:
        halves = []
        for part in ("train", "test"):
            rows = file[f"X_{part}"].reshape(len(file[f"X_{part}"]), -1)
            y = np.column_stack([file[f"y_{name}_{part}"] for name in ATTRIBUTES])
            halves += [(rows / 255).astype(np.float32), y]
        return tuple(halves)


def anomalies(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of ODDS and its labels; anomalies have the label 1."""
    contents = "for each table <name>__X and <name>__y"
    with archive(folder / "tabular_anomaly.npz", contents) as file:
        return file[f"{name}__X"], file[f"{name}__y"]


def table(name: str, folder: Path, seed: int) -> Split:
    """One of the tables of ODDS, standardized."""
    X, y = anomalies(name, folder)
    return standardized(split(X.astype(np.float32), y))


def multiclass(name: str, folder: Path, seed: int) -> Split:
    """One of the tables with several classes, split anew for each seed, standardized."""
    contents = "for each table <name>__X and <name>__y"
    with archive(folder / "tables_multiclass.npz", contents) as file:
        X, y = file[f"{name}__X"], file[f"{name}__y"]
    return standardized(split(X.astype(np.float32), y, seed))


def few(name: str, n_rows: int, folder: Path, seed: int) -> Split:
    """One of the tables with several classes, with few training rows."""
    X_train, y_train, *tested = multiclass(name, folder, seed)
    return standardized((X_train[:n_rows], y_train[:n_rows], *tested))


def kdd(folder: Path, seed: int) -> Split:
    """Load a tenth of KDD Cup 99, 121 columns; the label says whether a connection is normal."""
    contents = "X_num, columns_num, y, vocab_label and codes X_protocol_type, X_service, X_flag"
    with archive(folder / "kddcup99_10pct.npz", contents) as file:
        flags = ("land", "logged_in", "is_host_login", "is_guest_login")
        binary = np.isin(file["columns_num"], flags)
        numbers = file["X_num"]
        codes = [file[f"X_{name}"] for name in ("protocol_type", "service", "flag")]
        categories = np.column_stack([*codes, numbers[:, binary]])
        one_hot = OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(categories)
        y = file["vocab_label"][file["y"]] == "normal"
    return standardized(split(np.hstack([numbers[:, ~binary], one_hot]), y.astype(np.uint8)))


def blobs(folder: Path, seed: int) -> Split:
    """Ten overlapping, elongated Gaussian clusters of unequal size and shape, 50 columns."""
    rng = np.random.default_rng(0)
    sizes = rng.multinomial(10_000, rng.dirichlet(np.full(10, 4)))
    clusters = []
    for size in sizes:
        center, lengths = rng.normal(size=50), rng.lognormal(size=(50, 1))
        axes = rng.normal(size=(50, 50)) * lengths / np.sqrt(50)
        clusters.append(center + rng.normal(size=(size, 50)) @ axes)
    X = np.concatenate(clusters).astype(np.float32)
    return standardized(split(X, np.repeat(np.arange(len(sizes)), sizes)))


def manifold(folder: Path, seed: int) -> Split:
    """Draw from a bent sheet of eight dimensions in 50 columns, without gaps between classes."""
    rng = np.random.default_rng(0)
    position = rng.normal(size=(10_000, 8))
    bent = np.tanh(position @ rng.normal(size=(8, 32)) / 2)
    X = bent @ rng.normal(size=(32, 50)) + rng.normal(size=(10_000, 50))
    y = position[:, :5].argmax(axis=1)
    return standardized(split(X.astype(np.float32), y))


def modes(name: str, n_rows: int, folder: Path, seed: int) -> Split:
    """Rows near the modes, the same for every run; there are no test rows to speak of."""
    centers, std = MODES[name]
    rng = np.random.default_rng(0)
    X = (rng.choice(centers, n_rows) + std * rng.normal(size=(n_rows, 2))).astype(np.float32)
    labels = np.zeros(n_rows, dtype=int)
    return X, labels, X, labels


def raw(name: str, folder: Path, seed: int) -> Split:
    """Load a table in its own units, split anew for each seed."""
    load = {"wine": load_wine, "breast_cancer": load_breast_cancer}.get(name)
    X, y = load(return_X_y=True) if load else anomalies(name.removesuffix("_raw"), folder)
    return split(X.astype(float), y, seed)


@dataclass(frozen=True)
class Facts:
    """How a data set is loaded and trained on."""

    load: Callable[[Path, int], Split]  # of the folder of the files and the seed of the run
    n_components: int  # of every method
    minutes: float = 3.0  # CPU time of a run, enough for the default to end by itself
    seeds: int = 5  # how many
    marks: tuple[float, ...] = ()  # minutes after which the codes are measured on the way
    image_shape: tuple[int, int, int] | None = None


# 50 components, as BiGAN's authors took for MNIST.
gray = partial(Facts, n_components=50, minutes=10.0, seeds=3, image_shape=(28, 28, 1))
large = partial(Facts, n_components=64, seeds=3)
# Columns of the tables; they get half as many components, from 2 to 16, or 32 from 200 columns on.
COLUMNS = {
    **{"arrhythmia": 274, "cardio": 21, "thyroid": 6, "annthyroid": 6, "breastw": 9},
    **{"mammography": 6, "optdigits": 64, "pendigits": 16},
}
MULTICLASS_COLUMNS = {
    **{"segment": 18, "usps": 256, "gas_drift": 128, "vowel": 10, "mice_protein": 72},
    **{"letter": 16, "satimage": 36, "wisdm": 42, "dry_bean": 16, "avila": 10},
}
IMAGES = {
    "digits": Facts(digits, 16, minutes=1.0, image_shape=(8, 8, 1)),
    "mnist": gray(partial(images, "mnist"), marks=(1.0, 3.0)),
    "fashion_mnist": gray(partial(images, "fashion_mnist"), marks=(1.0, 3.0)),
    "cifar10": large(partial(images, "cifar10_subset"), minutes=30.0, image_shape=(32, 32, 3)),
    "olivetti": large(partial(images, "olivetti"), minutes=10.0, image_shape=(64, 64, 1)),
    "svhn": large(partial(images, "svhn_subset"), minutes=10.0, image_shape=(32, 32, 3)),
    "celeba": large(faces, minutes=10.0, image_shape=(64, 64, 3)),
}
TABLES = {
    **{
        name: Facts(partial(table, name), min(16, max(2, n_columns // 2)))
        for name, n_columns in COLUMNS.items()
    },
    "shuttle": Facts(partial(table, "shuttle"), 4, minutes=10.0, seeds=3),
    "kdd": Facts(kdd, 16, minutes=10.0, seeds=3),
    "blobs": Facts(blobs, 16),
    "manifold": Facts(manifold, 16),
}
MULTICLASS = {
    name: Facts(partial(multiclass, name), 32 if columns >= 200 else min(16, columns // 2))
    for name, columns in MULTICLASS_COLUMNS.items()
}
FEW_ROWS = {
    f"{name}_{n_rows}": Facts(partial(few, name, n_rows), MULTICLASS[name].n_components, seeds=3)
    for name in ("usps", "gas_drift", "mice_protein", "satimage", "wisdm")
    for n_rows in (250, 490)
}
RAW = {
    "wine": Facts(partial(raw, "wine"), 6),
    "breast_cancer": Facts(partial(raw, "breast_cancer"), 15),
    "arrhythmia_raw": Facts(partial(raw, "arrhythmia_raw"), 16),
}
TOYS = {
    f"{name}{suffix}": Facts(partial(modes, name, n_rows), 2, seeds=10)
    for name in MODES
    for suffix, n_rows in (("", 100_000), ("_5000", 5_000))
}
DATA = {**IMAGES, **TABLES, **MULTICLASS, **FEW_ROWS, **RAW, **TOYS}
COLUMN_UNITS = {"raw": lambda rows: rows, "standardized": standardized, "rescaled": rescaled}


def load(name: str, folder: Path, *, validate: bool, seed: int = 0, columns: str = "raw") -> Split:
    """Return X_train, y_train, X_test and y_test, the latter from training rows to `validate`.

    The seed is that of the split of `MULTICLASS`, `FEW_ROWS` and `RAW`; the others are always the
    same.
    """
    rows = DATA[name].load(folder, seed)
    if validate:
        rows = split(rows[0], rows[1], seed=1)
    return COLUMN_UNITS[columns](rows)
