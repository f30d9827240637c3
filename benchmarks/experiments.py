"""The table of experiments: data, methods, metrics and seeds, and what is varied."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from lines import RESULTS, Line
from quality.data import DATA, FEW_ROWS, IMAGES, MULTICLASS, TABLES, TOYS, load
from quality.methods import LADDER, METHODS, Budget, Model, learning_rate
from quality.metrics import METRICS, PROBES, UNSCALED, Measured, part

RATES = (2e-4, 1e-3, 2e-3)
# Their rows are always read as images; those of the others only where an experiment says so.
ALWAYS_IMAGES = ("cifar10", "olivetti", "svhn", "celeba")


@dataclass(frozen=True)
class Experiment:
    """A row of the table."""

    question: str
    data: tuple[str, ...]  # names in `DATA`
    methods: tuple[str, ...]  # names in `METHODS`
    metrics: tuple[str, ...]  # names in `PROBES` or `METRICS`
    seeds: tuple[int, ...] | None = None  # None: as many as the data set has
    vary: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # columns, or parameters
    representations: tuple[str, ...] = ("z",)  # which the probes are given, where there are any
    images: bool = False  # whether rows are read as images
    budget: bool = False  # whether a run gets the minutes of the data set, or all it takes
    validate: bool = False  # whether the test rows are training rows that are held out

    def image_shape(self, data: str) -> tuple[int, int, int] | None:
        """Return the shape of the images if rows are read as such."""
        return DATA[data].image_shape if self.images or data in ALWAYS_IMAGES else None


ALL_REPRESENTATIONS = ("z", "hidden", "all", "discriminator")
TRAINED = (
    *("autoencoder", "neighbor_autoencoder"),
    *("latent_regression", "joint_latent_regression", "bigan", "ali"),
)
IMAGE_METHODS = (
    *("pixels", "pca", "umap", "umap_of_hidden", "untrained", "autoencoder"),
    *("latent_regression", "bigan", "ali"),
)
GRAY = ("digits", "mnist", "fashion_mnist")

of_features = partial(Experiment, representations=ALL_REPRESENTATIONS, budget=True)
of_rates = partial(of_features, seeds=(0,), vary={"learning_rate": RATES}, validate=True)

EXPERIMENTS: dict[str, Experiment] = {
    "quality": of_features(
        "What are the features worth, beside those of other methods?",
        (*GRAY, *TABLES),
        ("pca", "nystroem", "untrained", *TRAINED, "bigan_tuned", "ali_tuned", "default"),
        ("1nn", "few_labels", "linear", "reconstruction", "samples"),
    ),
    "rivals": of_features(
        "What would a user pick instead, and what does it take?",
        (*GRAY, *MULTICLASS),
        (
            *("columns", "pca", "pca_whitened", "pca_own_scales", "umap", "pacmap"),
            *("label_spreading", "poisson_learning", "svc", "hist_gradient_boosting"),
            *("untrained", "autoencoder", "neighbor_autoencoder", "default"),
        ),
        ("1nn", "few_labels", "linear", "accuracy", "reconstruction", "times"),
    ),
    "few_rows": Experiment(
        "Are codes of few rows with many columns worth those of PCA?",
        tuple(FEW_ROWS),
        ("pca", "pca_own_scales", "default"),
        ("1nn", "few_labels", "linear", "reconstruction"),
    ),
    "tuning": of_rates(
        "Which learning rate does best on held-out training rows?",
        (*GRAY, *TABLES),
        TRAINED,
        ("1nn", "few_labels", "linear", "reconstruction"),
    ),
    "images": of_features(
        "What are convolutional features worth, and what does G draw?",
        tuple(IMAGES),
        (
            *(*IMAGE_METHODS, "bigan_tuned", "ali_tuned", "ali_networks"),
            *("default", "whole_budget", "close_pictures"),
        ),
        ("svm", "reconstruction", "samples", "judge", "spectrum"),
        images=True,
    ),
    "pictures": Experiment(
        "What does G draw when there is a GPU?",
        tuple(IMAGES),
        ("default",),
        ("reconstruction", "samples", "judge", "spectrum"),
        seeds=(0,),
        representations=(),
        images=True,
        budget=True,
    ),
    "images_tuning": of_rates(
        "Which learning rate does best for convolutional networks?",
        tuple(IMAGES),
        ("autoencoder", "latent_regression", "bigan", "ali"),
        ("svm", "reconstruction"),
        images=True,
    ),
    "ladder": Experiment(
        "What is each part of the default worth?",
        ("digits", "mnist", "segment", "satimage", "mice_protein", "gas_drift"),
        ("default", *LADDER),
        ("1nn", "few_labels", "linear", "reconstruction"),
        seeds=(0, 1, 2),
        validate=True,
    ),
    "length": Experiment(
        "What do shorter trainings of a large table cost?",
        ("mnist",),
        ("default",),
        ("1nn", "few_labels", "linear", "reconstruction"),
        seeds=(0,),
        vary={"max_epochs": (5, 10)},
    ),
    "clusters": Experiment(
        "Are the clusters of the prior the classes?",
        GRAY,
        ("default", "k-means", "k-means on PCA", "Gaussian mixture", "Gaussian mixture on PCA"),
        ("clusters",),
        seeds=(0, 1, 2),
        vary={"n_clusters": (10, 50)},
        representations=(),
    ),
    "modes": Experiment(
        "Does G find every mode?",
        tuple(TOYS),
        ("default", "bigan", "bigan_tuned"),
        ("modes",),
        representations=(),
    ),
    "selection": Experiment(
        "Which score without labels finds the number of components?",
        ("digits", "segment", "gas_drift", "satimage"),
        ("default",),
        ("few_labels", "scores"),
        seeds=(0, 1, 2),
        vary={"n_components": (2, 4, 8, 16, 32)},
    ),
    "units": Experiment(
        "What becomes of tables whose columns have different units?",
        ("wine", "breast_cancer", "arrhythmia_raw"),
        ("pca", "default"),
        ("1nn", "linear", "reconstruction"),
        vary={"columns": ("raw", "standardized", "rescaled")},
    ),
    "neighbors": Experiment(
        "What are nearest neighbors worth by themselves?",
        ("digits", "mnist", "fashion_mnist", "optdigits", "arrhythmia"),
        ("correlation", "distance"),
        ("neighborhoods",),
        seeds=(0,),
        validate=True,
    ),
    "precision": Experiment(
        "What does mixed precision cost on an accelerator?",
        ("mnist", "cifar10"),
        ("default",),
        ("few_labels", "linear", "reconstruction"),
        seeds=(0, 1, 2),
        vary={"precision": ("float32", "bfloat16")},
        representations=("z", "hidden"),
    ),
}


def settings(
    name: str,
    *,
    data: list[str] | None = None,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    minutes: float | None = None,
    device: str = "cpu",
) -> Iterator[Line]:
    """Yield the settings of an experiment, of all of its data, methods and seeds or of some.

    A setting has what a line of results is found by: whatever bears on its figures.
    """
    experiment = EXPERIMENTS[name]
    for set_name, method_name in product(data or experiment.data, methods or experiment.methods):
        facts, method = DATA[set_name], METHODS[method_name]
        for seed, *values in product(
            seeds or experiment.seeds or range(facts.seeds), *experiment.vary.values()
        ):
            varied = dict(zip(experiment.vary, values, strict=True))
            setting: Line = {
                **{"experiment": name, "data": set_name, "method": method_name, "seed": seed},
                **{"n_components": facts.n_components, "validate": experiment.validate},
                **varied,
            }
            if experiment.budget:
                setting["minutes"] = minutes or facts.minutes
            parameters = dict(method.parameters)
            if method.tuned and "learning_rate" not in varied:
                rate = learning_rate(set_name, method_name, experiment.images)
                (setting if method.kind == "networks" else parameters)["learning_rate"] = rate
            if method.kind == "estimator":
                setting["parameters"] = parameters
            if device != "cpu" and method.kind != "other":
                setting["device"] = device
            yield setting


def run(setting: Line, folder: Path, pictures: Path | None = None) -> Line:
    """Train one method with one seed on one data set, measure it, and draw the first seed's images.

    `folder` has the files of the data sets, and `pictures` is None or where the images go.
    """
    experiment = EXPERIMENTS[setting["experiment"]]
    name, seed = setting["data"], setting["seed"]
    facts, method = DATA[name], METHODS[setting["method"]]
    columns = setting.get("columns", "raw")
    rows = load(name, folder, validate=experiment.validate, seed=seed, columns=columns)
    image_shape = experiment.image_shape(name)
    measured = Measured(name, part(rows), image_shape, setting.get("n_clusters"))
    budget = Budget()
    if experiment.budget:
        ends = setting["minutes"]
        marks = [60 * mark for mark in facts.marks if mark < ends and not experiment.images]
        budget = Budget(60 * ends, marks, partial(look, measured))
    model = method.fit(rows[0], budget, **parameters(setting, image_shape))
    took = {"seconds": round(model.budget.spent(), 2), "updates": model.budget.updates}
    if pictures is not None and model.sample is not None and seed == 0:
        from quality.pictures import draw

        draw(model, measured, pictures / name / setting["method"])
    about = {"checkpoints": model.budget.seen, "rows": len(rows[0]), **took}
    return measure(model, measured, experiment) | about


def parameters(setting: Line, image_shape: tuple[int, int, int] | None) -> Line:
    """Return the parameters that a method is fitted with."""
    experiment, method = EXPERIMENTS[setting["experiment"]], METHODS[setting["method"]]
    names = [name for name in experiment.vary if name != "columns"]
    given = {
        "n_components": setting["n_components"],
        "random_state": setting["seed"],
        **setting.get("parameters", method.parameters),
        **{name: setting[name] for name in names},
    }
    if method.kind == "networks" and "learning_rate" in setting:
        given["learning_rate"] = setting["learning_rate"]
    if method.kind != "other":
        if "n_clusters" in given:
            given["prior"] = given.pop("n_clusters")
        given |= {"device": setting.get("device", "cpu"), "image_shape": image_shape}
    return given


def measure(model: Model, measured: Measured, experiment: Experiment) -> Line:
    """Return all figures of the experiment; None for what a method cannot do."""
    figures: Line = {}
    probes = [name for name in experiment.metrics if name in PROBES]
    if probes and model.classify is None:
        trained, tested = model.encode(measured.rows[0]), model.encode(measured.rows[2])
        for place in experiment.representations:
            given = place in tested and (trained[place], tested[place], measured, probes)
            figures[place] = probe(*given, model.scaled) if given else None
    for name in experiment.metrics:
        if name in METRICS:
            figures |= METRICS[name](model, measured)
    return figures


def probe(
    F_train: np.ndarray,
    F: np.ndarray,
    measured: Measured,
    names: Iterable[str],
    scaled: bool = True,
) -> Line:
    """Return the figures of some probes of one representation."""
    _, y_train, _, y = measured.rows
    figures: Line = {}
    for name in names:
        figures |= (PROBES if scaled else UNSCALED)[name](F_train, y_train, F, y)
    return figures


def look(measured: Measured, encode: Callable[[np.ndarray], np.ndarray]) -> Line:
    """Measure codes on the way through training."""
    X_train, _, X, _ = measured.rows
    return probe(encode(X_train), encode(X), measured, ("1nn", "few_labels"))


def file_of(setting: Line) -> Path:
    """Return the file of a setting's line."""
    return RESULTS / f"{setting['experiment']}_{setting['data']}.jsonl"
