"""A step's gradients, computed by code that is compiled for it.

What a step on small networks costs beside its products is calls of small kernels, the modules'
Python and autograd's bookkeeping. But for batches of one shape it is the same operations each time,
forward and back. They are traced once, and torch's compiler makes a few kernels of all that lies
between the products.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from sklearn_bigan._noise import Drawn, Noise, Overheard, Request
from sklearn_bigan._randomness import default_generators_seeded

# Steps that move D alone, and those that move E and G, too. Where a callback changes a weight there
# would be no end of them.
MOST_COMPILED = 2

Figures = dict[str, Tensor]
Settings = tuple[float, ...]


class Compiled(NamedTuple):
    """From a batch and draws to figures, stacked, and gradients; and the figures' names."""

    step: Callable[..., Sequence[Tensor]]
    names: list[str]


class Compiler:
    """Calls a function of noise and batches that leaves gradients on weights; compiles it.

    The first call tells what is drawn. The second compiles, which takes seconds, for batches of the
    first one's shape; others are not worth the wait.

    Parameters
    ----------
    function : callable
        From a source of noise, a batch and settings to figures. It must depend on nothing else
        that changes but the module, and not decide by what a tensor holds; gradients are None
        before.
    module : nn.Module
        The owner of the weights, and of buffers that the function may change.
    """

    def __init__(self, function: Callable[..., Figures], module: nn.Module) -> None:
        self.function = function
        self.module = module
        self.weights = list(module.parameters())
        self.shape: torch.Size | None = None
        self.requests: dict[Settings, list[Request]] = {}
        self.compiled: dict[Settings, Compiled] = {}
        self.failed = False

    def __call__(self, noise: Noise, batch: Tensor, *settings: float) -> Figures:
        """Return the function's figures; gradients are on the weights, as after a call of it."""
        self.shape = self.shape or batch.shape
        if self.failed or batch.shape != self.shape:
            return self.function(noise, batch, *settings)
        if settings not in self.requests:
            if len(self.requests) == MOST_COMPILED:
                return self.function(noise, batch, *settings)
            overheard = Overheard(noise)
            figures = self.function(overheard, batch, *settings)
            self.requests[settings] = overheard.requests
            return figures
        draws = [noise.answer(request) for request in self.requests[settings]]
        if settings not in self.compiled:
            try:
                self.compiled[settings] = self._compile(batch, draws, settings)
            except Exception as error:  # whatever the compiler, or that of C++, may raise
                self._give_up(error)
                return self.function(Drawn(draws), batch, *settings)
        step, names = self.compiled[settings]
        with torch.no_grad():
            stacked, *gradients = step(batch, *draws)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        return dict(zip(names, stacked.unbind(), strict=True))

    def _compile(self, batch: Tensor, draws: list[Tensor], settings: Settings) -> Compiled:
        names: list[str] = []

        def step(batch: Tensor, *draws: Tensor) -> list[Tensor | None]:
            figures = self.function(Drawn(draws), batch, *settings)
            names[:] = figures
            return [torch.stack(list(figures.values())), *(weight.grad for weight in self.weights)]

        # The compiler, which takes no care of threads, puts torch's default generators back to what
        # they were when it began: nobody may draw initial weights from them meanwhile.
        with default_generators_seeded(0, batch.device):
            with self._unchanged():
                graph = make_fx(step)(batch, *draws)
            # The way back is in the graph. What the compiler warns of are its own old functions.
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return Compiled(torch._inductor.compile(graph, [batch, *draws]), names)

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Leave no trace of a step that is taken to be looked at."""
        buffers = list(self.module.buffers())
        before = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
            for weight in self.weights:
                weight.grad = None

    def _give_up(self, error: Exception) -> None:
        self.failed = True
        self.compiled.clear()
        warnings.warn(
            f"compile=True: a training step could not be compiled, and training goes on without, "
            f"more slowly: {type(error).__name__}: {error}. On the CPU torch needs a C++ compiler.",
            RuntimeWarning,
            stacklevel=2,
        )
