"""What the estimator's parameters may be, alone and together, and the model they describe."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sklearn_bigan._device import multiplies_bfloat16
from sklearn_bigan._losses import LOSSES
from sklearn_bigan._priors import PRIORS
from sklearn_bigan._views import AUGMENTATIONS
from sklearn_bigan.networks.bigan import IMAGE_BODIES, ROLES, Blueprint, default_network
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.images import ImageShape

FEATURES = ("latent", "hidden", "all")
PRECISIONS = ("float32", "bfloat16")
INFERENCES = ("adversarial", "latent_regression", "joint_latent_regression")

CONSTRAINTS: dict[str, list[Any]] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "posterior": [StrOptions({"deterministic", "gaussian"})],
    "prior": [StrOptions(set(PRIORS))],
    "n_clusters": [Interval(Integral, 1, None, closed="left")],
    "inference": [StrOptions(set(INFERENCES))],
    "loss": [StrOptions(set(LOSSES))],
    "network": [StrOptions({"auto", "mlp", *IMAGE_BODIES}), dict],
    "hidden_layer_sizes": [StrOptions({"auto"}), "array-like"],
    "image_shape": ["array-like", None],
    "augmentations": [StrOptions({"auto"}), "array-like", None],
    "output_activation": [StrOptions(set(OUTPUT_RANGES))],
    "features": [StrOptions(set(FEATURES))],
    "cycle_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    "latent_cycle_weight": [Interval(Real, 0, None, closed="left")],
    "consistency_weight": [Interval(Real, 0, None, closed="left")],
    "n_neighbors": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
    "neighbor_steps": [Interval(Integral, 1, None, closed="left")],
    "ema_decay": [Interval(Real, 0, 1, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "max_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "discriminator_steps": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "device": [str],
    "precision": [StrOptions({"auto", *PRECISIONS})],
    "compile": ["boolean"],
    "callbacks": [list, tuple, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


# Two hidden layers of this width, and of that from so many rows on: with many rows wide networks
# give better codes, with few they only take longer.
WIDTH, LARGE_WIDTH, MANY_ROWS = 256, 512, 10_000

# Neighbours of a row of a table. Images near by pixels are often of different things: on CIFAR-10
# three in ten neighbours share a class, and features are worse for them.
NEIGHBORS = 10

# Weight of the cycle on x. An image's details do not follow from its code, and by this term G draws
# their mean. With 5 samples of CIFAR-10 have more colour and texture than with 20 or 50, and
# features are as good (1000 updates, one seed).
CYCLE_WEIGHT, IMAGE_CYCLE_WEIGHT = 50.0, 5.0

# "color", too, changes images of one channel: how bright they are. "flip" is not for all images:
# a digit in a mirror is no digit.
COMMON_AUGMENTATIONS = ("crop", "color")

# Of less than so many pixels a side, hardly one strided convolution leaves a map.
LEAST_IMAGE = 8


def blueprint_for(
    estimator: Any, n_rows: int, n_features: int, made: Blueprint | None
) -> Blueprint:
    """Return the model that the estimator's parameters describe for X of that shape.

    What follows from X by itself stays as it was `made`, if training goes on.

    Raises
    ------
    ValueError
        If parameters that are valid one by one do not go together.
    """
    if estimator.posterior == "gaussian" and estimator.inference != "adversarial":
        raise ValueError(
            f"posterior='gaussian' needs inference='adversarial': a latent regressor estimates a "
            f"point. Got inference={estimator.inference!r}; use posterior='deterministic' with it."
        )
    image_shape = _image_shape(estimator.image_shape, n_features)
    return Blueprint(
        n_features=n_features,
        latent_dim=int(estimator.n_components),
        posterior=estimator.posterior,
        prior=estimator.prior,
        n_clusters=int(estimator.n_clusters),
        inference=estimator.inference,
        loss=estimator.loss,
        output_activation=estimator.output_activation,
        hidden_layer_sizes=_widths(estimator.hidden_layer_sizes, n_rows, made),
        image_shape=image_shape,
        network=_network(estimator.network, image_shape),
    )


def _widths(hidden_layer_sizes: Any, n_rows: int, made: Blueprint | None) -> tuple[int, ...]:
    if isinstance(hidden_layer_sizes, str):
        if made is not None:
            return made.hidden_layer_sizes
        return (LARGE_WIDTH if n_rows >= MANY_ROWS else WIDTH,) * 2
    widths = list(hidden_layer_sizes)
    if not widths or any(not isinstance(width, Integral) or int(width) < 1 for width in widths):
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of BiGANTransformer must be 'auto', or one or "
            f"more ints in the range [1, inf), such as (256, 256). Got {hidden_layer_sizes!r} "
            f"instead."
        )
    return tuple(int(width) for width in widths)


def _image_shape(image_shape: Any, n_features: int) -> ImageShape | None:
    """Height, width and channels, 1 if not given."""
    if image_shape is None:
        return None
    sizes = list(image_shape)
    if len(sizes) not in (2, 3) or any(not isinstance(n, Integral) or int(n) < 1 for n in sizes):
        raise ValueError(
            f"The 'image_shape' parameter of BiGANTransformer must be None, (height, width) or "
            f"(height, width, channels), in ints of at least 1. Got {image_shape!r} instead."
        )
    height, width, channels = (int(n) for n in [*sizes, 1][:3])
    if height * width * channels != n_features:
        fitting, left = divmod(n_features, height * width)
        advice = (
            f"use image_shape=({height}, {width}, {fitting}) if these are its channels, the last "
            f"axis of each image before it was flattened"
            if fitting and not left
            else "give the size of the images, each row of X being one, flattened"
        )
        raise ValueError(
            f"image_shape={image_shape!r} needs rows of {height * width * channels} columns, "
            f"height * width * channels. X has {n_features}; {advice}."
        )
    return height, width, channels


def neighbors_for(estimator: Any) -> int:
    """Return how many neighbours a row may have for a partner."""
    if estimator.n_neighbors != "auto":
        return int(estimator.n_neighbors)
    return NEIGHBORS if estimator.image_shape is None else 0


def precision_for(estimator: Any) -> str:
    """Return what the networks multiply in while they train; the device must be known."""
    if estimator.precision != "auto":
        return str(estimator.precision)
    # On an H200 it halves a step on images, and CIFAR-10's features are as good. MNIST's codes by
    # layers for tables lose half a point, for little time.
    convolutional = estimator.image_shape is not None
    fast = multiplies_bfloat16(torch.device(estimator.device_))
    return "bfloat16" if convolutional and fast else "float32"


def cycle_weight_for(estimator: Any) -> float:
    """Return the weight of the cycle on x."""
    if estimator.cycle_weight != "auto":
        return float(estimator.cycle_weight)
    return CYCLE_WEIGHT if estimator.image_shape is None else IMAGE_CYCLE_WEIGHT


def augmentations_for(estimator: Any) -> tuple[str, ...]:
    """Return what the views of images differ in; nothing for tables."""
    chosen = estimator.augmentations
    if chosen is None or (isinstance(chosen, str) and estimator.image_shape is None):
        return ()
    if isinstance(chosen, str):
        return COMMON_AUGMENTATIONS
    if not set(chosen) <= set(AUGMENTATIONS):
        raise ValueError(
            f"The 'augmentations' parameter of BiGANTransformer must be 'auto', None or some of "
            f"{AUGMENTATIONS}. Got {chosen!r} instead."
        )
    if len(chosen) and estimator.image_shape is None:
        raise ValueError(
            f"augmentations={chosen!r} needs images. Got image_shape=None; say how to read a row "
            f"of X, image_shape=(height, width) or (height, width, channels)."
        )
    return tuple(chosen)


def _network(
    network: str | Mapping[str, Any], image_shape: ImageShape | None
) -> str | dict[str, Any]:
    if isinstance(network, str):
        kind = default_network(image_shape) if network == "auto" else network
        if kind in IMAGE_BODIES:
            _check_convolvable(kind, image_shape)
        return kind
    wrong = [
        f"{role!r}: {factory!r}"
        for role, factory in network.items()
        if role not in ROLES or not callable(factory) or isinstance(factory, nn.Module)
    ]
    if wrong or not network:
        raise ValueError(
            f"The 'network' parameter of BiGANTransformer, where it is a dict, must map one or "
            f"more of {ROLES} to a class or function that makes a torch.nn.Module, not to a "
            f"module already made. Got {{{', '.join(wrong)}}} instead."
        )
    if set(network) != set(ROLES):
        default = default_network(image_shape)
        if default in IMAGE_BODIES:
            _check_convolvable(default, image_shape)
    return dict(network)


def _check_convolvable(network: str, image_shape: ImageShape | None) -> None:
    if image_shape is None:
        raise ValueError(
            f"network={network!r} needs images. Got image_shape=None; say how to read a row of X, "
            f"image_shape=(height, width) or (height, width, channels)."
        )
    if min(image_shape[:2]) < LEAST_IMAGE:
        raise ValueError(
            f"network={network!r} needs images of at least {LEAST_IMAGE} x {LEAST_IMAGE} pixels. "
            f"Got {image_shape[0]} x {image_shape[1]}; use network='mlp', or a dict of all of "
            f"{ROLES}."
        )


def check_unchanged(before: Blueprint, now: Blueprint) -> None:
    """Raise if training cannot go on because a parameter that shapes the model has changed."""
    for field, value in vars(now).items():
        if value != getattr(before, field):
            name = {"latent_dim": "n_components"}.get(field, field)
            raise ValueError(
                f"The {name!r} parameter cannot change while training goes on: the model was made "
                f"with {getattr(before, field)!r}. Got {value!r}; set it back, or call fit with "
                f"warm_start=False to start anew."
            )


def check_range(rows: np.ndarray, output_activation: str) -> None:
    """Raise if the generator's output activation cannot reach the rows."""
    bounds = OUTPUT_RANGES[output_activation]
    if bounds and (rows.min() < bounds[0] or rows.max() > bounds[1]):
        raise ValueError(
            f"With output_activation={output_activation!r}, X must lie in [{bounds[0]:g}, "
            f"{bounds[1]:g}]. Got values from {rows.min():g} to {rows.max():g}; rescale X, for "
            f"example with MinMaxScaler, or use output_activation='identity'."
        )


def draw_seed(random_state: Any) -> int:
    """Draw the seed that all randomness of a fit hangs below.

    None means fresh entropy from the system: numpy's global generator is the caller's.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(2**31 - 1))
