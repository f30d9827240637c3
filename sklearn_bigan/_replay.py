"""The gradients of a step, recorded as a graph and replayed, on devices that can.

A step on small networks is several hundred kernels, each done in less time than the host needs to
ask for it. A recorded step is asked for once: the same kernels on the same memory, the same bits.
"""

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sklearn_bigan._device import Graphs, graphs_on

# Steps before one is recorded. Libraries set themselves up in the first, and a recording takes as
# long as some ten: small pieces given to `partial_fit` do without.
WARM_UP = 10

# Steps that move D alone, and those that move E and G, too. Each has its own memory.
MOST_RECORDINGS = 2

Figures = dict[str, Tensor]
Settings = tuple[float, ...]


@dataclass(frozen=True)
class Recording:
    """What does a step again, and where it reads and writes."""

    replay: Callable[[], None]
    batch: Tensor
    figures: Figures
    gradients: list[Tensor | None]


class Recorder:
    """Calls a function of batches that leaves gradients on weights; records it where that pays.

    Only batches of the first one's shape are: the last of an epoch may be shorter, and memory for
    its own recording would be kept all the while.

    Parameters
    ----------
    function : callable
        From a batch and settings to figures. It must depend on nothing else that changes, and
        neither wait for the device nor decide by what a tensor holds; gradients are None before.
    module : nn.Module
        The owner of the weights.
    generator : torch.Generator
        That the function draws from, besides torch's default one.
    device : torch.device
        Where all that is.
    """

    def __init__(
        self,
        function: Callable[..., Figures],
        module: nn.Module,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.function = function
        self.weights = list(module.parameters())
        self.generator = generator
        self.graphs = graphs_on(device)
        self.shape: torch.Size | None = None
        self.n_calls: Counter[Settings] = Counter()
        self.recordings: dict[Settings, Recording] = {}

    def __call__(self, batch: Tensor, *settings: float) -> Figures:
        """Return the function's figures; gradients are on the weights, as after a call of it."""
        self.shape = self.shape or batch.shape
        if self.graphs is None or batch.shape != self.shape:
            return self.function(batch, *settings)
        if settings not in self.recordings:
            self.n_calls[settings] += 1
            if self.n_calls[settings] <= WARM_UP:
                figures: Figures = self.graphs.aside(partial(self.function, batch, *settings))
                return figures
            try:
                self._record(self.graphs, batch, settings)
            except RuntimeError as error:
                self._give_up(error)
                return self.function(batch, *settings)
        recording = self.recordings[settings]
        recording.batch.copy_(batch)
        recording.replay()
        for weight, gradient in zip(self.weights, recording.gradients, strict=True):
            weight.grad = gradient
        # The next replay writes to the same memory.
        copies = torch.stack(list(recording.figures.values())).unbind()
        return dict(zip(recording.figures, copies, strict=True))

    def _record(self, graphs: Graphs, batch: Tensor, settings: Settings) -> None:
        if len(self.recordings) == MOST_RECORDINGS:
            self.recordings.clear()
        own = batch.clone()
        figures: Figures = {}
        replay = graphs.record(
            lambda: figures.update(self.function(own, *settings)), self.generator
        )
        gradients = [weight.grad for weight in self.weights]
        self.recordings[settings] = Recording(replay, own, figures, gradients)

    def _give_up(self, error: RuntimeError) -> None:
        self.graphs = None
        self.recordings.clear()
        for weight in self.weights:
            weight.grad = None
        warnings.warn(
            f"A training step could not be recorded as a graph, and training goes on without, "
            f"more slowly: {error}. Where memory ran out, lower batch_size.",
            RuntimeWarning,
            stacklevel=2,
        )
