"""Runs and their results: one JSON line each, none repeated, none lost with another."""

import datetime
import json
import platform
import subprocess
import traceback
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PACKAGES = ("numpy", "scikit-learn", "skorch", "torch", "sklearn_bigan")

Line = dict[str, Any]


def read(path: Path) -> list[Line]:
    """Return the lines of a file of results; none if there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def resume(
    run: Callable[[Line], Line], settings: list[Line], file: Callable[[Line], Path], jobs: int
) -> list[Line]:
    """Run the settings that have no line in their file, and append one for each.

    Parameters
    ----------
    run : callable
        Returns the figures of a setting. If it raises, that is printed and the others go on.
    settings : list of dict
        What a line is known by.
    file : callable
        Says where a setting's line belongs.
    jobs : int
        Runs side by side, each on one thread.

    Returns
    -------
    lines : list of dict
        One for each setting that has been run, now or before.
    """
    known = {path: read(path) for path in map(file, settings)}
    found = [(setting, find(setting, known[file(setting)])) for setting in settings]
    missing = [setting for setting, line in found if line is None]
    lines = [line for _, line in found if line is not None]
    about = provenance()
    results = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(attempt)(run, setting) for setting in missing
    )
    for setting, figures, error in results:
        if error:
            print(f"{setting} failed:\n{error}")
            continue
        lines.append({**setting, **figures, **about})
        file(setting).parent.mkdir(parents=True, exist_ok=True)
        with file(setting).open("a") as out:
            out.write(json.dumps(lines[-1]) + "\n")
    return lines


def find(setting: Line, lines: list[Line]) -> Line | None:
    """Return the first line that has everything the setting says."""
    return next((line for line in lines if setting.items() <= line.items()), None)


def attempt(run: Callable[[Line], Line], setting: Line) -> tuple[Line, Line, str]:
    """Return the setting, its figures, and what went wrong if something did."""
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            # The cap on iterations is the same for all, and the figures say how far they came.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return setting, run(setting), ""
    except Exception:
        return setting, {}, traceback.format_exc()


def exit_if_some_failed(lines: list[Line], settings: list[Line]) -> None:
    """Let the shell know."""
    if len(lines) < len(settings):
        raise SystemExit(f"{len(settings) - len(lines)} of {len(settings)} runs failed.")


def provenance() -> Line:
    """When, by what and on what a run was made."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "cpu": cpu(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
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
