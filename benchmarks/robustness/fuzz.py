"""What `load` makes of damaged and forged files.

Each mutation of a small model's file is loaded in a child process with limits on memory and time.
Mutations of kind "bytes" leave the checksum wrong; the others are forged, with a right one. The
outcome is the type of the error, "equal" or "other model" for a file that loads and computes the
same bits as the original or not, "unchanged" for a mutation that changes nothing, or "crash",
"hang" or "over-allocation". Needs fork.
"""

import multiprocessing
import resource
import signal
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from speed.clock import Figures

from sklearn_bigan import load

# The mutations are those of the tests.
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from factories import small, table
from forgery import MUTATIONS

# Seconds for one file: Python is interrupted after the first, the process killed after the second.
SECONDS, PATIENCE = 2, 20
# Address space of a child beyond what it starts with; the files have 7 kB.
SPARE_BYTES = 128 * 2**20
BATCH = 1000


def outputs(model: Any, X: np.ndarray) -> list[np.ndarray]:
    """Return what the model computes."""
    names = ("transform", "reconstruct", "score_samples", "predict_cluster")
    return [*(getattr(model, name)(X) for name in names), model.sample(4, random_state=0)]


def outcome(path: Path, data: bytes, X: np.ndarray, expected: list[np.ndarray]) -> str:
    """Load the data and say what came of it."""
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    loaded = False
    try:
        model = load(path)
        loaded = True
        found = outputs(model, X)
    except MemoryError:
        return "over-allocation"
    except TimeoutError:
        return "hang"
    except Exception as error:
        if loaded:  # forged weights can be too large for what they are used for
            return f"other model, {type(error).__name__} when used"
        named = str(path) in str(error)
        return type(error).__name__ + ("" if named else f" without the path: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "equal" if all(map(np.array_equal, found, expected)) else "other model"


def interrupt(*_: Any) -> None:
    """Handle the alarm."""
    raise TimeoutError


def run(numbers: range, pipe: Connection, data: bytes, X: np.ndarray, expected: Any):
    """Send kind and outcome of each mutation, in a child process."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, interrupt)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_BYTES,) * 2)
    kinds = list(MUTATIONS)
    with tempfile.TemporaryDirectory() as directory:
        for number in numbers:
            kind = kinds[number % len(kinds)]
            random = np.random.default_rng(number)
            try:
                changed = MUTATIONS[kind](data, random)
            except MemoryError:
                pipe.send((kind, "not made"))
                continue
            if changed == data:
                pipe.send((kind, "unchanged"))
                continue
            pipe.send((kind, outcome(Path(directory) / "model", changed, X, expected)))


def load_mutated(*, device: str, rounds: int = 100_000) -> Figures:
    """Load as many mutations, and count the outcomes of each kind."""
    warnings.simplefilter("ignore")
    X = table()
    model = small(hidden_layer_sizes=(8,), prior=3).fit(X)
    with tempfile.TemporaryDirectory() as directory:
        model.save(Path(directory) / "model")
        data = (Path(directory) / "model").read_bytes()
    X = X[:20]
    expected = outputs(model, X)

    context, kinds = multiprocessing.get_context("fork"), list(MUTATIONS)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    done = 0
    while done < rounds:
        ours, theirs = context.Pipe(duplex=False)
        numbers = range(done, min(done + BATCH, rounds))
        child = context.Process(target=run, args=(numbers, theirs, data, X, expected), daemon=True)
        child.start()
        theirs.close()
        for number in numbers:
            try:
                kind, found = ours.recv() if ours.poll(PATIENCE) else (None, "hang")
            except EOFError:
                kind, found = None, "crash"
            counts[kind or kinds[number % len(kinds)]][found] += 1
            done += 1
            if kind is None:  # the next child goes on after this one
                break
        child.kill()
        child.join()
    return {"bytes of the file": len(data)} | {kind: dict(counts[kind]) for kind in kinds}


PARTS = {"load": load_mutated}
