"""What each part of the default recipe is worth: from BiGAN as published up, and one left out.

Measured on held-out training rows, so that the recipe can be chosen by it; every step trains for
the same number of updates.

    python benchmarks/ladder.py digits mnist --jobs 2
"""

import argparse
import math
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from data import DATA, FOLDER, load
from measures import quick_probes, reconstruction
from methods import PUBLISHED
from runs import RESULTS, Line, exit_if_some_failed, resume
from table import table
from trained import bigan

from sklearn_bigan import BiGANTransformer

UPDATES = 5000

AVERAGED = {k: v for k, v in PUBLISHED.items() if k != "ema_decay"}
CYCLED = {"prior": "normal", "n_neighbors": 0}
STEPS: dict[str, dict[str, Any]] = {
    "the game alone (BiGAN)": PUBLISHED,
    "+ averaged weights": AVERAGED,
    "+ cycles on x and z": CYCLED,
    "+ mixture prior": {"n_neighbors": 0},
    "+ D sees neighbours": {"consistency_weight": 0.0},
    "+ codes of neighbours alike: default": {},
    "default, normal prior": {"prior": "normal"},
    "default, no cycle on x": {"cycle_weight": 0.0},
    "default, no cycle on z": {"latent_cycle_weight": 0.0},
    "default, no averages": {"ema_decay": 0.0},
    "default, nearest neighbours only": {"neighbor_steps": 1},
    "default, 25 clusters": {"n_clusters": 25},
    "default, 100 clusters": {"n_clusters": 100},
    "default, hinge": {"loss": "hinge"},
    "default, Gaussian posterior": {"posterior": "gaussian"},
    "default, learning rate 5e-4": {"learning_rate": 5e-4},
    "default, layers of 256": {"hidden_layer_sizes": (256, 256)},
}


def run(setting: Line, folder: Path) -> Line:
    """Train for so many updates, and probe the codes."""
    facts = DATA[setting["data"]]
    data = load(setting["data"], folder, validate=True)
    parameters = STEPS[setting["step"]]
    model = BiGANTransformer(
        facts.n_components,
        output_activation=facts.output_activation,
        random_state=setting["seed"],
        device="cpu",
        **parameters,
    )
    # A batch holds as many partners as rows.
    paired = model.n_neighbors != 0
    batches = math.ceil(len(data[0]) / (model.batch_size // (1 + paired)))
    model.set_params(max_epochs=math.ceil(UPDATES / batches)).fit(data[0])
    trained = bigan(model.net_.averaged_, model.net_.module_.encoder.prior)
    Z_train, Z_test = (trained.encode(X)["z"] for X in (data[0], data[2]))
    score = reconstruction(trained, data[2], data[0].mean(axis=0))["score"]
    return quick_probes(Z_train, data[1], Z_test, data[3]) | {"score": score}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=DATA, help=", ".join(DATA))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    settings = [
        {"data": name, "step": step, "seed": seed}
        for name, seed, step in product(args.names, args.seeds, args.steps)
    ]
    file = RESULTS / "ladder.jsonl"
    lines = resume(partial(run, folder=args.folder), settings, lambda _: file, args.jobs)
    columns = {
        name: lambda line, name=name: line[name]
        for name in ("1nn", "linear_1000", "linear_100", "score")
    }
    print(table(lines, columns, "data", "step"))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
