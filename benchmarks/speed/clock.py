"""One clock for training steps, and one helper that runs a function in a fresh process."""

import importlib
import inspect
import json
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer

HERE = Path(__file__).resolve()
Figures = dict[str, Any]


def now(device: str = "cpu") -> float:
    """Return the time when the device has done all it was asked for."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def seconds(function: Callable[[], Any], times: int = 1, device: str = "cpu") -> float:
    """Return the wall time of one call, the mean of several in a row."""
    start = now(device)
    for _ in range(times):
        function()
    return (now(device) - start) / times


def spread(values: Iterable[float]) -> list[float]:
    """Return the median, the least and the greatest, to four digits."""
    values = list(values)
    return [float(f"{f(values):.4g}") for f in (statistics.median, min, max)]


class Clock(Callback):
    """Times the steps and the epochs of a training.

    Parameters
    ----------
    device : str, default="cpu"
        Where the networks are. Steps of an accelerator, which end later than they are asked for,
        are timed as an epoch's.
    skip : int, default=0
        Steps of each epoch that are not timed.

    Attributes
    ----------
    steps : list of float
        For each epoch the mean seconds of a step, from the first to the last that is timed.
    epochs : list of float
        Seconds of each epoch, with all that is done at its end.
    first_step : float
        When the first step began.
    """

    def __init__(self, device: str = "cpu", skip: int = 0) -> None:
        self.device, self.skip = device, skip
        self.steps: list[float] = []
        self.epochs: list[float] = []

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the epoch."""
        self.n_done, self.began = 0, now(self.device)

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start at the first step that is timed."""
        if self.n_done == self.skip:
            self.start = now(self.device)
            if not self.epochs:
                self.first_step = self.start

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Note the end of the last step so far."""
        self.n_done += 1
        self.end = time.perf_counter()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End the epoch."""
        end = now(self.device)
        self.epochs.append(end - self.began)
        last = self.end if self.device == "cpu" else end
        self.steps.append((last - self.start) / (self.n_done - self.skip))


class Stop(Callback):
    """Ends a training after its first step."""

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop as skorch's own callbacks do."""
        raise KeyboardInterrupt


def seconds_before_first_step(model: BiGANTransformer, X: Any) -> float:
    """Return what `fit` takes until its first step: checks, statistics, nearest neighbors."""
    clock = Clock(model.device)
    start = now(model.device)
    model.set_params(callbacks=[clock, Stop()], max_epochs=1).fit(X)
    return clock.first_step - start


class Usage:
    """What is used between the start and the end of a `with` block.

    Attributes
    ----------
    seconds, cpu_seconds : float
        Wall time, and CPU time of this process.
    peak_megabytes : float
        The process's greatest resident memory so far, less what it held at the start (Linux).
    """

    def __enter__(self) -> "Usage":
        self._start = time.perf_counter(), time.process_time(), resident("VmRSS")
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall, cpu, megabytes = self._start
        self.seconds = round(time.perf_counter() - wall, 4)
        self.cpu_seconds = round(time.process_time() - cpu, 4)
        self.peak_megabytes = round(resident("VmHWM") - megabytes, 1)


def resident(what: str) -> float:
    """Return the resident memory of this process in MB: now (VmRSS), or at its peak (VmHWM)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    (kilobytes,) = re.findall(rf"{what}:\s+(\d+) kB", status.read_text())
    return int(kilobytes) / 1024


def in_fresh_process(
    function: Callable[..., Any],
    *arguments: Any,
    launcher: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Figures:
    """Run a function in a new Python process, in one thread, once its module is imported.

    Parameters
    ----------
    function : callable
        A function of a module. Its result must be JSON.
    *arguments
        Its arguments, as JSON.
    launcher : sequence of str, default=()
        What starts the process, after `python`: torchrun's module and options.
    environment : dict, default=None
        Further environment variables.

    Returns
    -------
    figures : dict
        Its "result", and the attributes of `Usage`.
    """
    module = function.__module__
    root = Path(inspect.getfile(function)).resolve().parents[module.count(".")]
    paths = [str(HERE.parents[1]), str(root)]
    name = f"{module}:{function.__name__}"
    command = [sys.executable, *launcher, str(HERE), name, json.dumps(arguments)]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)} | (
        environment or {}
    )
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed in its process:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the function that `in_fresh_process` names."""
    sys.path.remove(str(HERE.parent))  # the folder of this script holds no importable module
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    module, name = sys.argv[1].split(":")
    function = getattr(importlib.import_module(module), name)
    with Usage() as usage:
        result = function(*json.loads(sys.argv[2]))
    if os.environ.get("RANK", "0") == "0":
        print(
            json.dumps({"result": result} | {k: v for k, v in vars(usage).items() if k[0] != "_"})
        )


if __name__ == "__main__":
    main()
