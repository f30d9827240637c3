"""The one entry point of the benchmarks.

    python benchmarks/run.py --list
    python benchmarks/run.py quality --data digits --methods pca default
    python benchmarks/run.py roofline --parts tables transform

An experiment of quality appends one line to results/<experiment>_<data>.jsonl for each data set,
method and seed, and repeats no line that is there. A benchmark of speed or robustness appends one
line for each of its parts to results/<benchmark>_<part>.jsonl, every time.
"""

import argparse
import importlib
import json
import os
import warnings
from functools import partial
from pathlib import Path

import torch
from experiments import EXPERIMENTS, file_of, run, settings
from lines import HERE, RESULTS, Line, append, provenance, resume
from quality import anomaly
from quality.data import DATA
from quality.methods import METHODS
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

# Modules of speed and robustness, and what is asked; each has PARTS, functions of the arguments.
BENCHMARKS = {
    "roofline": ("speed.steps", "What do training steps cost over their bare matrix products?"),
    "transform": ("speed.transform", "What does encoding cost over the bare encoder?"),
    "peers": (
        "speed.peers",
        "What do other libraries and loops take, training networks of this kind?",
    ),
    "scale": ("speed.scale", "How do time and memory grow with the rows of a memory map?"),
    "duration": ("speed.duration", "How long does fit take by default, by rows and columns?"),
    "threads": ("speed.threads", "How much sooner does a fit end with two threads?"),
    "search": ("speed.search", "How much sooner does a grid search end with two workers?"),
    "processes": ("speed.processes", "What do two processes under torchrun gain over one?"),
    "gpu": ("speed.gpu", "What does a step take on an accelerator?"),
    "fuzz": ("robustness.fuzz", "What does load make of damaged and forged files?"),
    "kill": ("robustness.kill", "Does a training that was killed go on with the same bits?"),
    "endurance": (
        "robustness.endurance",
        "Do memory, handles and threads stay flat in long use?",
    ),
}
# The experiment with outlier detectors in place of features.
ANOMALY = "anomaly"
FOLDER = Path(os.environ.get("SKLEARN_BIGAN_DATA", HERE.parent / "../shared/data"))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    raw = argparse.RawTextHelpFormatter
    made = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    made.add_argument("experiment", nargs="?", choices=[*EXPERIMENTS, ANOMALY, *BENCHMARKS])
    made.add_argument("--list", action="store_true", help="list the experiments and end")
    made.add_argument("--out", type=Path, help="the one file for all lines")
    made.add_argument("--device", default="cpu", help="where networks are trained")
    quality = made.add_argument_group("quality")
    quality.add_argument(
        "--data", nargs="+", choices=[*DATA, *anomaly.DATA], help="instead of all of the experiment"
    )
    quality.add_argument(
        "--methods", nargs="+", choices=[*METHODS, *anomaly.METHODS], help="likewise"
    )
    quality.add_argument("--seeds", type=int, nargs="+", help="likewise")
    quality.add_argument("--minutes", type=float, help="CPU time of a run, where there is a budget")
    quality.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    quality.add_argument("--data-dir", type=Path, default=FOLDER, metavar="DIR")
    quality.add_argument("--pictures", type=Path, metavar="DIR", help="draw images there")
    speed = made.add_argument_group("speed and robustness")
    speed.add_argument("--parts", nargs="+", help="instead of all parts of the benchmark")
    speed.add_argument("--rounds", type=int, help="of what is timed in turns, runs, or seconds")
    return made


def listed() -> list[list[str]]:
    """Return a row for each experiment: its name, question, data, methods, metrics, or parts."""
    rows = [
        [name, row.question, *map("; ".join, (row.data, row.methods, row.metrics))]
        for name, row in EXPERIMENTS.items()
    ]
    detectors = ["; ".join(names) for names in (anomaly.DATA, anomaly.METHODS)]
    rows.append([ANOMALY, anomaly.QUESTION, *detectors, "roc_auc; average_precision"])
    for name, (module, question) in BENCHMARKS.items():
        parts = importlib.import_module(module).PARTS
        rows.append([name, question, "parts: " + "; ".join(parts), "", ""])
    return rows


def measure_parts(args: argparse.Namespace) -> None:
    """Measure the parts of a benchmark and append a line for each."""
    module = importlib.import_module(BENCHMARKS[args.experiment][0])
    unknown = set(args.parts or ()) - set(module.PARTS)
    if unknown:
        raise SystemExit(f"{args.experiment} has the parts {list(module.PARTS)}, not {unknown}.")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    given = {"rounds": args.rounds} if args.rounds else {}
    for part in args.parts or module.PARTS:
        with threadpool_limits(1):
            figures = module.PARTS[part](device=args.device, **given)
        about: Line = {"experiment": args.experiment, "part": part, "device": args.device}
        line = about | figures | provenance()
        append(args.out or RESULTS / f"{args.experiment}_{part}.jsonl", line)
        print(json.dumps(line), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing of an experiment, or measure speed."""
    made = parser()
    args = made.parse_args(arguments)
    some = {"data": args.data, "methods": args.methods, "seeds": args.seeds}
    if args.list:
        for name, question, *others in listed():
            print(f"{name}: {question}", *(f"    {other}" for other in others if other), sep="\n")
    elif args.experiment is None:
        made.error("name an experiment, or give --list")
    elif args.experiment in BENCHMARKS:
        measure_parts(args)
    elif args.experiment == ANOMALY:
        wanted = anomaly.settings(**some)
        one = partial(anomaly.run, folder=args.data_dir)
        resume(one, list(wanted), lambda setting: args.out or anomaly.file_of(setting), args.jobs)
    else:
        wanted = settings(args.experiment, **some, minutes=args.minutes, device=args.device)
        one = partial(run, folder=args.data_dir, pictures=args.pictures)
        resume(one, list(wanted), lambda setting: args.out or file_of(setting), args.jobs)


if __name__ == "__main__":
    main()
