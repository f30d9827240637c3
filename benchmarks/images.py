"""Images: what convolutional features are worth to a linear SVM, and what G makes of codes.

Each run trains one method with one seed on one data set and appends one JSON line to the data
set's file in results/. Runs that the file already holds are not repeated. Wherever networks are
trained, they have as many updates as the minutes pay on one core of the machine where `--pace` was
measured (results/images_pace.jsonl), and what is kept of them may be judged elsewhere.

    python benchmarks/images.py cifar10 mnist --jobs 2
    python benchmarks/images.py mnist --pace
    python benchmarks/images.py mnist --device cuda --networks DIR --jobs 8 [--train-only]
    python benchmarks/images.py cifar10 --validate --methods bigan --learning-rate 2e-4
    python benchmarks/images.py cifar10 --validate --methods default no_views neighbors
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from autoencoders import autoencoder
from classifier import Classifier, frechet_distance, predict, train_classifier
from data import FOLDER, Split, digits, images, split
from distributions import c2st, some
from measures import C2ST_ROWS, reconstruction
from methods import METHODS, estimator, round_nothing
from pictures import draw
from runs import RESULTS, Line, cpu, exit_if_some_failed, read, resume
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from table import Figure, probe, table
from table import split as split_line
from trained import Trained

from sklearn_bigan import BiGANTransformer

LABELS = (100, 1000, 4000)
# What is chosen by: the rest takes longer than some of the trials.
FEW_LABELS = (100, 1000)
DRAWS = 10
# The SVM's C, by three-fold cross-validation on the labelled rows of the first draw; on so many of
# them at most, since fits to more take minutes.
GRID = {"linearsvc__C": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
FOLDS, CHOOSING_ROWS = 3, 1000
REPRESENTATIONS = ("z", "hidden", "all", "discriminator")

FRECHET_ROWS = 10_000
PACE = RESULTS / "images_pace.jsonl"
SEEDS = {"default": 3, "autoencoder": 3, "bigan": 3}


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


def svm(C: float = 1.0) -> Pipeline:
    """L2-SVM on standardised features."""
    return make_pipeline(StandardScaler(), LinearSVC(C=C, dual=True, tol=1e-2, max_iter=300))


def accuracies(
    F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray, numbers: Sequence[int]
) -> Line:
    """Accuracy with few labels, by their number: the mean over stratified draws."""
    found: dict[str, Figure] = {}
    for n in numbers:
        if n > len(y_train) - len(np.unique(y_train)):
            found[f"svm_{n}"] = None
            continue
        scores = []
        for seed in range(DRAWS):
            few, _ = train_test_split(
                np.arange(len(y_train)), train_size=n, stratify=y_train, random_state=seed
            )
            if seed == 0:
                C = chosen(F_train[few], y_train[few])
            scores.append(svm(C).fit(F_train[few], y_train[few]).score(F, y))
        found[f"svm_{n}"] = float(np.mean(scores))
    return found


def with_all(F_train: np.ndarray, y_train: np.ndarray, F: np.ndarray, y: np.ndarray) -> Line:
    """Accuracy with all labels."""
    best = svm(chosen(F_train, y_train)).fit(F_train, y_train)
    return {"svm_all": float(best.score(F, y))}


def chosen(F: np.ndarray, y: np.ndarray) -> float:
    """Return the best C of the grid."""
    if len(y) > CHOOSING_ROWS:
        F, _, y, _ = train_test_split(F, y, train_size=CHOOSING_ROWS, stratify=y, random_state=0)
    search = GridSearchCV(svm(), GRID, cv=FOLDS).fit(F, y)
    return float(search.best_params_["linearsvc__C"])


@cache
def classifier_of(name: str, folder: Path) -> Classifier:
    """Train the classifier of a data set, once in a process: it is always the same."""
    facts = DATA[name]
    X_train, y_train, *_ = facts.loader(folder)
    return train_classifier(X_train, y_train, facts.image_shape)


def generation(trained: Trained, model: Classifier, data: Split) -> Line:
    """Ask the classifier what it sees in test rows, in their reconstructions and in samples."""
    X_train, y_train, X_test, y_test = data
    labels = np.searchsorted(np.unique(y_train), y_test)
    figures: Line = dict.fromkeys(("reconstructions_in_class", "classes_found", "largest_class"))
    figures |= dict.fromkeys(("frechet", "c2st"))
    figures["originals_in_class"] = float(np.mean(predict(model, X_test) == labels))
    if trained.reconstruct is not None:
        seen = predict(model, trained.reconstruct(X_test))
        figures["reconstructions_in_class"] = float(np.mean(seen == labels))
    if trained.sample is not None:
        rows = some(X_train, FRECHET_ROWS)
        samples = trained.sample(len(rows))
        shares = np.bincount(predict(model, samples)) / len(samples)
        figures["classes_found"] = int(np.sum(shares > 0))
        figures["largest_class"] = float(shares.max())
        figures["frechet"] = frechet_distance(model, rows, samples)
        held_out = some(X_test, C2ST_ROWS)
        figures["c2st"] = c2st(held_out, samples[: len(held_out)])
    return figures


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


def run(
    setting: Line, folder: Path, pictures: Path | None = None, kept: Path | None = None
) -> Line:
    """Train and measure, and draw the first seed's pictures; return the figures."""
    facts = DATA[setting["data"]]
    data = X_train, y_train, X_test, y_test = rows_of(setting, folder)
    trained, machine = networks_of(setting, X_train, kept)
    if pictures is not None and trained.sample is not None and setting["seed"] == 0:
        into = pictures / setting["data"] / setting["method"]
        draw(trained, X_train, X_test, facts.image_shape, into)
    start = time.process_time()
    F_test = trained.encode(X_test)
    encoding = time.process_time() - start
    F_train = trained.encode(X_train)
    figures: Line = dict.fromkeys(REPRESENTATIONS)
    for name in F_test:
        # Codes beside hidden features cost as much as these and differ by little.
        in_short = setting["validate"] or name == "all"
        given = F_train[name], y_train, F_test[name], y_test
        figures[name] = accuracies(*given, FEW_LABELS if in_short else LABELS)
        if not in_short:
            figures[name] |= with_all(*given)
    figures |= reconstruction(trained, X_test, X_train.mean(axis=0))
    if not setting["validate"]:
        figures |= generation(trained, classifier_of(setting["data"], folder), data)
    return figures | {
        "trained_on": machine,
        "seconds": round(trained.seconds, 1),
        "updates": trained.updates,
        "images_per_second_encoding": round(len(X_test) / encoding),
    }


def learning_rate(data: str, method: str) -> float:
    """Return the rate that did best on held-out training rows; the default has its own.

    Best by the SVM with 1000 labels, or 100 of fewer rows, on hidden features, or on codes.
    """

    def worth(line: Line) -> float:
        accuracy: Line = line["hidden"] or line["z"]
        return accuracy["svm_1000"] or accuracy["svm_100"]

    tried: dict[float, float] = {
        line["learning_rate"]: worth(line)
        for line in read(RESULTS / "images_tuning.jsonl")
        if (line["data"], line["method"]) == (data, method)
    }
    return max(tried, key=lambda rate: tried[rate]) if tried else BiGANTransformer().learning_rate


PLACES = ("z", "hidden", "all")
NUMBERS = ("100", "1000", "4000", "all")
COLUMNS: dict[str, Callable[[Line], Figure]] = {
    **{f"{place} {n}": probe(place, f"svm_{n}") for place in PLACES for n in NUMBERS},
    **{
        name.replace("_", " "): partial(lambda name, line: line.get(name), name)
        for name in (
            *("score", "reconstruction_ratio", "originals_in_class", "reconstructions_in_class"),
            *("classes_found", "largest_class", "frechet", "c2st"),
            *("updates", "images_per_second_encoding"),
        )
    },
}


def report(lines: list[Line]) -> str:
    """One table a data set."""
    names = dict.fromkeys(line["data"] for line in lines)
    return "\n\n".join(
        f"{name}:\n\n"
        + table(
            [part for line in lines if line["data"] == name for part in split_line(line)],
            COLUMNS,
            "method",
        )
        for name in names
    )


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=DATA, help=", ".join(DATA))
    parser.add_argument("--methods", nargs="+", choices=ALL_WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the method's own")
    parser.add_argument("--minutes", type=float, help="of one core, instead of the data set's own")
    parser.add_argument("--learning-rate", type=float, help="instead of each method's own")
    parser.add_argument("--validate", action="store_true", help="test on held-out training rows")
    parser.add_argument("--pace", action="store_true", help="only count updates of one minute")
    parser.add_argument("--device", help="to train on (cpu)")
    parser.add_argument("--networks", type=Path, metavar="DIR", help="keep what is trained there")
    parser.add_argument("--train-only", action="store_true", help="and judge it in another call")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw what is trained there")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    if not args.validate and not PARTS.keys().isdisjoint(args.methods):
        parser.error(f"--methods {' '.join(PARTS)} are for choosing: they need --validate.")

    settings = [
        {
            "data": name,
            "method": method,
            "seed": seed,
            "n_components": DATA[name].n_components,
            "learning_rate": args.learning_rate or learning_rate(name, method),
            "minutes": args.minutes or DATA[name].minutes,
            "validate": args.validate,
            **({"device": args.device} if args.device else {}),
        }
        for name in args.names
        for method in args.methods
        for seed in ([0] if args.pace else args.seeds or range(SEEDS.get(method, 1)))
    ]
    if args.pace:
        settings = [setting | {"minutes": 1.0} for setting in settings]
        lines = resume(partial(pace, folder=args.folder), settings, lambda _: PACE, args.jobs)
        exit_if_some_failed(lines, settings)
        return
    if args.train_only:
        train = partial(train_only, folder=args.folder, kept=args.networks)
        lines = resume(train, settings, lambda _: args.networks / "trained.jsonl", args.jobs)
        exit_if_some_failed(lines, settings)
        return

    def file(setting: Line) -> Path:
        kind = "tuning" if args.validate else setting["data"]
        return RESULTS / f"images_{kind}.jsonl"

    run_one = partial(run, folder=args.folder, pictures=args.pictures, kept=args.networks)
    lines = resume(run_one, settings, file, args.jobs)
    print(report(lines))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
