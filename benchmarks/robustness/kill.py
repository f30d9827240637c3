"""Trainings that are killed at random moments, and taken up again from their checkpoint.

A child trains with a checkpoint after nearly every step. It is killed (SIGKILL) at a random moment;
in some of the runs the moment is inside a save, or some time before it the disk fills up or the
directory goes away. The next child goes on, and may be killed, too. A run counts as equal if the
training that ends at last has the bits of one that was never interrupted.
"""

import multiprocessing
import os
import random
import resource
import signal
import tempfile
import threading
import time
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from speed.clock import Figures

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._training.checkpoint import read

FORK = multiprocessing.get_context("fork")
WAYS = ("any moment", "inside a save", "a full disk", "a directory that is gone")
KILLS = 3  # of each run
EVERY = 0.002  # seconds between checkpoints
TROUBLE = 0.8  # share of a child's life after which the disk is full or the directory gone
TOO_SMALL = 10_000  # bytes of a full disk, less than any checkpoint
CALLS_OF_A_SAVE = ("fsync", "replace")


def rows() -> np.ndarray:
    """Return rows of several blocks of batches."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 4)) @ rng.normal(size=(4, 12))


def train(path: Path | None) -> BiGANTransformer:
    """Train for about a second."""
    warnings.simplefilter("ignore")
    checkpoint = None if path is None else (path, EVERY)
    return BiGANTransformer(
        3, hidden_layer_sizes=(32,), max_epochs=24, random_state=0, checkpoint=checkpoint
    ).fit(rows())


def bits(estimator: BiGANTransformer) -> str:
    """Return a hash of weights, averages, batch statistics and the optimizer's moments."""
    net, digest = estimator.net_, blake2b()
    tensors: dict[str, Any] = dict(net.module_.state_dict())
    for number, moments in net.optimizer_.state_dict()["state"].items():
        tensors |= {f"{number} {name}": tensor for name, tensor in moments.items()}
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def child(path: Path, way: str, seed: int, seconds: float | None, result: Any) -> None:
    """Train, in circumstances, and send the bits if the end is reached."""
    random.seed(seed)
    if way == "a full disk" and seconds is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = (resource.RLIMIT_FSIZE, (TOO_SMALL, TOO_SMALL))
        timer = threading.Timer(TROUBLE * seconds, resource.setrlimit, limit)
        timer.daemon = True
        timer.start()
    elif way == "inside a save":
        name = random.choice(CALLS_OF_A_SAVE)
        call, left = getattr(os, name), random.randrange(1, 60)

        def deadly(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and random.random() < 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
            made = call(*args)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return made

        setattr(os, name, deadly)
    result.send(bits(train(path)))


def attempt(path: Path, way: str, seed: int, seconds: float | None) -> str | None:
    """Run a child, kill it after so many seconds, and return the bits if it came to its end."""
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=child, args=(path, way, seed, seconds, there))
    process.start()
    there.close()
    away = path.parent.with_name("away")
    if way == "a directory that is gone" and seconds is not None:
        time.sleep(TROUBLE * seconds)
        path.parent.rename(away)
        time.sleep((1 - TROUBLE) * seconds)
    elif seconds is not None:
        process.join(seconds)
    if seconds is not None:
        process.kill()
    process.join()
    if away.exists():
        away.rename(path.parent)
    try:
        return str(here.recv()) if here.poll() else None
    except EOFError:
        return None


def fit(*, device: str, rounds: int = 200) -> Figures:
    """Kill trainings; count torn files, and trainings that end with the bits of one left alone."""
    here, there = FORK.Pipe(duplex=False)
    reference = FORK.Process(target=lambda: there.send(bits(train(None))))
    reference.start()
    expected = here.recv()
    reference.join()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        attempt(Path(folder) / "checkpoint", "", 0, None)
        took = time.monotonic() - start
    drawn = random.Random(0)
    names = ("runs", "kills", "files", "torn files", "equal")
    counts: dict[str, Any] = {way: dict.fromkeys(names, 0) for way in WAYS}
    for number in range(rounds):
        way = WAYS[number % len(WAYS)]
        own = counts[way]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run" / "checkpoint"
            path.parent.mkdir()
            for _ in range(KILLS):
                if attempt(path, way, drawn.randrange(2**32), drawn.uniform(0, took)) is None:
                    own["kills"] += 1
                if path.exists():
                    own["files"] += 1
                    try:
                        read(path)
                    except ValueError:
                        own["torn files"] += 1
            own["runs"] += 1
            own["equal"] += attempt(path, "", 0, None) == expected
    return counts


PARTS = {"fit": fit}
