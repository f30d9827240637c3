"""What an accelerator makes of it: seconds of a step, of neighbours and of transform; quality.

`steps` are timed as `fit` takes them, whole epochs with what surrounds them, without recorded
graphs, which replay a step's kernels without asking for each, and by compiled code. `quality`
trains the default estimator there, in float32 and in bfloat16, and probes what it has learned
linearly, of MNIST codes, of CIFAR-10 hidden features.

    python benchmarks/gpu.py steps [--out benchmarks/results/gpu.json]
    python benchmarks/gpu.py quality --jobs 4
"""

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from data import FOLDER, images
from measures import few_labels, linear_probe
from methods import PUBLISHED
from runs import RESULTS, Line, exit_if_some_failed, provenance, resume
from skorch import NeuralNet
from skorch.callbacks import Callback
from table import table

from sklearn_bigan import BiGANTransformer, _replay
from sklearn_bigan._device import resolve_device
from sklearn_bigan._neighbors import by_brute_force

ALI = {**PUBLISHED, "posterior": "gaussian"}
TABLE, IMAGE = {"hidden_layer_sizes": (512, 512)}, {"image_shape": (32, 32, 3)}
STEPS: dict[str, tuple[int, dict[str, Any]]] = {
    "default, 64 columns, width 256": (64, {"hidden_layer_sizes": (256, 256)}),
    "default, 784 columns": (784, TABLE),
    "default, 784 columns, batch 1024": (784, {**TABLE, "batch_size": 1024}),
    "BiGAN, 784 columns": (784, {**TABLE, **PUBLISHED}),
    "ALI, 784 columns": (784, {**TABLE, **ALI}),
    "default, dcgan, 32 x 32 x 3": (3072, IMAGE),
    "default, dcgan, 32 x 32 x 3, batch 1024": (3072, {**IMAGE, "batch_size": 1024}),
    "ALI, its networks, 32 x 32 x 3": (3072, {**IMAGE, **ALI, "network": "ali"}),
}
BATCHES, EPOCHS = 50, 5
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "one by one": (False, {"precision": "float32"}),
    "recorded": (True, {"precision": "float32"}),
    "recorded, bfloat16": (True, {"precision": "bfloat16"}),
    "recorded, compiled": (True, {"precision": "float32", "compile": True}),
}
BLOCK = 65_536


class Clock(Callback):
    """Seconds a step, epoch by epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __deepcopy__(self, memo: Any) -> "Clock":
        return self

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start when all is done that was asked for before."""
        self.start = now()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Stop when all is done."""
        self.seconds.append((now() - self.start) / net.history[-1, "train_batch_count"])


def milliseconds_a_step(n_features: int, recorded: bool, **parameters: Any) -> float:
    """Return the median over the epochs, but for the first: steps are compiled and recorded in it.

    ALI's networks are not compiled, and say so.
    """
    n_rows = BATCHES * parameters.get("batch_size", 128)
    X = np.random.default_rng(0).random((n_rows, n_features), dtype=np.float32)
    clock = Clock()
    with nullcontext() if recorded else patch.object(_replay, "graphs_on", lambda device: None):
        BiGANTransformer(
            32,
            output_activation="sigmoid",
            max_epochs=EPOCHS,
            random_state=0,
            callbacks=[("clock", clock)],
            **parameters,
        ).fit(X)
    return round(1e3 * statistics.median(clock.seconds[1:]), 3)


def steps() -> Line:
    """Time everything once."""
    figures: Line = {}
    for name, (n_features, parameters) in STEPS.items():
        figures[name] = {
            way: milliseconds_a_step(n_features, recorded, **parameters, **how)
            for way, (recorded, how) in WAYS.items()
        }
        print(name, figures[name], flush=True)
    points = torch.randn(BLOCK, 50, device=resolve_device("auto"))
    figures["neighbours of a block, milliseconds"] = round(
        1e3 * seconds(by_brute_force, points, 10), 1
    )
    for name in ("default, 784 columns", "default, dcgan, 32 x 32 x 3"):
        n_features, parameters = STEPS[name]
        X = np.random.default_rng(0).random((BLOCK, n_features), dtype=np.float32)
        model = BiGANTransformer(32, max_epochs=0, **parameters).fit(X[:1000])
        rate = BLOCK / seconds(model.transform, X)
        figures[f"{name}, rows a second in transform"] = round(rate)
    return figures


def now() -> float:
    """Return the time when the accelerator has done all it was asked for."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


def seconds(function: Any, *args: Any) -> float:
    """Return the median of five calls after a first."""
    took = []
    for _ in range(6):
        start = now()
        function(*args)
        took.append(now() - start)
    return statistics.median(took[1:])


def quality(setting: Line, folder: Path) -> Line:
    """Train as the setting says, and probe."""
    of_images = setting["data"] == "cifar10"
    X_train, y_train, X_test, y_test = images(
        "cifar10_subset" if of_images else setting["data"], folder
    )
    settings: dict[str, Any] = {"n_components": 64, **IMAGE, "features": "hidden"}
    model = BiGANTransformer(
        **(settings if of_images else {"n_components": 50}),
        output_activation="sigmoid",
        precision=setting["precision"],
        random_state=setting["seed"],
    )
    start = time.perf_counter()
    model.fit(X_train)
    figures: Line = {"seconds": round(time.perf_counter() - start, 1)}
    features = model.transform(X_train), y_train, model.transform(X_test), y_test
    figures |= {f"linear_{n}": few_labels(n, *features) for n in (100, 1000)}
    figures["linear_all"] = float(linear_probe(*features[:2]).score(*features[2:]))
    return figures | {"score": model.score(X_test), "device": model.device_}


def settings() -> list[Line]:
    """Return what is trained."""
    return [
        {"data": name, "precision": precision, "seed": seed}
        for name in ("cifar10", "mnist")
        for precision in ("float32", "bfloat16")
        for seed in range(3)
    ]


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("steps", "quality"))
    parser.add_argument("--out", type=Path, help="of the steps' figures")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    if args.part == "steps":
        figures = steps() | provenance()
        print(json.dumps(figures, indent=1))
        if args.out:
            args.out.write_text(json.dumps(figures, indent=1) + "\n")
        return
    lines = resume(
        partial(quality, folder=args.folder), settings(), lambda _: RESULTS / "gpu.jsonl", args.jobs
    )
    columns = {
        name: lambda line, name=name: line[name]
        for name in ("linear_100", "linear_1000", "linear_all", "score", "seconds")
    }
    print(table(lines, columns, "data", "precision"))
    exit_if_some_failed(lines, settings())


if __name__ == "__main__":
    main()
