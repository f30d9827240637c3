"""How time and memory grow with the number of rows, from memory maps of made rows.

Each number of rows is trained on in a fresh process: as many epochs as have a million rows, of
which the median counts, and the greatest resident memory above what the process held before.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from sklearn_bigan import BiGANTransformer
from speed.clock import Clock, Figures, Usage, in_fresh_process

N_COLUMNS, CHUNK = 32, 100_000
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
SETTINGS = {
    **{"n_components": 8, "hidden_layer_sizes": (32,), "n_neighbors": 0, "batch_size": 128},
    **{"random_state": 0, "device": "cpu"},
}


def make(path: Path, n_rows: int) -> None:
    """Write rows near a curved surface of four dimensions."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype="float32", shape=(n_rows, N_COLUMNS))
    random = np.random.default_rng(0)
    directions = random.normal(size=(4, N_COLUMNS))
    for start in range(0, n_rows, CHUNK):
        part = rows[start : start + CHUNK]
        part[:] = np.tanh(random.normal(size=(len(part), 4)) @ directions)
        part += 0.1 * random.normal(size=part.shape)
    rows.flush()


def train(path: str) -> Figures:
    """Train on the file's rows, after all that a process does once."""
    X = np.load(path, mmap_mode="r")
    BiGANTransformer(**SETTINGS, max_epochs=1).fit(np.array(X[:500]))
    n_epochs = max(1, min(50, 10**6 // len(X)))
    clock = Clock()
    with Usage() as usage:
        BiGANTransformer(**SETTINGS, max_epochs=n_epochs, callbacks=[clock]).fit(X)
    n_steps = -(-len(X) // SETTINGS["batch_size"])
    return {
        "seconds_an_epoch": round(statistics.median(clock.epochs), 4),
        "seconds_of_its_steps": round(n_steps * statistics.median(clock.steps), 4),
        "seconds_beside_epochs": round(usage.seconds - sum(clock.epochs), 4),
        "megabytes_above_start": usage.peak_megabytes,
    }


def grown(*, device: str, rounds: int = 1, n_rows: tuple[int, ...] = ROWS) -> Figures:
    """Measure every number of rows, and the slope of log seconds over log rows."""
    figures: Figures = {}
    for n in n_rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npy"
            make(path, n)
            figures[str(n)] = in_fresh_process(train, str(path))["result"]
    for name in ("seconds_an_epoch", "seconds_of_its_steps"):
        seconds = [figures[str(n)][name] for n in n_rows]
        slope = np.polyfit(np.log(n_rows), np.log(seconds), 1)[0]
        figures[f"slope of {name}"] = round(float(slope), 3)
    return figures


PARTS = {"rows": grown, "few_rows": partial(grown, n_rows=ROWS[:2])}
