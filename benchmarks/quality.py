"""What the features are worth, beside PCA, an autoencoder and the untrained encoder.

Each run trains one method with one seed for `--minutes` of one core and appends one JSON line.
Runs that the file already holds are not repeated.

    python benchmarks/quality.py digits --seeds 0 1 2 --minutes 1
    python benchmarks/quality.py mnist --seeds 0 1 2 --minutes 3 --jobs 2
"""

import argparse
import datetime
import json
import platform
import subprocess
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from data import FOLDER, LOADERS, load
from joblib import Parallel, delayed
from measures import measure
from methods import METHODS, learning_rate
from table import table
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
N_COMPONENTS = {"digits": 16, "mnist": 50}  # 50 is BiGAN's on MNIST
PACKAGES = ("numpy", "scikit-learn", "skorch", "torch", "sklearn_bigan")


def run(setting: dict[str, Any], folder: Path, code: str) -> dict[str, Any]:
    """Train and measure, on one thread; return the line to be written."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        data = load(setting["data"], folder, setting["validate"])
        train, parameters = METHODS[setting["method"]]
        trained = train(
            data[0],
            60 * setting["minutes"],
            n_components=setting["n_components"],
            output_activation="sigmoid",
            learning_rate=setting["learning_rate"],
            random_state=setting["seed"],
            device="cpu",
            **parameters,
        )
        figures = measure(trained.model, data)
    return {
        **setting,
        **figures,
        "seconds": round(trained.seconds, 1),
        "updates": trained.updates,
        "date": datetime.date.today().isoformat(),
        "commit": code,
        "cpu": cpu(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def commit() -> str:
    """Short hash of the checkout, "+changes" if the package differs from it."""
    git = ["git", "-C", str(HERE)]
    try:
        name = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
        changed = subprocess.check_output([*git, "diff", "HEAD", "--", "../sklearn_bigan"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+changes" if changed else "")


def cpu() -> str:
    """Model of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=LOADERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=1.0, help="of one core, for each run")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--n-components", type=int)
    parser.add_argument("--learning-rate", type=float, help="instead of each method's own")
    parser.add_argument("--validate", action="store_true", help="test on held-out training rows")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    out = args.out or HERE / "results" / f"quality_{args.data}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)

    settings = [
        {
            "data": args.data,
            "method": method,
            "seed": seed,
            "n_components": args.n_components or N_COMPONENTS[args.data],
            "learning_rate": args.learning_rate or learning_rate(args.data, method),
            "minutes": args.minutes,
            "validate": args.validate,
        }
        for seed, method in product(args.seeds, args.methods)
    ]
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    missing = [
        s for s in settings if not any(s.items() <= line.items() for line in map(flat, lines))
    ]
    results = Parallel(n_jobs=args.jobs, return_as="generator_unordered")(
        delayed(run)(setting, args.folder, commit()) for setting in missing
    )
    for line in results:
        lines.append(line)
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")
    print(table(line for line in lines if any(s.items() <= flat(line).items() for s in settings)))


def flat(line: dict[str, Any]) -> dict[str, Any]:
    """Only the entries of a line that can be compared as items."""
    return {key: value for key, value in line.items() if not isinstance(value, dict)}


if __name__ == "__main__":
    main()
