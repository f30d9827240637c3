"""How images are trained on: data sets, methods, budgets, and networks that are kept.

A budget is updates: as many as a data set's minutes pay on one core of the machine where the pace
was measured. It is the same wherever networks are trained.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from autoencoders import autoencoder
from data import Split, digits, images, split
from methods import METHODS, estimator, round_nothing
from runs import RESULTS, Line, cpu, read
from trained import Trained

from sklearn_bigan import BiGANTransformer

PACE = RESULTS / "images_pace.jsonl"


@dataclass(frozen=True)
class Facts:
    """How a data set is read and trained on; `minutes` are of one core."""

    loader: Callable[[Path], Split]
    image_shape: tuple[int, int, int]
    n_components: int
    minutes: float


DATA = {
    "digits": Facts(digits, (8, 8, 1), 16, 1.0),
    "cifar10": Facts(partial(images, "cifar10_subset"), (32, 32, 3), 64, 30.0),
    "mnist": Facts(partial(images, "mnist"), (28, 28, 1), 50, 10.0),
    "fashion_mnist": Facts(partial(images, "fashion_mnist"), (28, 28, 1), 50, 10.0),
    "olivetti": Facts(partial(images, "olivetti"), (64, 64, 1), 64, 10.0),
}


def pixels(X: np.ndarray, seconds: float, marks: Any, **parameters: Any) -> Trained:
    """Return the rows themselves."""
    return Trained(lambda X: {"z": X})


def scheduled(
    X: np.ndarray, seconds: float, marks: Any, *, updates: int, **parameters: Any
) -> Trained:
    """Any setting of the estimator, for whole epochs: the learning rate falls at their end."""
    epochs = updates / math.ceil(len(X) / BiGANTransformer().batch_size)
    return estimator(X, math.inf, marks, max_epochs=max(1, round(epochs)), **parameters)


WAYS: dict[str, tuple[Callable[..., Trained], dict[str, Any]]] = {
    "pixels": (pixels, {}),
    **{name: METHODS[name] for name in ("pca", "untrained", "autoencoder")},
    **{
        name: (scheduled, METHODS[name][1])
        for name in ("latent_regression", "bigan", "ali", "default")
    },
}

# The default with one part otherwise: what the parts are worth. For choosing, hence --validate.
PARTS: dict[str, dict[str, Any]] = {
    "no_views": {"augmentations": None},
    "cycle_of_tables": {"cycle_weight": 50.0},
    "no_contrast": {"consistency_weight": 0.0},
    "flipped_views": {"augmentations": ("crop", "flip", "color")},
    "neighbors": {"n_neighbors": 10},
    "layers_for_tables": {"network": "mlp"},
    "layers_of_ali": {"network": "ali"},
}
ALL_WAYS = WAYS | {name: (scheduled, parameters) for name, parameters in PARTS.items()}
# Those that a budget bounds.
TRAINED = [name for name, (way, _) in ALL_WAYS.items() if way in (scheduled, autoencoder)]


def parameters(setting: Line) -> dict[str, Any]:
    """Return what a method is told."""
    return {
        "n_components": setting["n_components"],
        "image_shape": DATA[setting["data"]].image_shape,
        "output_activation": "sigmoid",
        "learning_rate": setting["learning_rate"],
        "random_state": setting["seed"],
        "device": setting.get("device", "cpu"),
        "precision": "float32",
        **ALL_WAYS[setting["method"]][1],
    }


def pace(setting: Line, folder: Path) -> Line:
    """Train for the setting's minutes; return the updates made and the seconds used."""
    way, _ = ALL_WAYS[setting["method"]]
    X_train, *_ = DATA[setting["data"]].loader(folder)
    given = parameters(setting)
    if way is scheduled:
        way, given = estimator, given | {"max_epochs": 10**6}
    trained = way(X_train, 60 * setting["minutes"], [], **given)
    return {"updates": trained.updates, "seconds": round(trained.seconds, 1)}


def paid_updates(setting: Line) -> int:
    """Return how many updates the minutes pay on one core, by the pace that was measured there."""
    key = setting["data"], setting["method"]
    for line in read(PACE):
        if key == (line["data"], line["method"]):
            trial = 60 * line["minutes"]
            # What follows the last update is paid once.
            after = line["seconds"] - trial
            pays = (60 * setting["minutes"] - after) * line["updates"] / trial
            return max(1, round(pays))
    raise LookupError(f"{PACE.name} has no pace of {key[1]} on {key[0]}: measure it by --pace.")


def rows_of(setting: Line, folder: Path) -> Split:
    """Load what the setting trains and is judged on."""
    data = DATA[setting["data"]].loader(folder)
    return split(*data[:2], seed=1) if setting["validate"] else data


def networks_of(setting: Line, X_train: np.ndarray, kept: Path | None) -> tuple[Trained, str]:
    """Train as the setting says, or take what the folder has of it; return where, too."""
    name = "-".join(str(value) for value in setting.values()) + ".joblib"
    if kept is not None and (kept / name).exists():
        return joblib.load(kept / name)
    round_nothing()
    given = {"updates": paid_updates(setting)} if setting["method"] in TRAINED else {}
    way, _ = ALL_WAYS[setting["method"]]
    trained = way(X_train, 60 * setting["minutes"], [], **parameters(setting), **given)
    machine = torch.cuda.get_device_name() if setting.get("device") == "cuda" else cpu()
    if kept is not None and trained.updates:
        kept.mkdir(parents=True, exist_ok=True)
        joblib.dump((trained, machine), kept / name)
    return trained, machine


def train_only(setting: Line, folder: Path, kept: Path) -> Line:
    """Leave the networks in the folder."""
    X_train, *_ = rows_of(setting, folder)
    trained, machine = networks_of(setting, X_train, kept)
    return {"trained_on": machine, "updates": trained.updates}
