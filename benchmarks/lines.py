"""Lines of results: one JSON object for each run, with what is needed to repeat it."""

import datetime
import json
import platform
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PACKAGES = ("numpy", "scikit-learn", "skorch", "torch", "sklearn_bigan", "umap-learn", "pacmap")

Line = dict[str, Any]


def read(path: Path) -> list[Line]:
    """Return the lines of a file of results, none if there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, line: Line) -> None:
    """Append one line to a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def find(setting: Line, lines: list[Line]) -> Line | None:
    """Return the first line that agrees with every entry of the setting.

    Lines from before the one runner leave out what was the same in all lines of their file.
    """
    names = ("experiment", "n_components", "validate")
    constant = {name: setting[name] for name in names if name in setting}
    return next((line for line in lines if constant | line == constant | line | setting), None)


def resume(
    run: Callable[[Line], Line], settings: list[Line], file: Callable[[Line], Path], jobs: int = 1
) -> list[Line]:
    """Run the settings that have no line in their file, append a line for each, and return all.

    A setting has the entries that identify a line, and `run` returns its results. If it raises, the
    error is printed, and the other settings are run all the same before SystemExit is raised.
    """
    settings = [json.loads(json.dumps(setting)) for setting in settings]
    known = {path: read(path) for path in map(file, settings)}
    found = [(setting, find(setting, known[file(setting)])) for setting in settings]
    lines = [line for _, line in found if line is not None]
    about = provenance()
    results = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(attempt)(run, setting) for setting, line in found if line is None
    )
    for setting, result, error in results:
        if error:
            print(f"{setting} failed:\n{error}", file=sys.stderr)
            continue
        lines.append(setting | result | about)
        append(file(setting), lines[-1])
        print(json.dumps(lines[-1]), flush=True)
    if len(lines) < len(settings):
        raise SystemExit(f"{len(settings) - len(lines)} of {len(settings)} runs failed.")
    return lines


def attempt(run: Callable[[Line], Line], setting: Line) -> tuple[Line, Line, str]:
    """Return the setting, its results, and the error if there was one."""
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            # The number of iterations is limited for all methods alike.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return setting, run(setting), ""
    except Exception:
        return setting, {}, traceback.format_exc()


def provenance() -> Line:
    """Return the command, date, commit, machine and versions of a run."""
    return {
        "command": command(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "cpu": cpu(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "versions": {"python": platform.python_version()} | versions(),
    }


def versions() -> Line:
    """Return the versions of the packages that are installed."""
    found: Line = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


PATHS = ("--data-dir", "--out", "--pictures")


def command(arguments: list[str]) -> str:
    """Return the command without options whose values are paths of this machine."""
    kept, rest = ["python", "benchmarks/run.py"], iter(arguments)
    for argument in rest:
        if argument in PATHS:
            next(rest, None)
        elif not argument.startswith(tuple(f"{option}=" for option in PATHS)):
            kept.append(argument)
    return " ".join(kept)


def commit() -> str:
    """Return the short hash of the checkout, with "+changes" if the package differs from it."""
    git = ["git", "-C", str(HERE)]
    try:
        name = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
        status = [*git, "status", "--porcelain", "--", "../sklearn_bigan"]
        changed = subprocess.check_output(status, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+changes" if changed else "")


def cpu() -> str:
    """Return the processor's model, where the system names it."""
    path = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", path.read_text() if path.exists() else "")
    return names[0] if names else platform.processor()
