"""Are the clusters of the codes' prior the classes? Beside k-means and Gaussian mixtures.

Those cluster the columns and PCA's codes of as many components as the estimator's. All are fitted
on the training rows and asked about the test rows, with the estimator's default number of
clusters and with as many as there are classes.

    python benchmarks/clusters.py digits mnist fashion_mnist --jobs 2
"""

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from data import FOLDER, IMAGES, Facts, load
from runs import RESULTS, Line, exit_if_some_failed, resume
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from table import table

from sklearn_bigan import BiGANTransformer

CLASSES = 10
MEASURES = ("nmi", "purity", "accuracy")

Make = Callable[[int, int, Facts], Any]


def default(n_clusters: int, seed: int, facts: Facts) -> BiGANTransformer:
    """Make the estimator with its default recipe."""
    return BiGANTransformer(
        facts.n_components,
        n_clusters=n_clusters,
        output_activation=facts.output_activation,
        random_state=seed,
        device="cpu",
    )


def k_means(n_clusters: int, seed: int, facts: Facts) -> KMeans:
    """Make a k-means."""
    return KMeans(n_clusters, random_state=seed)


def mixture(n_clusters: int, seed: int, facts: Facts) -> GaussianMixture:
    """Make a mixture of Gaussians whose axes are the columns."""
    return GaussianMixture(n_clusters, covariance_type="diag", random_state=seed)


def on_pca(make: Make) -> Make:
    """Put PCA before it."""
    return lambda n_clusters, seed, facts: make_pipeline(
        PCA(facts.n_components, random_state=seed), make(n_clusters, seed, facts)
    )


METHODS: dict[str, Make] = {
    "default": default,
    "k-means": k_means,
    "k-means on PCA": on_pca(k_means),
    "Gaussian mixture": mixture,
    "Gaussian mixture on PCA": on_pca(mixture),
}


def agreement(y: np.ndarray, clusters: np.ndarray, n_clusters: int) -> dict[str, float | None]:
    """How well clusters and classes agree.

    `nmi`: normalised mutual information; `purity`: share of rows that carry the commonest class
    of their cluster; `accuracy`, where there are as many clusters as classes: share of rows that
    carry their cluster's class when each class is given to one cluster, in the best way.
    """
    counts = contingency_matrix(y, clusters)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum() / len(y)
    return {
        "nmi": float(normalized_mutual_info_score(y, clusters)),
        "purity": float(counts.max(axis=0).sum() / len(y)),
        "accuracy": float(matched) if n_clusters == len(np.unique(y)) else None,
    }


def run(setting: Line, folder: Path) -> Line:
    """Cluster, and return how well that agrees with the classes."""
    X_train, _, X_test, y_test = load(setting["data"], folder)
    n_clusters = setting["n_clusters"]
    make = METHODS[setting["method"]]
    model = make(n_clusters, setting["seed"], IMAGES[setting["data"]]).fit(X_train)
    predict = model.predict_cluster if setting["method"] == "default" else model.predict
    return agreement(y_test, predict(X_test), n_clusters)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=IMAGES, help=", ".join(IMAGES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    numbers = (CLASSES, BiGANTransformer().n_clusters)
    settings = [
        {"data": name, "n_clusters": number, "method": method, "seed": seed}
        for name, number, method, seed in product(args.names, numbers, METHODS, args.seeds)
    ]
    file = RESULTS / "clusters.jsonl"
    lines = resume(partial(run, folder=args.folder), settings, lambda _: file, args.jobs)
    columns = {name: lambda line, name=name: line[name] for name in MEASURES}
    print(table(lines, columns, "data", "n_clusters", "method"))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
