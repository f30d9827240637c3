"""How much sooner a grid search of twelve fits ends with two workers, on one machine.

`n_jobs=1` against two processes of one thread each under joblib's loky and under dask. The workers
have imported the package before the clock starts; what starting them takes stands beside. In each
round all take turns, and the median counts.

dask runs twice: as it comes, and without its setting of glibc's malloc. Setting a threshold for
giving memory back to the system keeps malloc from raising its threshold for mapping: tensors of
more than 128 kB are then mapped and cleared anew at each step.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

import joblib
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_bigan import BiGANTransformer
from speed.clock import Figures

N_ROWS, N_COLUMNS, N_WORKERS, N_FOLDS = 6000, 64, 2, 3
N_COMPONENTS = [4, 8, 16, 32]
TRIM_THRESHOLD = 65_536  # dask's own, in bytes
SETTINGS = {"max_epochs": 5, "random_state": 0, "device": "cpu"}


def search(X: np.ndarray, n_jobs: int) -> tuple[float, list[float]]:
    """Return the seconds and the scores, in the order of the grid and the folds."""
    grid = GridSearchCV(
        BiGANTransformer(**SETTINGS),
        {"n_components": N_COMPONENTS},
        **{"cv": N_FOLDS, "refit": False, "n_jobs": n_jobs, "error_score": "raise"},
    )
    start = time.perf_counter()
    found = grid.fit(X).cv_results_
    took = time.perf_counter() - start
    return took, [float(x) for fold in range(N_FOLDS) for x in found[f"split{fold}_test_score"]]


def ready(wait: float) -> int:
    """Import all that a fit needs, and stay busy until the other workers have work."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    BiGANTransformer(2, max_epochs=1, device="cpu").fit(np.random.default_rng(0).random((20, 3)))
    time.sleep(wait)
    return os.getpid()


def wait_for_workers() -> None:
    """Return when every worker has been ready once."""
    seen: set[int] = set()
    while len(seen) < N_WORKERS:
        calls = (joblib.delayed(ready)(0.5) for _ in range(N_WORKERS))
        seen |= set(joblib.Parallel(n_jobs=N_WORKERS)(calls))


@contextmanager
def loky() -> Iterator[None]:
    """Use joblib's own processes."""
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        yield
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


@contextmanager
def dask(trim_threshold: int | None) -> Iterator[None]:
    """Use a dask cluster of two local processes."""
    import distributed
    from dask import config

    setting = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
    with (
        config.set({setting: trim_threshold}),
        distributed.LocalCluster(
            n_workers=N_WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


ENGINES: dict[str, Callable[[], Any]] = {
    "loky": loky,
    "dask": partial(dask, TRIM_THRESHOLD),
    "dask, malloc as it is": partial(dask, None),
}


def measure(engine: Callable[[], Any], X: np.ndarray) -> tuple[float, float, list[float]]:
    """Return the seconds until the workers are ready, those of the search, and its scores."""
    start = time.perf_counter()
    # dask leaves its workers' settings in the environment of whoever starts them.
    with patch.dict(os.environ), engine():
        wait_for_workers()
        starting = time.perf_counter() - start
        return starting, *search(X, N_WORKERS)


def middle(values: Iterable[float]) -> float:
    """Return the median, to three digits."""
    return round(statistics.median(values), 3)


def engines(*, device: str, rounds: int = 3) -> Figures:
    """Measure every engine."""
    X = np.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)
    alone, took = [], {name: [] for name in ENGINES}
    for _ in range(rounds):
        alone.append(search(X, 1))
        for name, engine in ENGINES.items():
            took[name].append(measure(engine, X))
    figures: Figures = {
        **{"rows": N_ROWS, "columns": N_COLUMNS, "fits": len(N_COMPONENTS) * N_FOLDS},
        **{"rounds": rounds, "alone_seconds": middle(s for s, _ in alone)},
        "packages": [f"{package} {version(package)}" for package in ("joblib", "distributed")],
    }
    for name, runs in took.items():
        turns = list(zip(alone, runs, strict=True))
        figures[name] = {
            "starting_seconds": middle(begin for begin, _, _ in runs),
            "seconds": middle(own for _, own, _ in runs),
            "ratio": middle(own / one for (one, _), (_, own, _) in turns),
            "ratio_with_starting": middle((a + own) / one for (one, _), (a, own, _) in turns),
            "same_scores": all(scores == expected for (_, expected), (_, _, scores) in turns),
        }
    return figures


PARTS = {"engines": engines}
