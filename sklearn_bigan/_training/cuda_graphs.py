"""A training step recorded once as a CUDA graph, and replayed.

A step on small networks consists of several hundred kernels, each of which takes less time than the
host needs to launch it. A graph launches them all at once: the same kernels on the same memory,
with the same bits.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sklearn_bigan._data.batches import Batch
from sklearn_bigan._data.draws import map_tensors, tensors
from sklearn_bigan._runtime.caller import warn

# Steps before one is recorded. Libraries initialise themselves in the first, and recording takes as
# long as about ten: small pieces passed to `partial_fit` are not recorded.
WARM_UP = 10

Metrics = dict[str, Tensor]


class CUDAGraphStep:
    """Calls a function of batches that leaves gradients on weights; replays it as a CUDA graph.

    The function must depend on weights and batch alone, and neither wait for the device nor branch
    on the value of a tensor; gradients are None before each call. Only batches of `n_rows` rows are
    replayed. The last batch of an epoch may be smaller, and memory for a second graph would be held
    all the time.
    """

    def __init__(
        self,
        backward: Callable[[Batch], Metrics],
        weights: list[Tensor],
        device: torch.device,
        n_rows: int,
    ) -> None:
        self.backward = backward
        self.weights = weights
        self.n_rows = n_rows
        # Warm-up must run on the capture stream, because autograd accumulates gradients on the
        # stream that created them.
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.n_calls = 0
        self.failed = False
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: Batch
        self.metrics: Metrics
        self.gradients: list[Tensor | None]

    def __call__(self, batch: Batch) -> Metrics:
        """Return the step's metrics; gradients are on the weights, as after `backward`."""
        if self.failed or len(batch.x) != self.n_rows:
            return self.backward(batch)
        if self.graph is None:
            self.n_calls += 1
            if self.n_calls <= WARM_UP:
                return self._on_capture_stream(batch)
            try:
                self._record(batch)
            except RuntimeError as error:
                self._give_up(error)
                return self.backward(batch)
        assert self.graph is not None
        for own, given in zip(tensors(self.batch), tensors(batch), strict=True):
            own.copy_(given)
        self.graph.replay()
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            weight.grad = gradient
        # The next replay writes to the same memory.
        copies = torch.stack(list(self.metrics.values())).unbind()
        return dict(zip(self.metrics, copies, strict=True))

    def _on_capture_stream(self, batch: Batch) -> Metrics:
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            metrics = self.backward(batch)
        here.wait_stream(self.stream)
        return metrics

    def _record(self, batch: Batch) -> None:
        """Capture the step; dropout may draw from the device's default generator."""
        self.batch = map_tensors(torch.clone, batch)
        graph = torch.cuda.CUDAGraph()
        default = torch.cuda.default_generators[self.stream.device_index]
        state = default.clone_state()
        try:
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.metrics = self.backward(self.batch)
        except RuntimeError:
            # A failed capture leaves the generator in a state that only a graph can use.
            default.graphsafe_set_state(state)
            raise
        self.gradients = [weight.grad for weight in self.weights]
        self.graph = graph

    def _give_up(self, error: RuntimeError) -> None:
        self.failed = True
        for weight in self.weights:
            weight.grad = None
        warn(
            f"A training step could not be recorded as a CUDA graph; training continues without "
            f"it, more slowly: {error}. If memory ran out, lower batch_size.",
            RuntimeWarning,
        )
