"""The roofline: a training step over its bare matrix products and convolutions.

In one training, epochs of a few steps and the bare products (`products.py`) take turns; a figure is
the median of the rounds' ratios. The first epoch does not count: compiling happens there.
"""

import tempfile
from functools import partial
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from sklearn_bigan import BiGANTransformer
from speed.clock import Clock, Figures, beside, in_fresh_process, seconds
from speed.products import Product, floor

RECIPES: dict[str, Figures] = {
    "bigan": {"method": "bigan"},
    "ali": {"method": "ali"},
    "default": {},
}
# Columns, width of both hidden layers, rows of an update with their partners.
TABLES = [
    *((784, width, 128) for width in (128, 256, 512, 1024, 2048)),
    (64, 256, 128),
    *((784, 256, batch) for batch in (64, 256, 1024)),
]
IMAGES = {"28x28x1": (28, 28, 1), "32x32x3": (32, 32, 3)}
NETWORKS = ("dcgan", "ali")
# Steps of a round are as many as take ROUND_SECONDS, MOST_STEPS at most.
ROUND_SECONDS, MOST_STEPS, IMAGE_STEPS = 0.5, 200, 3


def noise(n_rows: int, n_columns: int) -> np.ndarray:
    """Return uniform noise, always the same."""
    return np.random.default_rng(0).random((n_rows, n_columns), dtype=np.float32)


def table_model(recipe: str, n_columns: int, width: int, batch: int, **changed: Any) -> Figures:
    """Return the parameters of a model of a table, whose updates see `batch` rows or partners."""
    return {
        "n_components": 16 if n_columns < 100 else 50,
        "hidden_layer_sizes": (width, width),
        "batch_size": batch // 2 if recipe == "default" else batch,
        **{"random_state": 0, "device": "cpu"},
        **RECIPES[recipe],
        **changed,
    }


def image_model(network: str, image_shape: tuple[int, int, int], **changed: Any) -> Figures:
    """Return the parameters of a model of images, by the default recipe."""
    shape = {"network": network, "image_shape": image_shape, "n_components": 64}
    return {**shape, "batch_size": 128, "random_state": 0, "device": "cpu", **changed}


class Turns(Clock):
    """Times the bare products after each epoch."""

    def __init__(self, device: str, products: list[Product], times: int) -> None:
        super().__init__(device)
        self.products, self.times = products, times
        self.floors: list[float] = []

    def multiply(self) -> None:
        """Do all products once."""
        for product in self.products:
            product()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End the epoch, and time the products."""
        super().on_epoch_end(net)
        self.floors.append(seconds(self.multiply, self.times, self.device))


def train(parameters: Figures, n_columns: int, n_steps: int, n_epochs: int, clock: Any) -> None:
    """Train on noise for epochs of so many steps."""
    X = noise(n_steps * parameters["batch_size"], n_columns)
    BiGANTransformer(**parameters, max_epochs=n_epochs, callbacks=[clock]).fit(X)


def step_over_floor(
    parameters: Figures, n_columns: int, rounds: int, n_steps: int | None = None
) -> Figures:
    """Time steps and bare products in turns."""
    device = parameters["device"]
    batch = noise(parameters["batch_size"], n_columns)
    products = floor(partial(BiGANTransformer, **parameters), batch)
    if n_steps is None:
        clock = Clock(device)
        train(parameters | {"compile": False}, n_columns, 5, 2, clock)
        n_steps = min(MOST_STEPS, max(3, round(ROUND_SECONDS / clock.steps[-1])))
    turns = Turns(device, products, n_steps)
    train(parameters, n_columns, n_steps, rounds + 1, turns)
    figures = beside(turns.steps[1:], turns.floors[1:])
    return figures | {"products": len(products), "steps": n_steps}


def named(n_columns: int, width: int, batch: int) -> str:
    """Name a table."""
    return f"{n_columns} columns, width {width}, batch {batch}"


def tables(*, device: str, rounds: int = 7) -> Figures:
    """Measure every recipe on every table, as it comes and compiled."""
    return {
        f"{recipe}, compiled" if compiled else recipe: {
            named(*shape): step_over_floor(
                table_model(recipe, *shape, device=device, compile=compiled), shape[0], rounds
            )
            for shape in TABLES
        }
        for recipe in RECIPES
        for compiled in (False, True)
    }


def images(*, device: str, rounds: int = 7) -> Figures:
    """Measure the networks for images, and the memory of a process that trains them."""
    figures: Figures = {network: {} for network in NETWORKS}
    for network in NETWORKS:
        for name, shape in IMAGES.items():
            model = image_model(network, shape, device=device)
            figures[network][name] = step_over_floor(model, prod(shape), rounds, IMAGE_STEPS)
        if device == "cpu":
            used = in_fresh_process(train_images, network)
            figures[network]["peak_megabytes"] = used["peak_megabytes"]
    return figures


def train_images(network: str) -> None:
    """Train on a few images of 32 x 32 x 3."""
    train(image_model(network, (32, 32, 3)), 3072, IMAGE_STEPS, 1, Clock())


def compiling(*, device: str, rounds: int = 1) -> Figures:
    """Time two short compiled trainings in a process without compiled files and in the next."""
    with tempfile.TemporaryDirectory() as folder:
        run = partial(in_fresh_process, compiled_trainings, device, TORCHINDUCTOR_CACHE_DIR=folder)
        took = [run()["result"] for _ in range(2)]
    names = "first", "again", "in another process", "again there"
    return {f"default, {named(64, 256, 128)}": dict(zip(names, chain(*took), strict=True))}


def compiled_trainings(device: str) -> list[float]:
    """Return the seconds of two short trainings."""
    parameters = table_model("default", 64, 256, 128, device=device, compile=True)
    return [round(seconds(lambda: train(parameters, 64, 3, 1, Clock(device))), 1) for _ in range(2)]


PARTS = {"tables": tables, "images": images, "compiling": compiling}
