"""How time and memory grow with the number of rows, from memory maps of made rows.

Each number of rows is trained on in a process of its own: as many epochs as have a million rows, of
which the median counts, and the greatest resident memory above what the process had before (Linux).
At its end an epoch looks at the networks' health, which takes as long for few rows as for many: its
steps are timed by themselves, too. The slope is that of log seconds over log rows; 1 is
proportional. What `fit` does but once, mostly checks of X, is beside the epochs.

    python benchmarks/scale.py [--rows 1e4 1e5 1e6 1e7]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from runs import RESULTS, provenance
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer

N_COLUMNS, CHUNK = 32, 100_000
SETTINGS = {
    "n_components": 8,
    "hidden_layer_sizes": (32,),
    "n_neighbors": 0,
    "random_state": 0,
    "device": "cpu",
}
TIMES = ("seconds_an_epoch", "seconds_of_its_steps")


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


def resident(what: str) -> float:
    """Resident memory of this process in MB: now (VmRSS), or at its greatest (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(rf"{what}:\s+(\d+) kB", status)
    return int(kilobytes) / 1024


class Clock(Callback):
    """Seconds from each epoch's begin to the end of its last step."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop, so far."""
        self.seconds = time.perf_counter() - self.start

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Note it beside skorch's own figures."""
        net.history.record("steps_dur", self.seconds)


def train(path: Path) -> dict[str, float]:
    """Train on the file's rows, after all that a process does once."""
    X = np.load(path, mmap_mode="r")
    BiGANTransformer(**SETTINGS, max_epochs=1).fit(np.array(X[:500]))
    before = resident("VmRSS")
    epochs = max(1, min(50, 10**6 // len(X)))
    start = time.perf_counter()
    model = BiGANTransformer(**SETTINGS, max_epochs=epochs, callbacks=[Clock()]).fit(X)
    seconds = time.perf_counter() - start
    history = model.history_
    return {
        "seconds_an_epoch": round(statistics.median(e["dur"] for e in history), 4),
        "seconds_of_its_steps": round(statistics.median(e["steps_dur"] for e in history), 4),
        "seconds_beside_epochs": round(seconds - sum(e["dur"] for e in history), 4),
        "megabytes_above_start": round(resident("VmHWM") - before, 1),
    }


def main() -> None:
    """Measure every number of rows, and print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e4, 1e5, 1e6, 1e7])
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)  # in the process of its own
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.train:
        print(json.dumps(train(args.train)))
        return
    figures: dict[str, Any] = provenance()
    for n_rows in map(int, args.rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.npy"
            make(path, n_rows)
            command = [sys.executable, "-W", "ignore", __file__, "--train", str(path)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        figures[str(n_rows)] = json.loads(printed)
        print(n_rows, figures[str(n_rows)], flush=True)
    if len(args.rows) > 1:
        for name in TIMES:
            seconds = [figures[str(int(n_rows))][name] for n_rows in args.rows]
            slope, _ = np.polyfit(np.log(args.rows), np.log(seconds), 1)
            figures[f"slope of {name}"] = round(float(slope), 3)
            print("slope of", name, figures[f"slope of {name}"])
    (RESULTS / "scale.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
