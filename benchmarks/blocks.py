"""What training in blocks costs: rows in one block, or in several, of which one is seen at a time.

The rows are sorted by their class, the worst order that a file of them may have. One block is
shuffled as a whole; of several, each has 64 spans of consecutive rows from all over the file.

    python benchmarks/blocks.py digits [--device cuda --jobs 4]
"""

import argparse
import math
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from data import DATA, FOLDER, load
from measures import few_labels, linear_probe
from runs import RESULTS, Line, exit_if_some_failed, resume
from table import table

from sklearn_bigan import BiGANTransformer, _blocks

BLOCKS = (1, 4, 16)
COLUMNS = ("linear_100", "linear_1000", "linear_all", "score")


def run(setting: Line, folder: Path) -> Line:
    """Train the default estimator, and probe its codes."""
    facts = DATA[setting["data"]]
    X_train, y_train, X_test, y_test = load(setting["data"], folder)
    order = np.argsort(y_train, kind="stable")
    with patch.object(_blocks, "BLOCK_ROWS", math.ceil(len(order) / setting["blocks"])):
        model = BiGANTransformer(
            facts.n_components,
            output_activation=facts.output_activation,
            random_state=setting["seed"],
            device=setting["device"],
        ).fit(X_train[order])
    codes = model.transform(X_train), y_train, model.transform(X_test), y_test
    figures: Line = {f"linear_{n}": few_labels(n, *codes) for n in (100, 1000)}
    figures["linear_all"] = float(linear_probe(*codes[:2]).score(*codes[2:]))
    return figures | {"score": model.score(X_test)}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=DATA, help=", ".join(DATA))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="cpu", help="that it is trained on")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    settings = [
        {"data": name, "blocks": n_blocks, "seed": seed, "device": args.device}
        for name in args.names
        for n_blocks in BLOCKS
        for seed in args.seeds
    ]
    file = RESULTS / "blocks.jsonl"
    lines = resume(partial(run, folder=args.folder), settings, lambda _: file, args.jobs)
    columns = {name: lambda line, name=name: line[name] for name in COLUMNS}
    print(table(lines, columns, "data", "blocks"))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
