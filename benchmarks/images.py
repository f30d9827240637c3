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
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from classifier import Classifier, frechet_distance, predict, train_classifier
from data import FOLDER, Split
from distributions import c2st, some
from image_training import (
    ALL_WAYS,
    DATA,
    PACE,
    PARTS,
    WAYS,
    networks_of,
    pace,
    rows_of,
    train_only,
)
from measures import C2ST_ROWS, reconstruction
from pictures import draw
from runs import RESULTS, Line, exit_if_some_failed, read, resume
from svm import accuracies
from table import Figure, probe, split, table
from trained import Trained

from sklearn_bigan import BiGANTransformer

FEW_LABELS = (100, 1000)
LABELS = (*FEW_LABELS, 4000, "all")
REPRESENTATIONS = ("z", "hidden", "all", "discriminator")
FRECHET_ROWS = 10_000
SEEDS = {"default": 3, "autoencoder": 3, "bigan": 3}


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
        # What is chosen by need not be all. Codes beside hidden features cost as much as these
        # and differ by little.
        numbers = FEW_LABELS if setting["validate"] or name == "all" else LABELS
        figures[name] = accuracies(F_train[name], y_train, F_test[name], y_test, numbers)
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
            [part for line in lines if line["data"] == name for part in split(line)],
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

    if args.train_only and args.networks is None:
        parser.error("--train-only needs --networks, the folder to leave them in.")
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
