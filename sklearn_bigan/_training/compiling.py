"""A training step compiled as a whole, forward and backward.

Apart from its matrix products, a step on small networks consists of calls of small kernels, the
modules' Python and autograd's bookkeeping. For batches of one shape these are the same operations
each time. They are traced once, and torch's compiler fuses what lies between the products.

Compiling each network by `torch.nn.Module.compile` is the plain spelling. It gains nothing here: a
step of the default networks on 64 columns took 9.3 ms with it and 8.0 without (medians of 60 steps,
one thread), because the backward pass through three small graphs stays with autograd. Hence the
trace of the whole step by `make_fx`, and torch's compiler called on it.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from sklearn_bigan._data.batches import Batch
from sklearn_bigan._data.draws import map_tensors, tensors
from sklearn_bigan._runtime.caller import warn
from sklearn_bigan._runtime.determinism import default_generators_seeded
from sklearn_bigan.networks.bigan import BiGAN

Metrics = dict[str, Tensor]


class CompiledStep:
    """Calls a function of batches that leaves gradients on weights, as compiled code.

    The function must depend on weights, buffers and batch alone and not branch on the value of a
    tensor; gradients are None before each call. The first batch of `n_rows` rows is compiled for,
    which takes seconds; batches of other sizes run uncompiled.
    """

    def __init__(self, backward: Callable[[Batch], Metrics], bigan: BiGAN, n_rows: int) -> None:
        self.backward = backward
        self.bigan = bigan
        self.n_rows = n_rows
        self.weights = bigan.trained_parameters()
        self.tried = False
        self.names: list[str] = []
        self.compiled: Callable[..., Sequence[Tensor]] | None = None

    def __call__(self, batch: Batch) -> Metrics:
        """Return the step's metrics; gradients are on the weights, as after `backward`."""
        if len(batch.x) != self.n_rows:
            return self.backward(batch)
        if not self.tried:
            self.tried = True
            try:
                self.compiled = self._compile(batch)
            except Exception as error:  # whatever torch's compiler, or that of C++, may raise
                warn(
                    f"compile=True: a training step could not be compiled; training continues "
                    f"without, more slowly: {type(error).__name__}: {error}. On the CPU torch "
                    f"needs a C++ compiler.",
                    RuntimeWarning,
                )
        if self.compiled is None:
            return self.backward(batch)
        with torch.no_grad():
            stacked, *gradients = self.compiled(*tensors(batch))
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        return dict(zip(self.names, stacked.unbind(), strict=True))

    def _compile(self, batch: Batch) -> Callable[..., Sequence[Tensor]]:
        def step(*inputs: Tensor) -> list[Tensor | None]:
            given = iter(inputs)
            metrics = self.backward(map_tensors(lambda _: next(given), batch))
            self.names = list(metrics)
            return [torch.stack(list(metrics.values())), *(weight.grad for weight in self.weights)]

        inputs = tuple(tensors(batch))
        # The compiler restores torch's default generators to their state at its beginning, without
        # regard to other threads: nobody may draw initial weights from them meanwhile.
        with default_generators_seeded(0, batch.x.device):
            with self._unchanged():
                graph = make_fx(step)(*inputs)
            # The backward pass is in the graph. The compiler warns of its own deprecated functions.
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # On accelerators torch 2.11 takes the gradients of some convolutions for
                # channels-last, and its assertion fails (pytorch issue 171622).
                options = {"layout_optimization": batch.x.device.type == "cpu"}
                compiled = torch._inductor.compile(graph, [*inputs], options=options)
            # Compiled code checks strides of tensors only when it runs: try it once.
            with torch.no_grad(), self._unchanged():
                compiled(*inputs)
            return compiled

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Restore buffers and remove gradients after a step that is only traced."""
        buffers = list(self.bigan.buffers())
        before = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
            for weight in self.weights:
                weight.grad = None
