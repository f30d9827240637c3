"""How near training and encoding come to what the bare products cost: the roofline.

The floor of a training step are its matrix products and convolutions (see `products.py`), without
biases, normalisation, activations, losses, optimizers, batches, autograd and Python. Steps and
floors are timed in turns, on one thread; a figure is the median of the rounds' ratios.

    tables      steps on tables: BiGAN and ALI as published, and the default recipe; compiled, too
    compiling   seconds until a step is compiled
    images      steps on images, and the memory of a process that trains and does nothing else
    transform   `transform` over a bare chunked forward, and of one row over a call of the encoder
    profile     what the rest of a step is spent on

    python benchmarks/roofline.py tables [--device cuda] [--out benchmarks/results/roofline.json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from methods import PUBLISHED
from products import floor
from runs import provenance
from sklearn.base import clone
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._inference import CHUNK_ROWS
from sklearn_bigan._training import train

RECIPES: dict[str, dict[str, Any]] = {
    "bigan": {**PUBLISHED, "learning_rate": 2e-4},
    "ali": {**PUBLISHED, "learning_rate": 2e-4, "posterior": "gaussian"},
    "default": {},
}
# Steps until one is compiled.
COMPILING_STEPS = 2
# Columns, width of both hidden layers, rows in a batch.
TABLES = [
    *((784, width, 128) for width in (128, 256, 512, 1024, 2048)),
    (64, 256, 128),
    *((784, 256, batch) for batch in (64, 256, 1024)),
]
PROFILED = [(784, 1024, 128), (784, 256, 128), (64, 256, 128)]
COMPONENTS = {784: 50, 64: 16}
IMAGES = {"28x28x1": (28, 28, 1), "32x32x3": (32, 32, 3)}
NETWORKS = ("dcgan", "ali")
IMAGE_STEPS = 3
ENCODERS = [(64, 256), (784, 512)]  # columns, width
ENCODED_ROWS, CALLS, TRANSFORM_ROUNDS = 100_000, 500, 15

# Steps in a round are as many as take SECONDS, MOST_STEPS at the most.
ROUNDS, SECONDS, MOST_STEPS = 7, 0.5, 200

# What a kernel's name says about its purpose. Those that are in none are "other kernels".
KERNELS = {
    "products": ("addmm", "mm", "bmm", "dot", "mv"),
    "batch norm": ("native_batch_norm", "native_batch_norm_backward"),
    "activations": ("leaky_relu_", "leaky_relu_backward", "sigmoid", "sigmoid_backward"),
    "optimizers": ("_fused_adam_", "_foreach_add_"),
}

Figures = dict[str, Any]


def now(device: str) -> float:
    """Read the clock when the device has done what it was told."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


class StepClock(Callback):
    """Seconds of so many steps, the last of an epoch, and what is to run meanwhile."""

    def __init__(self, n_before: int, n_steps: int, profiler: Any = None) -> None:
        self.n_before, self.n_steps = n_before, n_steps
        self.profiler = profiler

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the epoch before."""
        self.n_done = 0

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start at the first of them."""
        if self.n_done == self.n_before:
            if self.profiler is not None:
                self.profiler.start()
            self.start = now(net.device)

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop at the last."""
        self.n_done += 1
        if self.n_done == self.n_before + self.n_steps:
            self.seconds = now(net.device) - self.start
            if self.profiler is not None:
                self.profiler.stop()


class Training:
    """An untrained net of some recipe, and rows of noise for it."""

    def __init__(
        self, n_features: int, batch: int, device: str, compiled: bool = False, **parameters: Any
    ) -> None:
        self.estimator = BiGANTransformer(
            batch_size=batch, max_epochs=0, random_state=0, device=device, **parameters
        )
        self.n_features = n_features
        self.compiled = compiled
        self.n_before = COMPILING_STEPS if compiled else 0
        self.net = self.fresh_net()
        self.step_rows = self.net.rows_a_batch

    def fresh_net(self) -> Any:
        """Return an untrained net, the same at every call."""
        return clone(self.estimator).fit(noise(2, self.n_features)).net_

    def rows(self, n_steps: int) -> np.ndarray:
        """Return rows for so many steps, and for those before."""
        return noise((self.n_before + n_steps) * self.step_rows, self.n_features)

    def floor(self) -> list[Callable[[], Any]]:
        """Return the products of one step."""
        return floor(self.fresh_net, noise(self.step_rows, self.n_features))

    def seconds(self, rows: np.ndarray, profiler: Any = None) -> float:
        """Return what one step takes, of an epoch over the rows."""
        n_steps = len(rows) // self.step_rows - self.n_before
        clock = StepClock(self.n_before, n_steps, profiler)
        self.net.callbacks_.append(("clock", clock))
        train(self.net, rows, epochs=1, settle=False, compiled=self.compiled)
        self.net.callbacks_.pop()
        return clock.seconds / clock.n_steps


def noise(n_rows: int, n_columns: int) -> np.ndarray:
    """Return uniform noise, always the same."""
    return np.random.default_rng(0).random((n_rows, n_columns), dtype=np.float32)


def seconds(run: Callable[[], Any], times: int, device: str) -> float:
    """Return what one run takes, of several in a row."""
    start = now(device)
    for _ in range(times):
        run()
    return (now(device) - start) / times


def over(costs: Callable[[], float], floors: Callable[[], float], n_rounds: int) -> Figures:
    """Time two things in turns: median, least and greatest of the ratio, medians of the seconds."""
    costs(), floors()
    rounds = [(costs(), floors()) for _ in range(n_rounds)]
    ratios = [cost / least for cost, least in rounds]
    cost_seconds, floor_seconds = (statistics.median(times) for times in zip(*rounds, strict=True))
    return {
        "ratio": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "greatest": round(max(ratios), 3),
        "seconds": float(f"{cost_seconds:.4g}"),
        "floor_seconds": float(f"{floor_seconds:.4g}"),
        "rounds": n_rounds,
    }


def step_over_floor(training: Training, n_steps: int) -> Figures:
    """Time so many steps and so many floors in turns."""
    products = training.floor()
    rows = training.rows(n_steps)

    def run() -> None:
        for multiply in products:
            multiply()

    device = training.net.device
    figures = over(partial(training.seconds, rows), partial(seconds, run, n_steps, device), ROUNDS)
    return {**figures, "products": len(products), "steps": n_steps}


def table_training(
    recipe: str, n_features: int, width: int, batch: int, device: str, compiled: bool = False
) -> Training:
    """Return a net for a table."""
    settings = {"n_components": COMPONENTS[n_features], "hidden_layer_sizes": (width, width)}
    return Training(n_features, batch, device, compiled, **settings, **RECIPES[recipe])


def enough(training: Training) -> int:
    """Return how many steps take SECONDS."""
    few = training.rows(3)
    step = min(training.seconds(few) for _ in range(2))
    return min(MOST_STEPS, max(3, round(SECONDS / step)))


def tables(device: str) -> Figures:
    """Measure every recipe on every table, as it comes and compiled."""
    figures: Figures = {}
    for recipe, compiled in product(RECIPES, (False, True)):
        found = figures[f"{recipe}, compiled" if compiled else recipe] = {}
        for shape in TABLES:
            training = table_training(recipe, *shape, device, compiled)
            found[named(*shape)] = step_over_floor(training, enough(training))
            print(recipe, compiled, named(*shape), found[named(*shape)], flush=True)
    return figures


def named(n_features: int, width: int, batch: int) -> str:
    """Say what was trained on."""
    return f"{n_features} columns, width {width}, batch {batch}"


def image_training(
    network: str, image_shape: Sequence[int], device: str, **changed: Any
) -> Training:
    """Return a net for images."""
    settings = {"n_components": 64, "output_activation": "sigmoid", **changed}
    shape = tuple(image_shape)
    return Training(
        int(np.prod(shape)), 128, device, network=network, image_shape=shape, **settings
    )


def images(device: str) -> Figures:
    """Measure the networks for images; memory where it is the CPU's."""
    figures: Figures = {network: {} for network in NETWORKS}
    for network in NETWORKS:
        for name, shape in IMAGES.items():
            training = image_training(network, shape, device)
            figures[network][name] = step_over_floor(training, IMAGE_STEPS)
            print(network, name, figures[network][name], flush=True)
        if device == "cpu":
            figures[network]["peak_megabytes"] = peak_megabytes(network)
            print(network, figures[network]["peak_megabytes"], "MB", flush=True)
    return figures


def peak_megabytes(network: str) -> float:
    """Greatest resident memory of a process that trains on images of 32 x 32 x 3; on Linux."""
    kilobytes = in_a_process(
        f"training = r.image_training({network!r}, (32, 32, 3), 'cpu'); "
        "training.seconds(training.rows(3)); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    return round(int(kilobytes) / 1024, 1)


def in_a_process(script: str, **environment: str) -> str:
    """Return what a fresh Python prints that knows this module as `r`."""
    start = f"import sys, torch; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    command = [
        sys.executable,
        "-c",
        start + "torch.set_num_threads(1); import roofline as r; " + script,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment
    ).stdout


def compiling(device: str) -> Figures:
    """Time two short trainings in a process, in one that finds nothing compiled and in the next."""
    shape = 64, 256, 128
    script = (
        f"training = r.table_training('default', *{shape}, {device!r}, True); "
        "rows = training.rows(1); "
        "print(*[r.seconds(lambda: training.seconds(rows), 1, 'cpu') for _ in range(2)])"
    )
    with tempfile.TemporaryDirectory() as folder:
        took = [in_a_process(script, TORCHINDUCTOR_CACHE_DIR=folder).split() for _ in range(2)]
    names = "first", "again", "in another process", "again there"
    found = dict(zip(names, (round(float(s), 1) for s in chain(*took)), strict=True))
    print(found, flush=True)
    return {f"default, {named(*shape)}": found}


def transform(device: str) -> Figures:
    """Measure `transform` of many rows, and of one."""
    figures: Figures = {}
    for n_features, width in ENCODERS:
        settings = {"max_epochs": 0, "random_state": 0, "device": device}
        X = noise(ENCODED_ROWS, n_features)
        bigan = BiGANTransformer(
            COMPONENTS[n_features], hidden_layer_sizes=(width, width), **settings
        ).fit(X[:2])
        encoder = bigan.net_.averaged_.encoder
        row = torch.from_numpy(X[:1]).to(device)

        @torch.inference_mode()
        def chunked(encoder: Any = encoder, X: np.ndarray = X) -> torch.Tensor:
            chunks = torch.from_numpy(X).split(CHUNK_ROWS)
            return torch.cat([encoder(chunk.to(device)).cpu() for chunk in chunks])

        @torch.inference_mode()
        def called(encoder: Any = encoder, row: torch.Tensor = row) -> torch.Tensor:
            return encoder(row).cpu()

        name = f"{n_features} columns, width {width}"
        for n_rows, bare, times in ((len(X), chunked, 1), (1, called, CALLS)):
            face = partial(bigan.transform, X[:n_rows])
            figures[f"{name}, rows {n_rows}"] = found = over(
                partial(seconds, face, times, device),
                partial(seconds, bare, times, device),
                TRANSFORM_ROUNDS,
            )
            print(name, n_rows, found, flush=True)
    return figures


def profile(device: str) -> Figures:
    """Say what share of a step each kind of kernel has; what is left is Python's and autograd's.

    torch's profiler takes time of its own, which counts as the latter's. Medians over rounds.
    """
    figures: Figures = {}
    for shape in PROFILED:
        training = table_training("bigan", *shape, device)
        rows = training.rows(enough(training))
        rounds = [shares(training, rows) for _ in range(ROUNDS)]
        medians = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
        figures[named(*shape)] = {name: round(share, 3) for name, share in medians.items()}
        print(named(*shape), figures[named(*shape)], flush=True)
    return figures


def shares(training: Training, rows: np.ndarray) -> dict[str, float]:
    """Return the shares in the steps on these rows."""
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    total = training.seconds(rows, profiler) * len(rows) / training.step_rows
    found = dict.fromkeys([*KERNELS, "other kernels"], 0.0)
    for event in profiler.key_averages():
        if event.key.startswith(("aten::", "Optimizer.")):
            found[kind(event.key)] += event.self_cpu_time_total / 1e6 / total
    return {**found, "Python and autograd": 1 - sum(found.values())}


def kind(event: str) -> str:
    """Return what a kernel is for; the optimizers' own Python goes with their kernels."""
    if event.startswith("Optimizer."):
        return "optimizers"
    kernel = event.removeprefix("aten::")
    return next((name for name, kernels in KERNELS.items() if kernel in kernels), "other kernels")


PARTS = {
    "tables": tables,
    "compiling": compiling,
    "images": images,
    "transform": transform,
    "profile": profile,
}


def main() -> None:
    """Measure the parts; print the figures, and put them in the place of what a file has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    about = {"seed": 0, **provenance()}
    if args.device != "cpu":
        about["accelerator"] = torch.get_device_module(args.device).get_device_name()
    for part in args.parts:
        command = f"python benchmarks/roofline.py {part} --device {args.device}"
        with threadpool_limits(1):
            figures = PARTS[part](args.device)
        if args.out:
            known = json.loads(args.out.read_text()) if args.out.exists() else {}
            known[part] = {"command": command, **about, **figures}
            args.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
