"""The CPU time that a training may use, and the marks on the way where it is looked at."""

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from skorch.callbacks import Callback

from sklearn_bigan._averaging import STATISTICS_BATCHES, settle
from sklearn_bigan._blocks import Blocks
from sklearn_bigan._noise import Noise


class Budget:
    """Counts this process's seconds of CPU time from now on.

    CPU time and not wall time: a busy machine then shortens nobody's training.
    """

    def __init__(self, seconds: float, marks: Sequence[float] = ()) -> None:
        self.seconds = seconds
        self.marks = list(marks)
        self.start = time.process_time()

    def spent(self) -> float:
        """Seconds used."""
        return time.process_time() - self.start

    def used_up(self) -> bool:
        """Whether training must end."""
        return self.spent() >= self.seconds

    def passes_mark(self) -> bool:
        """Whether a mark was passed since the last call."""
        passed = bool(self.marks) and self.spent() >= self.marks[0]
        if passed:
            del self.marks[0]
        return passed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing of what happens in here."""
        spent = self.spent()
        yield
        self.start = time.process_time() - spent


class Watch(Callback):
    """Counts the estimator's updates, keeps its networks at the marks, and ends its training.

    Attributes
    ----------
    updates : int
        So far.
    kept : list of (BiGAN, dict)
        The networks at each mark as they would be used, and the seconds and updates they took.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.updates = 0
        self.kept: list[tuple[Any, dict[str, Any]]] = []

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Count and look; stop as skorch's own callbacks do."""
        self.updates += 1
        if self.budget.passes_mark():
            took = {"seconds": self.budget.spent(), "updates": self.updates}
            with self.budget.paused():
                self.kept.append((settled(net), took))
        if self.budget.used_up():
            raise KeyboardInterrupt


def settled(net: Any) -> Any:
    """Copy the networks as training would leave them now; its own draws go on undisturbed."""
    net.use_last_weights()
    module = copy.deepcopy(net.averaged_)
    noise = Noise(torch.device("cpu"), net.seed)
    settle(
        module,
        net.module_,
        Blocks(net.blocks_.array, net.blocks_.device, net.seed).sample(
            STATISTICS_BATCHES * net.batch_size
        ),
        net.batch_size,
        noise,
        cycled=net.cycled,
        anew=True,
    )
    return module
