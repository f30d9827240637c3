"""What the features are worth, beside PCA, autoencoders and the untrained encoder.

Each run trains one method with one seed on one data set and appends one JSON line to the data
set's file in results/. Runs that the file already holds are not repeated.

    python benchmarks/quality.py digits mnist --jobs 2
    python benchmarks/quality.py digits --validate --methods bigan --learning-rate 2e-4
"""

import argparse
from functools import partial
from pathlib import Path

from data import DATA, FOLDER, load
from measures import measure
from methods import METHODS, learning_rate
from runs import RESULTS, Line, exit_if_some_failed, resume
from table import report


def run(setting: Line, folder: Path) -> Line:
    """Train and measure; return the figures."""
    facts = DATA[setting["data"]]
    data = load(setting["data"], folder, setting["validate"])
    train, parameters = METHODS[setting["method"]]
    trained = train(
        data[0],
        60 * setting["minutes"],
        [60 * minutes for minutes in facts.checkpoints if minutes < setting["minutes"]],
        n_components=setting["n_components"],
        output_activation=facts.output_activation,
        learning_rate=setting["learning_rate"],
        random_state=setting["seed"],
        device="cpu",
        **parameters,
    )
    took = {"seconds": round(trained.seconds, 1), "updates": trained.updates}
    return measure(trained, data) | took


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=DATA, help=", ".join(DATA))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the data set's own")
    parser.add_argument("--minutes", type=float, help="of one core, instead of the data set's own")
    parser.add_argument("--n-components", type=int, help="instead of the data set's own")
    parser.add_argument("--learning-rate", type=float, help="instead of each method's own")
    parser.add_argument("--validate", action="store_true", help="test on held-out training rows")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    parser.add_argument("--out", type=Path, help="one file for all lines")
    args = parser.parse_args()

    settings = [
        {
            "data": name,
            "method": method,
            "seed": seed,
            "n_components": args.n_components or DATA[name].n_components,
            "learning_rate": args.learning_rate or learning_rate(name, method),
            "minutes": args.minutes or DATA[name].minutes,
            "validate": args.validate,
        }
        for name in args.names
        for seed in args.seeds or range(DATA[name].seeds)
        for method in args.methods
    ]

    def file(setting: Line) -> Path:
        name = "tuning" if args.validate else f"quality_{setting['data']}"
        return args.out or RESULTS / f"{name}.jsonl"

    lines = resume(partial(run, folder=args.folder), settings, file, args.jobs)
    print(report(lines))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
