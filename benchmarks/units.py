"""Tables whose columns come in units of their own: as they come, and standardised first.

"one unit" is the estimator with the same unit for all columns, as its networks had it before.

    python benchmarks/units.py wine breast_cancer arrhythmia
"""

import argparse
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from data import FOLDER, archive, split, standardised
from measures import linear_probe, nearest_neighbor
from runs import RESULTS, Line, exit_if_some_failed, resume
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.decomposition import PCA
from table import table

from sklearn_bigan import BiGANTransformer, _learning

BUNDLED = {"wine": load_wine, "breast_cancer": load_breast_cancer}
COMPONENTS = {"wine": 6, "breast_cancer": 15, "arrhythmia": 16}
METHODS = ("pca", "one unit", "default")
COLUMNS = ("linear", "1nn", "score")


def rows(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a table as it comes, and its labels."""
    if name in BUNDLED:
        return BUNDLED[name](return_X_y=True)
    with archive(folder / "tabular_anomaly.npz", "arrhythmia__X and arrhythmia__y") as file:
        return file["arrhythmia__X"].astype(float), file["arrhythmia__y"]


def run(setting: Line, folder: Path) -> Line:
    """Train on one split, probe the codes, and see what of the rows comes back."""
    name, seed = setting["data"], setting["seed"]
    data = split(*rows(name, folder), seed)
    if setting["standardised"]:
        data = standardised(*data)
    X_train, y_train, X_test, y_test = data
    if setting["method"] == "pca":
        model = PCA(COMPONENTS[name], random_state=seed)
    else:
        model = BiGANTransformer(COMPONENTS[name], random_state=seed)
    most = np.inf if setting["method"] == "one unit" else _learning.MOST_TIMES_MEDIAN
    with patch.object(_learning, "MOST_TIMES_MEDIAN", most):
        model.fit(X_train)
    codes = model.transform(X_train), y_train, model.transform(X_test), y_test
    X_tilde = model.inverse_transform(codes[2])
    variation = np.square(X_test - X_train.mean(axis=0)).sum()
    return {
        "linear": float(linear_probe(*codes[:2]).score(*codes[2:])),
        "1nn": nearest_neighbor(*codes),
        "score": float(1 - np.square(X_test - X_tilde).sum() / variation),
    }


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=COMPONENTS)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    settings = [
        {"data": name, "standardised": first, "method": method, "seed": seed}
        for name in args.names
        for first in (False, True)
        for method in METHODS
        if not (first and method == "one unit")  # the same as the default
        for seed in range(5)
    ]
    file = RESULTS / "units.jsonl"
    lines = resume(partial(run, folder=args.folder), settings, lambda _: file, args.jobs)
    columns = {name: lambda line, name=name: line[name] for name in COLUMNS}
    print(table(lines, columns, "data", "standardised", "method"))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
