"""Does the generator find every mode? The toy of ALI: Gaussians on a grid, and on a ring.

python benchmarks/modes.py --jobs 2
"""

import argparse
from itertools import product
from typing import Any

import numpy as np
from methods import PUBLISHED, learning_rate
from runs import RESULTS, Line, exit_if_some_failed, resume
from scipy.spatial.distance import cdist
from table import table

from sklearn_bigan import BiGANTransformer

ROWS, SAMPLES = 100_000, 10_000  # as many as ALI's authors took
FEWEST = 20  # samples near a mode that is counted as found

ANGLES = 2 * np.pi * np.arange(8) / 8
MODES: dict[str, tuple[np.ndarray, float]] = {  # centres, standard deviation
    "grid": (np.array(list(product((-4.0, -2.0, 0.0, 2.0, 4.0), repeat=2))), 0.05),
    "ring": (2 * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), 0.02),
}
METHODS: dict[str, dict[str, Any]] = {"default": {}, "bigan": PUBLISHED}


def draw(centres: np.ndarray, std: float, n_rows: int) -> np.ndarray:
    """Draw the training rows, the same for every run."""
    rng = np.random.default_rng(0)
    rows = rng.choice(centres, n_rows) + std * rng.normal(size=(n_rows, 2))
    return rows.astype(np.float32)


def found(samples: np.ndarray, centres: np.ndarray, std: float) -> dict[str, float]:
    """Count the modes with enough samples within three standard deviations.

    `near`: share of samples that lie so near to any mode.
    """
    near = cdist(samples, centres) <= 3 * std
    return {
        "modes": int((near.sum(axis=0) >= FEWEST).sum()),
        "near": float(near.any(axis=1).mean()),
    }


def run(setting: Line) -> Line:
    """Train, and see where the samples lie."""
    model = BiGANTransformer(
        2,
        learning_rate=setting["learning_rate"],
        random_state=setting["seed"],
        device="cpu",
        **METHODS[setting["method"]],
    )
    centres, std = MODES[setting["data"]]
    model.fit(draw(centres, std, setting["rows"]))
    return found(model.sample(SAMPLES, random_state=0), centres, std)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="to train on")
    parser.add_argument("--data", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    args = parser.parse_args()
    settings = [
        {
            "data": name,
            "method": method,
            "seed": seed,
            "rows": args.rows,
            "learning_rate": learning_rate(name, method),
        }
        for name, method, seed in product(args.data, args.methods, args.seeds)
    ]
    lines = resume(run, settings, lambda _: RESULTS / "modes.jsonl", args.jobs)
    columns = {name: lambda line, name=name: line[name] for name in ("modes", "near")}
    print(table(lines, columns, "data", "rows", "method"))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
