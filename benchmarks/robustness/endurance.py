"""Memory, open files and threads of a process that trains for long, or over and over.

What a process needs at first (libraries, caches, pools of memory) it has after a tenth of the time;
from there on the figures should stay as they are. Needs Linux's /proc.
"""

import gc
import os
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from skorch.callbacks import Callback
from speed.clock import Figures

from sklearn_bigan import BiGANTransformer

Sample = dict[str, float]
WARM, END = "after a tenth", "at the end"
# Of `fit`: more epochs than there is time for.
MANY_EPOCHS = 10**9


def rows(n_rows: int) -> np.ndarray:
    """Return rows of a small table."""
    return np.random.default_rng(0).normal(size=(n_rows, 8))


def estimator(**parameters: Any) -> BiGANTransformer:
    """Return an estimator with small networks."""
    return BiGANTransformer(2, hidden_layer_sizes=(16,), random_state=0, **parameters)


def sample() -> Sample:
    """Return what the process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "MB": round(pages * resource.getpagesize() / 1e6, 1),
        "handles": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }


def compared(warm: Sample, end: Sample) -> Figures:
    """Return both samples, and by how much the later one is higher."""
    return {WARM: warm, END: end, "difference": {n: round(end[n] - warm[n], 1) for n in end}}


def cycles(*, device: str, rounds: int = 10_000) -> Figures:
    """Train and encode as many times, each with a new estimator."""
    warnings.simplefilter("ignore")
    X, samples = rows(100), []
    marks = {max(1, rounds // 10), rounds}
    for number in range(1, rounds + 1):
        estimator(max_epochs=1, device=device).fit(X).transform(X)
        if number in marks:
            samples.append(sample())
    return {"cycles": rounds} | compared(samples[0], samples[-1])


class Watch(Callback):
    """Samples after a tenth of the seconds, and ends the training after all of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.monotonic()
        self.warm: Sample | None = None

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Look at the clock."""
        passed = time.monotonic() - self.start
        if self.warm is None and passed >= self.seconds / 10:
            self.warm, self.warm_updates = sample(), net.n_updates_
        if passed >= self.seconds:
            raise KeyboardInterrupt  # which ends the training, as in skorch


def fit(*, device: str, rounds: int = 3600) -> Figures:
    """Train once, for as many seconds."""
    warnings.simplefilter("ignore")
    watch = Watch(rounds)
    trained = estimator(max_epochs=MANY_EPOCHS, device=device, callbacks=[watch])
    trained.fit(rows(20_000))
    end, updates = sample(), trained.net_.n_updates_
    assert watch.warm is not None
    figures = compared(watch.warm, end)
    grown = 1e6 * (end["MB"] - watch.warm["MB"]) / max(1, updates - watch.warm_updates)
    # The history has an entry for each update.
    return {"seconds": rounds, "updates": updates, "bytes an update": round(grown)} | figures


PARTS = {"cycles": cycles, "fit": fit}
