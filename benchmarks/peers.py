"""What training, encoding, importing and keeping a model cost, beside peers in the same run.

`contenders.py` has the peers. In every round each takes its turn; figures are medians over rounds
and, of ratios, medians of the rounds' ratios, all with the least and the greatest. One thread.

- `training`: rows a second: of passes over the table, by the difference between a fit of many
  epochs and one of a single one, so that what is done once a fit does not count. Compiling takes
  seconds, and not always as many: fits that compile have many times as many epochs.
- `predict`: rows a second of 100,000; `one_row`: seconds for one.
- `peak_megabytes`: of a process that trains, above what it held once all was imported (Linux).
- `pickle_bytes`: of the fitted model. `parameters`: trained weights.
- `import_seconds`: of a fresh process, above one that imports nothing; `loaded`: which of some
  large packages are then loaded. What `import sklearn` loads by itself stands there, too.

    python benchmarks/peers.py [small table images imports]
"""

import argparse
import json
import os
import pickle
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import BATCH, CONTENDERS, NEEDS, Widths, installed, n_parameters
from runs import RESULTS, provenance
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

# Columns, components, hidden layers.
SHAPES = {
    "small": (20, 8, (64, 64)),
    "table": (20, 8, (256, 256)),
    "images": (784, 50, (256, 256)),
}
ROWS, EPOCHS, ROUNDS = 32 * BATCH, 2, 5
MANY_ROWS, ONE_ROW_CALLS = 100_000, 50
OURS = ("bigan", "bigan_compiled", "default")
LONGER = {"bigan_compiled": 20}  # times as many epochs, so that compiling does not count
# By what name a contender is imported, if not as a part of ours or of scikit-learn.
IMPORTS = {
    "sklearn_bigan": "sklearn_bigan",
    "sklearn": "sklearn",
    "torch": "torch",
    "skorch": "skorch",
    "mlp_autoencoder": "sklearn.neural_network",
    "pyod_alad": "pyod.models.alad",
    "pythae_vae": "pythae.models",
}
LARGE = ("matplotlib", "pandas", "distributed", "dask", "polars", "numba")

Seconds = dict[str, list[float]]


def make(n_rows: int, n_columns: int) -> np.ndarray:
    """Make rows near a curved surface of eight dimensions, columns of about unit variance."""
    random = np.random.default_rng(0)
    points = np.tanh(random.normal(size=(n_rows, 8))) @ random.normal(size=(8, n_columns)) / 2
    return (points + 0.3 * random.normal(size=points.shape)).astype(np.float32)


def in_turn(runs: dict[str, Callable[[], float]]) -> Seconds:
    """Return what each run says in each round."""
    rounds = [{name: run() for name, run in runs.items()} for _ in range(ROUNDS)]
    return {name: [said[name] for said in rounds] for name in runs}


def spread(values: Iterable[float]) -> list[float]:
    """Median, least and greatest, to four digits."""
    values = list(values)
    figures = statistics.median(values), min(values), max(values)
    return [float(f"{figure:.4g}") for figure in figures]


def beside(seconds: Seconds, rows: int) -> dict[str, Any]:
    """Rows a second of each, and how many times those of another each of ours has."""
    return {
        name: {"rows_a_second": spread(rows / s for s in took)}
        | {
            f"{own}_times": spread(s / o for s, o in zip(took, seconds[own], strict=True))
            for own in OURS
            if own in seconds
        }
        for name, took in seconds.items()
    }


def timed(run: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(n_columns: int, n_components: int, widths: Widths, names: list[str]) -> dict[str, Any]:
    """All that is measured within this process, of one shape."""
    X, many = make(ROWS, n_columns), make(MANY_ROWS, n_columns)
    peers = {name: CONTENDERS[name](n_components, widths) for name in names}

    def training(peer: Any, times: int) -> float:
        short = timed(lambda: peer.fit(X, 1))
        return (timed(lambda: peer.fit(X, 1 + times * EPOCHS)) - short) / times

    def one_row(peer: Any) -> float:
        row = many[:1]
        return statistics.median(timed(lambda: peer.predict(row)) for _ in range(ONE_ROW_CALLS))

    def of_all(measure_one: Callable[[Any], float]) -> Seconds:
        return in_turn({name: lambda p=peer: measure_one(p) for name, peer in peers.items()})

    for peer in peers.values():
        peer.fit(X, 1)  # what a process does once
    trained = in_turn(
        {name: partial(training, peer, LONGER.get(name, 1)) for name, peer in peers.items()}
    )
    latency = of_all(one_row)
    predicted = of_all(lambda peer: timed(lambda: peer.predict(many)))
    return {
        "parameters": {name: n_parameters(peer) for name, peer in peers.items()},
        "training": beside(trained, EPOCHS * ROWS),
        "predict": beside(predicted, MANY_ROWS),
        "one_row_seconds": {name: spread(took) for name, took in latency.items()},
        "pickle_bytes": {name: pickled(peer.model) for name, peer in peers.items()},
    }


def pickled(model: Any) -> int | str:
    """Size of the pickled model, or why there is none."""
    try:
        return len(pickle.dumps(model))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def resident(what: str) -> float:
    """Resident memory of this process in MB: now (VmRSS), or at its greatest (VmHWM)."""
    (kilobytes,) = re.findall(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) / 1024


def peak(name: str, n_columns: int, n_components: int, widths: Widths) -> float:
    """Memory of training, in MB, in a process that has done nothing else."""
    peer, before = CONTENDERS[name](n_components, widths), resident("VmRSS")
    peer.fit(make(ROWS, n_columns), 1)
    return resident("VmHWM") - before


def in_a_process(*arguments: str) -> str:
    """Return what a fresh Python prints."""
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def importing(modules: dict[str, str]) -> dict[str, Any]:
    """Seconds of importing, and what else is loaded then."""
    runs = {"": "pass"} | {name: f"import {module}" for name, module in modules.items()}
    seconds = in_turn(
        {n: lambda line=line: timed(lambda: in_a_process("-c", line)) for n, line in runs.items()}
    )
    bare = seconds.pop("")
    listed = f"import sys; print(*[name for name in {LARGE} if name in sys.modules])"
    return {
        "import_seconds": {
            name: spread(s - b for s, b in zip(took, bare, strict=True))
            for name, took in seconds.items()
        },
        "loaded": {name: in_a_process("-c", f"{runs[name]}; {listed}").split() for name in seconds},
    }


def of_shape(shape: str) -> dict[str, Any]:
    """Measure all contenders that are installed on one shape."""
    names = [name for name in CONTENDERS if installed(name)]
    figures = dict(zip(("columns", "components", "widths"), SHAPES[shape], strict=True))
    figures |= measure(*SHAPES[shape], names)
    figures["peak_megabytes"] = {
        name: round(float(in_a_process(__file__, "--peak", name, shape).split()[-1]), 1)
        for name in names
    }
    return figures


def imports() -> dict[str, Any]:
    """Measure the imports of what is installed."""
    return importing({n: m for n, m in IMPORTS.items() if n not in NEEDS or installed(n)})


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    **{shape: partial(of_shape, shape) for shape in SHAPES},
    "imports": imports,
}


def main() -> None:
    """Measure the parts, and print and keep each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"some of {list(PARTS)}")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)  # in the process of its own
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # for processes that are started
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, PyOD draws from it
    warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs converge nowhere
    with threadpool_limits(1):
        if args.peak:
            name, shape = args.peak
            print(peak(name, *SHAPES[shape]))
            return
        about = provenance() | {"seed": 0, "threads": 1, "rounds": ROUNDS, "epochs": EPOCHS}
        about |= {"rows": ROWS, "batch_size": BATCH}
        about["versions"] |= {p: version(p) for n, p in NEEDS.items() if installed(n)}
        path = RESULTS / "peers.json"
        for part in args.parts:
            figures = {"command": f"python benchmarks/peers.py {part}"} | about | PARTS[part]()
            print(part, json.dumps(figures), flush=True)
            parts = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps(parts | {part: figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
