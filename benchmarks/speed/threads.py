"""How much sooner `fit` ends with two threads, on one machine."""

import statistics
from functools import partial

from sklearn_bigan import BiGANTransformer
from speed.clock import Figures, seconds
from speed.steps import noise

# Rows, columns and epochs; networks and batches are the default's for such data.
SHAPES = [(1_500, 64, 20), (6_000, 36, 5), (20_000, 784, 5)]


def fit(*, device: str, rounds: int = 5) -> Figures:
    """Fit with one thread and with two in turns, and return medians."""
    figures: Figures = {}
    for n_rows, n_columns, n_epochs in SHAPES:
        X = noise(n_rows, n_columns)
        parameters = {"max_epochs": n_epochs, "random_state": 0, "device": device}
        one, two = (BiGANTransformer(16, n_jobs=n_jobs, **parameters) for n_jobs in (1, 2))
        one.fit(X[:1000])  # what a process does once
        turns = [[seconds(partial(m.fit, X)) for m in (one, two)] for _ in range(rounds)]
        figures[f"{n_rows:,} x {n_columns}"] = {
            "one_thread_seconds": round(statistics.median(first for first, _ in turns), 2),
            "two_threads_seconds": round(statistics.median(second for _, second in turns), 2),
            "ratio": round(statistics.median(second / first for first, second in turns), 3),
        }
    return figures


PARTS = {"fit": fit}
