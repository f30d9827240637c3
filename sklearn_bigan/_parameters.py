"""The estimator's parameters: what they may be, and what "auto" means."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints
from torch import nn

from sklearn_bigan._data.augmentation import AUGMENTATIONS
from sklearn_bigan._data.batches import count_batches
from sklearn_bigan._data.statistics import ColumnStatistics
from sklearn_bigan._runtime.caller import warn
from sklearn_bigan._runtime.device import has_bfloat16_units
from sklearn_bigan._training.config import TrainingConfig
from sklearn_bigan._training.schedule import default_n_updates
from sklearn_bigan.networks.bigan import IMAGE_BODIES, ROLES, ModelSpec, default_network
from sklearn_bigan.networks.dcgan import FIRST_CHANNELS, first_channels
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.images import ImageShape
from sklearn_bigan.networks.priors import PRIORS

FEATURES = ("latent", "hidden", "all")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Preset:
    """What "auto" means for a method.

    `batch_size` is for rows without neighbours. `recipe`: whether the terms beside the adversarial
    loss, neighbours, views and averaged weights are on.
    """

    posterior: str
    prior: str
    learning_rate: float
    batch_size: int
    recipe: bool = False


# Each published method with the prior, the learning rate and the batch size of its paper: BiGAN's
# MNIST networks and ALI's tables.
PRESETS = {
    "auto": Preset("deterministic", "mixture", 2e-3, 128, recipe=True),
    "bigan": Preset("deterministic", "uniform", 2e-4, 128),
    "ali": Preset("gaussian", "normal", 1e-4, 100),
    "latent_regression": Preset("deterministic", "uniform", 2e-4, 128),
    "joint_latent_regression": Preset("deterministic", "uniform", 2e-4, 128),
}

CONSTRAINTS: dict[str, Any] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "method": [StrOptions(set(PRESETS))],
    "posterior": [StrOptions({"auto", "deterministic", "gaussian"})],
    "prior": [StrOptions({"auto", *PRIORS}), Interval(Integral, 1, None, closed="left")],
    "network": [StrOptions({"auto", "mlp", *IMAGE_BODIES}), dict],
    "hidden_layer_sizes": "no_validation",  # model_spec has more to say
    "image_shape": ["array-like", None],
    "augmentations": [StrOptions({"auto"}), "array-like", None],
    "output_activation": [StrOptions({"auto", *OUTPUT_RANGES})],
    "features": [StrOptions(set(FEATURES))],
    "cycle_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    "consistency_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    "n_neighbors": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
    "max_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "device": [str, torch.device],
    "n_jobs": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
        None,
    ],
    "precision": [StrOptions({"auto", *PRECISIONS})],
    "compile": ["boolean"],
    "checkpoint": [str, PathLike, tuple, None],
    "callbacks": [list, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

# Two hidden layers of this width, or of LARGE_WIDTH from MANY_ROWS rows on: with many rows wide
# networks give better codes, with few they only take longer.
WIDTH, LARGE_WIDTH, MANY_ROWS = 256, 512, 10_000

# Rows in an update where they have neighbours. The contrast sets each row against all others of its
# batch: with many rows more of them help (MNIST, 10,000 rows, 100 labels, one seed, the same number
# of rows drawn: .882 with 64, .903 with 128, .907 with 256), with few they only make for fewer
# updates (digits: .967 with 64, .965 with 128, .961 with 256).
BATCH_SIZE, LARGE_BATCH_SIZE = 64, 256

# Learning rate with the large batches, as a multiple of that with the small ones: the root of the
# ratio of the batch sizes, as is usual for Adam.
LARGE_BATCH_RATE = 2.0

# Neighbours of a row of a table. Images near by pixels often show different things: on CIFAR-10
# three in ten neighbours share a class, and features are worse with them.
NEIGHBORS = 10

# Weight of the cycle loss. For images it sets pictures against features. Held-out training rows,
# 450 to 632 updates, one seed: Fashion-MNIST with 50, 150 and 500 has R^2 .80, .84 and .86, codes
# with 100 labels .737, .748 and .756; MNIST with 15 and 50 R^2 .74 and .83, hidden features with
# 100 labels .915 and .903; CIFAR-10 with 15 and 50 R^2 .65 and .72, hidden features with 1000
# labels .439 and .433.
CYCLE_WEIGHT, IMAGE_CYCLE_WEIGHT = 100.0, 50.0

# Weight of the latent cycle loss, where there is a cycle. On digits and three tables it adds .4 to
# 1.7 points of R^2 and moves accuracies by less than a point (benchmarks/README.md, Ladder).
LATENT_CYCLE_WEIGHT = 5.0

# Weight of the contrastive loss between neighbours, and between an image and a view. More of it
# makes better codes for few labels, more of the cycle loss better reconstructions.
CONSISTENCY_WEIGHT, IMAGE_CONSISTENCY_WEIGHT = 30.0, 50.0

# Decay of the averaged weights. With the learning rate falling to a hundredth it changes nothing on
# tables at the end of `fit` (benchmarks/README.md, Ladder). After 40 passes of `partial_fit`, whose
# rate is constant, it adds 3 points of R^2 on digits (three seeds).
EMA_DECAY = 0.999

# "color" changes the brightness of images with one channel, too. "flip" is not for all images: a
# mirrored digit is no digit.
DEFAULT_AUGMENTATIONS = ("crop", "color")

# Gaussians in the mixture prior. On digits with 100 labels 25 cost half a point, and 100 gain
# nothing (three seeds, held-out rows).
CLUSTERS = 50

# Seconds between two checkpoints.
CHECKPOINT_INTERVAL = 180.0

# How far values may lie outside of the range of an output activation, as a share of its width. In
# float32 MinMaxScaler leaves up to 2.4e-4, the more the farther a column is from the origin (2000
# random tables). The generator cannot reach them, which costs as little.
ROUNDING = 1e-3

# How far values may fall short of 0 and 1 for X to fill [0, 1]: a few spacings of float32.
FLOAT32_ROUNDING = 1e-6

# Smaller images leave hardly one strided convolution.
MIN_IMAGE_SIZE = 8


def features(estimator: Any) -> str:
    """Return what `transform` is to return, which may have been set to nonsense since `fit`."""
    chosen = estimator.features
    # scikit-learn's validation takes a tenth of the time that the encoder takes for one row.
    if type(chosen) is not str or chosen not in FEATURES:
        validate_parameter_constraints(CONSTRAINTS, {"features": chosen}, type(estimator).__name__)
    return str(chosen)


def model_spec(estimator: Any, statistics: ColumnStatistics, made: ModelSpec | None) -> ModelSpec:
    """Return the networks that the estimator's valid parameters describe for such data.

    `made` are the networks that training goes on with: what "auto" takes from X stays as it was.
    Raises ValueError if parameters contradict each other or X.
    """
    preset = PRESETS[estimator.method]
    n_features = len(statistics.mean)
    image_shape = parse_image_shape(estimator.image_shape, n_features)
    prior = _or_auto(estimator.prior, preset.prior)
    spec = ModelSpec(
        n_features=n_features,
        latent_dim=int(estimator.n_components),
        method=estimator.method,
        posterior=_or_auto(estimator.posterior, preset.posterior),
        prior=prior_kind(prior),
        n_clusters=int(prior) if isinstance(prior, Integral) else CLUSTERS,
        output_activation=_output_activation(estimator.output_activation, statistics, made),
        hidden_layer_sizes=_widths(estimator.hidden_layer_sizes, statistics.n_rows, made),
        image_shape=image_shape,
        network=resolve_network(estimator.network, image_shape),
        first_channels=_first_channels(image_shape, made),
    )
    if not spec.joint:
        _check_regressor(estimator, spec)
    # Photographs are mostly square, and hardly any have as many channels as columns of pixels.
    if image_shape is not None and image_shape[1] == image_shape[2] != image_shape[0]:
        warn(
            f"image_shape={image_shape} means {image_shape[0]} x {image_shape[1]} pixels of "
            f"{image_shape[2]} channels. {_channels_last(image_shape)}"
        )
    return spec


def before_fit(estimator: Any, name: str) -> Any:
    """Return the posterior or the kind of prior that an unfitted model will be made with."""
    preset = PRESETS.get(str(estimator.method), PRESETS["auto"])  # not validated yet
    return prior_kind(_or_auto(getattr(estimator, name), getattr(preset, name)))


def _or_auto(value: Any, auto: Any) -> Any:
    return auto if isinstance(value, str) and value == "auto" else value


def prior_kind(prior: str | Integral) -> str:
    """Return the name of a prior; an int is the number of Gaussians in a mixture."""
    return "mixture" if isinstance(prior, Integral) else prior


def _check_regressor(estimator: Any, spec: ModelSpec) -> None:
    """Raise if parameters of the joint methods are set for a latent regressor."""
    if spec.posterior == "gaussian":
        raise ValueError(
            f"method={spec.method!r} estimates a point: it needs posterior='deterministic'. Got "
            f"posterior='gaussian'; leave it out, or use method='ali'."
        )
    for name in ("cycle_weight", "consistency_weight", "n_neighbors"):
        value = getattr(estimator, name)
        if value not in ("auto", 0):
            raise ValueError(
                f"method={spec.method!r} trains a plain GAN, without terms and neighbours: it "
                f"needs {name}='auto' or 0. Got {value!r}."
            )
    if estimator.augmentations not in ("auto", None) and len(estimator.augmentations):
        raise ValueError(
            f"method={spec.method!r} trains a plain GAN on the images as they are: it needs "
            f"augmentations='auto' or None. Got {estimator.augmentations!r}."
        )


def training_config(estimator: Any, device: torch.device) -> TrainingConfig:
    """Return how the networks are trained, with "auto" resolved."""
    recipe, image = PRESETS[estimator.method].recipe, estimator.image_shape is not None
    cycle = (IMAGE_CYCLE_WEIGHT if image else CYCLE_WEIGHT) if recipe else 0.0
    cycle_weight = float(_or_auto(estimator.cycle_weight, cycle))
    return TrainingConfig(
        cycle_weight=cycle_weight,
        latent_cycle_weight=LATENT_CYCLE_WEIGHT if recipe and cycle_weight else 0.0,
        consistency_weight=consistency_weight(estimator),
        n_neighbors=n_neighbors(estimator),
        augmentations=_augmentations(estimator),
        ema_decay=EMA_DECAY if recipe else 0.0,
        precision=_precision(estimator, device),
        compile=bool(estimator.compile),
        n_threads=1 if estimator.n_jobs is None else effective_n_jobs(int(estimator.n_jobs)),
    )


def consistency_weight(estimator: Any) -> float:
    """Return the weight of the contrastive loss."""
    weight = CONSISTENCY_WEIGHT if estimator.image_shape is None else IMAGE_CONSISTENCY_WEIGHT
    recipe = PRESETS[estimator.method].recipe
    return float(_or_auto(estimator.consistency_weight, weight if recipe else 0.0))


def n_neighbors(estimator: Any) -> int:
    """Return the number of neighbours that the contrastive loss draws from; 0 for no graph."""
    if not consistency_weight(estimator):
        return 0
    recipe = PRESETS[estimator.method].recipe and estimator.image_shape is None
    return int(_or_auto(estimator.n_neighbors, NEIGHBORS if recipe else 0))


def _has_neighbors(estimator: Any) -> bool:
    """Return whether rows are compared with neighbours, and not images with views of themselves."""
    return n_neighbors(estimator) > 0 and estimator.image_shape is None


def batch_size(estimator: Any, n_rows: int) -> int:
    """Return the number of rows in an update; their neighbours come on top."""
    rows = PRESETS[estimator.method].batch_size
    if _has_neighbors(estimator):
        rows = LARGE_BATCH_SIZE if n_rows >= MANY_ROWS else BATCH_SIZE
    return int(_or_auto(estimator.batch_size, rows))


def learning_rate(estimator: Any, n_rows: int) -> float:
    """Return Adam's initial step size."""
    return float(_or_auto(estimator.learning_rate, usual_learning_rate(estimator, n_rows)))


def usual_learning_rate(estimator: Any, n_rows: int) -> float:
    """Return the step size that "auto" means."""
    rate = PRESETS[estimator.method].learning_rate
    if _has_neighbors(estimator) and n_rows >= MANY_ROWS:
        rate *= LARGE_BATCH_RATE
    return rate


def n_epochs(estimator: Any, n_rows: int) -> int:
    """Return the number of passes over X in `fit`."""
    if estimator.max_epochs != "auto":
        return int(estimator.max_epochs)
    if _has_neighbors(estimator):
        return -(-default_n_updates(n_rows, with_neighbors=True) * BATCH_SIZE // n_rows)
    updates = default_n_updates(n_rows, of_images=estimator.image_shape is not None)
    return -(-updates // count_batches(n_rows, batch_size(estimator, n_rows)))


def _precision(estimator: Any, device: torch.device) -> str:
    if estimator.precision != "auto":
        return str(estimator.precision)
    # bfloat16 halves a step on images, on an H200 and on a CPU with AMX, and CIFAR-10's features
    # are as good. MNIST's codes by the mlp lose half a point, for little time.
    fast = estimator.image_shape is not None and has_bfloat16_units(device)
    return "bfloat16" if fast else "float32"


def _augmentations(estimator: Any) -> tuple[str, ...]:
    """Return the data augmentation of images; none for tables."""
    chosen = estimator.augmentations
    if chosen is None:
        return ()
    if isinstance(chosen, str):
        recipe = PRESETS[estimator.method].recipe and estimator.image_shape is not None
        return DEFAULT_AUGMENTATIONS if recipe else ()
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


def _output_activation(value: str, statistics: ColumnStatistics, made: ModelSpec | None) -> str:
    """Return the range of G; "auto" is "sigmoid" for an X that fills [0, 1] exactly."""
    if value != "auto":
        return value
    if made is not None:
        return made.output_activation
    least, most = statistics.minimum.min(), statistics.maximum.max()
    starts_at_0 = -ROUNDING <= least <= FLOAT32_ROUNDING
    ends_at_1 = 1 - FLOAT32_ROUNDING <= most <= 1 + ROUNDING
    return "sigmoid" if starts_at_0 and ends_at_1 else "identity"


def _widths(hidden_layer_sizes: Any, n_rows: int, made: ModelSpec | None) -> tuple[int, ...]:
    if isinstance(hidden_layer_sizes, str) and hidden_layer_sizes == "auto":
        if made is not None:
            return made.hidden_layer_sizes
        return (LARGE_WIDTH if n_rows >= MANY_ROWS else WIDTH,) * 2
    one = isinstance(hidden_layer_sizes, Integral)
    several = isinstance(hidden_layer_sizes, Iterable) and not isinstance(hidden_layer_sizes, str)
    widths = list(hidden_layer_sizes) if several else []
    if not widths or any(not isinstance(width, Integral) or int(width) < 1 for width in widths):
        example = f"; for one layer pass ({hidden_layer_sizes},)" if one else ""
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of BiGANTransformer must be 'auto', or a tuple of "
            f"one or more ints in the range [1, inf), such as (256, 256). Got "
            f"{hidden_layer_sizes!r} instead{example}."
        )
    return tuple(int(width) for width in widths)


def _first_channels(image_shape: ImageShape | None, made: ModelSpec | None) -> int:
    if made is not None:
        return made.first_channels
    return FIRST_CHANNELS if image_shape is None else first_channels(image_shape)


def parse_image_shape(image_shape: Any, n_features: int) -> ImageShape | None:
    """Return height, width and channels, which is 1 if not given; ValueError if X does not fit."""
    if image_shape is None:
        return None
    sizes = list(image_shape) if isinstance(image_shape, Iterable) else []
    if len(sizes) not in (2, 3) or any(not isinstance(n, Integral) or int(n) < 1 for n in sizes):
        raise ValueError(
            f"The 'image_shape' parameter must be None, (height, width) or "
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


def resolve_network(
    network: str | Mapping[str, Any], image_shape: ImageShape | None
) -> str | dict[str, Any]:
    """Return the networks with "auto" resolved; ValueError if they do not fit the images."""
    default = default_network(image_shape)
    if isinstance(network, str):
        kind = default if network == "auto" else network
        _check_image_network(kind, image_shape)
        return kind
    must = "The 'network' parameter of BiGANTransformer, where it is a dict, must"
    unknown = [role for role in network if role not in ROLES]
    if unknown or not network:
        raise ValueError(f"{must} have one or more of the keys {ROLES}. Got {network!r} instead.")
    for role, factory in network.items():
        if isinstance(factory, nn.Module) or not callable(factory):
            hint = ", a module already made" if isinstance(factory, nn.Module) else ""
            raise ValueError(
                f"{must} map {role!r} to a class or function that makes a torch.nn.Module. Got "
                f"{network!r} instead{hint}."
            )
    if set(network) != set(ROLES):
        _check_image_network(default, image_shape)
    for role, factory in network.items():
        _check_signature(role, factory, image_shape)
    return dict(network)


def _check_signature(role: str, factory: Any, image_shape: ImageShape | None) -> None:
    """Raise TypeError if the factory cannot be called as it will be."""
    keywords = {"n_features": 0, "latent_dim": 0}
    if image_shape is not None:
        keywords["image_shape"] = 0
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # written in C
        return
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise TypeError(
            f"The 'network' parameter of BiGANTransformer must map {role!r} to a class or function "
            f"that is called with the keywords {', '.join(keywords)}. Got {factory!r} with the "
            f"signature {signature}: {error}."
        ) from error


def _check_image_network(network: str, image_shape: ImageShape | None) -> None:
    if network not in IMAGE_BODIES:
        return
    if image_shape is None:
        raise ValueError(
            f"network={network!r} needs images. Got image_shape=None; say how to read a row of X, "
            f"image_shape=(height, width) or (height, width, channels)."
        )
    if min(image_shape[:2]) < MIN_IMAGE_SIZE:
        if image_shape[0] < MIN_IMAGE_SIZE <= min(image_shape[1:]):
            raise ValueError(
                f"image_shape={image_shape} means {image_shape[0]} x {image_shape[1]} pixels of "
                f"{image_shape[2]} channels, and network={network!r} needs at least "
                f"{MIN_IMAGE_SIZE} x {MIN_IMAGE_SIZE} pixels. {_channels_last(image_shape)}"
            )
        raise ValueError(
            f"network={network!r} needs images of at least {MIN_IMAGE_SIZE} x {MIN_IMAGE_SIZE} "
            f"pixels. Got {image_shape[0]} x {image_shape[1]}; use network='mlp', or a dict of all "
            f"of {ROLES}."
        )


def checkpoint_place(checkpoint: Any) -> tuple[str | PathLike[str], float] | None:
    """Return the path of the checkpoint's file and the seconds between two checkpoints."""
    if checkpoint is None:
        return None
    path, interval = checkpoint, CHECKPOINT_INTERVAL
    if isinstance(checkpoint, tuple):
        path, interval = checkpoint if len(checkpoint) == 2 else (None, 0)
    if not isinstance(path, str | PathLike) or not isinstance(interval, Real) or not interval > 0:
        raise ValueError(
            f"The 'checkpoint' parameter must be a path, or a path and the seconds between two "
            f"checkpoints, above 0, such as ('digits.checkpoint', 60). Got {checkpoint!r} instead."
        )
    return path, float(interval)


def _channels_last(image_shape: ImageShape) -> str:
    """Say how to bring rows of images with their channels first into order."""
    channels, height, width = image_shape
    return (
        f"Channels come last: if they are first in X, use X.reshape(-1, {channels}, {height}, "
        f"{width}).transpose(0, 2, 3, 1).reshape(len(X), -1) and image_shape=({height}, {width}, "
        f"{channels})."
    )


def check_unchanged(before: ModelSpec, now: ModelSpec) -> None:
    """Raise ValueError if a parameter that shapes the networks is not what they were made with."""
    for field, value in vars(now).items():
        if value != getattr(before, field):
            name = {"latent_dim": "n_components", "n_clusters": "prior"}.get(field, field)
            raise ValueError(
                f"The {name!r} parameter cannot change while training goes on: the model was made "
                f"with {getattr(before, field)!r}. Got {value!r}; set it back, or call fit with "
                f"warm_start=False to train from scratch."
            )


def check_range(statistics: ColumnStatistics, output_activation: str) -> None:
    """Raise ValueError if the generator's output activation cannot reach X."""
    bounds = OUTPUT_RANGES[output_activation]
    if bounds is None:
        return
    least, most = statistics.minimum.min(), statistics.maximum.max()
    margin = ROUNDING * (bounds[1] - bounds[0])
    if least < bounds[0] - margin or most > bounds[1] + margin:
        raise ValueError(
            f"With output_activation={output_activation!r}, X must lie in [{bounds[0]:g}, "
            f"{bounds[1]:g}]. Got values from {least:g} to {most:g}; rescale X, for example with "
            f"MinMaxScaler, or use output_activation='identity'."
        )


def named_seed(random_state: Any) -> int | str | None:
    """Return what tells two values of `random_state` apart, in any process."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return None if random_state is None else type(random_state).__name__


def draw_seed(random_state: Any) -> int:
    """Draw the seed that all randomness of a fit is derived from.

    None means fresh entropy from the system: numpy's global generator belongs to the caller.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(2**31 - 1))
