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

    `steps` has for each epoch the mean seconds of a step, without the first `skip`; `epochs` has
    those of whole epochs, and `first_step` is when the first began. Steps of an accelerator, which
    end later than they are asked for, are timed as an epoch's.
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


def before_first_step(X: Any, device: str) -> tuple[float, float]:
    """Return what `fit` takes until its first step, without the search for neighbors and with."""
    took = []
    for n_neighbors in (0, 10):
        clock, settings = Clock(device), {"random_state": 0, "device": device, "max_epochs": 1}
        start = now(device)
        BiGANTransformer(16, n_neighbors=n_neighbors, callbacks=[clock, Stop()], **settings).fit(X)
        took.append(clock.first_step - start)
    return took[0], took[1]


def beside(own: Sequence[float], bare: Sequence[float]) -> Figures:
    """Return the ratio of what was timed in turns, and the seconds of both."""
    ratio, least, greatest = spread(x / y for x, y in zip(own, bare, strict=True))
    return {
        **{"ratio": ratio, "least": least, "greatest": greatest, "rounds": len(own)},
        **{"seconds": spread(own)[0], "floor_seconds": spread(bare)[0]},
    }


class Usage:
    """Wall and CPU seconds of a `with` block of this process, and the growth of its peak memory.

    `peak_megabytes` is its greatest resident memory so far, less what it held at the start (Linux).
    """

    def __enter__(self) -> "Usage":
        self._start = time.perf_counter(), time.process_time(), resident("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
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
    function: Callable[..., Any], *arguments: Any, launcher: Sequence[str] = (), **environment: str
) -> Figures:
    """Run a function of a module in a new Python process, in one thread, and return what it used.

    Its arguments and its result, which is "result" beside the attributes of `Usage`, are JSON. The
    launcher starts the process, after `python`: torchrun's module and options.
    """
    module = function.__module__
    root = Path(inspect.getfile(function)).resolve().parents[module.count(".")]
    paths = [str(HERE.parents[1]), str(root)]
    name = f"{module}:{function.__name__}"
    command = [sys.executable, *launcher, str(HERE), name, json.dumps(arguments)]
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    env = os.environ | fixed | environment
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
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
        used = {name: value for name, value in vars(usage).items() if name[0] != "_"}
        print(json.dumps({"result": result} | used))


if __name__ == "__main__":
    main()
