"""How much sooner a search over parameters ends with two workers, on one machine.

A grid search of twelve fits, `n_jobs=1` against two processes under joblib's loky, under dask and,
where it is installed, under ray; one thread each. The workers are there and have imported the
package before the clock starts; what starting them takes is given beside. In each round all take
turns, and the median counts. Scores must be the same to the bit.

Under dask twice: as it comes, and without what it tells glibc's malloc. To set a threshold of when
memory goes back to the system ends malloc's habit of keeping blocks as large as it has seen, and
every tensor of more than 128 kB is then mapped, and its pages cleared, anew.

    python benchmarks/search.py [--rounds 3]
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

import distributed
import joblib
import numpy as np
import torch
from dask import config
from runs import RESULTS, provenance
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_bigan import BiGANTransformer

N_ROWS, N_COLUMNS, WORKERS, FOLDS = 6000, 64, 2, 3
N_COMPONENTS = [4, 8, 16, 32]
# In bytes, dask's own.
TRIM_THRESHOLD = 65_536
SETTINGS = {"max_epochs": 5, "random_state": 0, "device": "cpu"}


def search(X: np.ndarray, n_jobs: int) -> tuple[float, list[float]]:
    """Return the seconds and the scores, in the order of the grid and the folds."""
    grid = GridSearchCV(
        BiGANTransformer(**SETTINGS),
        {"n_components": N_COMPONENTS},
        cv=FOLDS,
        refit=False,
        n_jobs=n_jobs,
        error_score="raise",
    )
    start = time.perf_counter()
    found = grid.fit(X).cv_results_
    seconds = time.perf_counter() - start
    return seconds, [float(x) for fold in range(FOLDS) for x in found[f"split{fold}_test_score"]]


def ready(seconds: float) -> int:
    """Import all that a fit needs, and stay busy until the other workers have work, too."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    BiGANTransformer(2, max_epochs=1, device="cpu").fit(np.random.default_rng(0).random((20, 3)))
    time.sleep(seconds)
    return os.getpid()


def wait_for_workers() -> None:
    """Return when every worker has been ready once."""
    seen: set[int] = set()
    while len(seen) < WORKERS:
        seen |= set(
            joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(ready)(0.5) for _ in range(WORKERS))
        )


@contextmanager
def loky() -> Iterator[None]:
    """Run what is inside on joblib's own processes."""
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        yield
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


@contextmanager
def dask(trim_threshold: int | None) -> Iterator[None]:
    """Run it on a cluster of two processes here, as there could be on other machines."""
    setting = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
    with (
        config.set({setting: trim_threshold}),
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


@contextmanager
def ray() -> Iterator[None]:
    """Run it on a cluster of ray's, the same."""
    import ray as engine
    from ray.util.joblib import register_ray

    register_ray()
    # It would put a print of its own in builtins, whereupon skorch takes its log for a user's.
    os.environ["RAY_TQDM_PATCH_PRINT"] = "0"
    engine.init(num_cpus=WORKERS, include_dashboard=False, logging_level="ERROR")
    with joblib.parallel_config("ray"):
        yield
    engine.shutdown()


ENGINES: dict[str, Callable[[], Any]] = {
    "loky": loky,
    "dask": partial(dask, TRIM_THRESHOLD),
    "dask, malloc as it is": partial(dask, None),
    "ray": ray,
}


def measure(engine: Callable[[], Any], X: np.ndarray) -> tuple[float, float, list[float]]:
    """Return the seconds until the workers are ready, those of the search, and its scores."""
    start = time.perf_counter()
    # dask's settings for its workers stay in the environment of whoever starts them.
    with patch.dict(os.environ), engine():
        wait_for_workers()
        starting = time.perf_counter() - start
        return starting, *search(X, WORKERS)


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    X = np.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)
    engines = {
        name: engine
        for name, engine in ENGINES.items()
        if name != "ray" or importlib.util.find_spec("ray")
    }
    alone: list[float] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    same = dict.fromkeys(engines, True)
    for _ in range(rounds):
        seconds, expected = search(X, 1)
        alone.append(seconds)
        print("alone", round(seconds, 2), flush=True)
        for name, engine in engines.items():
            starting, seconds, scores = measure(engine, X)
            found[name].append((starting, seconds))
            same[name] = same[name] and scores == expected
            print(name, round(starting, 2), round(seconds, 2), scores == expected, flush=True)
    about = provenance()
    packages = ["joblib", "distributed", *engines.keys() & {"ray"}]
    about["versions"] |= {name: version(name) for name in packages}
    figures: dict[str, Any] = {
        **about,
        "rows": N_ROWS,
        "columns": N_COLUMNS,
        "fits": len(N_COMPONENTS) * FOLDS,
        "rounds": rounds,
        "alone_seconds": round(statistics.median(alone), 2),
    }
    for name, pairs in found.items():
        turns = list(zip(alone, pairs, strict=True))
        figures[name] = {
            "starting_seconds": round(statistics.median(starting for starting, _ in pairs), 2),
            "seconds": round(statistics.median(seconds for _, seconds in pairs), 2),
            "ratio": round(statistics.median(own / one for one, (_, own) in turns), 3),
            "ratio_with_starting": round(
                statistics.median((starting + own) / one for one, (starting, own) in turns), 3
            ),
            "same_scores": same[name],
        }
        print(name, figures[name])
    (RESULTS / "search.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
