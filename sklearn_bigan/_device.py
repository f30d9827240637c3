"""What depends on the device: which one a fit runs on, in what precision, and what it can do."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_bigan.networks.bigan import ROLES, BiGAN


def resolve_device(device: str) -> torch.device:
    """Return the device that `"auto"` or a torch device string names on this machine.

    Raises
    ------
    ValueError
        If torch cannot place a tensor there.
    """
    if device == "auto":
        available = torch.accelerator.is_available()
        accelerator = torch.accelerator.current_accelerator() if available else None
        if accelerator is None:
            return torch.device("cpu")
        # Of the processes that torchrun starts on a machine each takes a device of its own.
        local_rank = os.environ.get("LOCAL_RANK")
        if local_rank is None:
            return accelerator
        return torch.device(accelerator.type, int(local_rank) % torch.accelerator.device_count())
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"The 'device' parameter must be 'auto' or a device that torch can use on this "
            f"machine. Got {device!r}; 'auto' would take {resolve_device('auto').type!r} here."
        ) from error
    return resolved


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device has units of its own for products in bfloat16."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def mixed_precision(module: BiGAN, precision: str) -> Iterator[None]:
    """Let the bodies of the networks multiply in `precision`, "float32" or "bfloat16".

    Weights, what goes in and comes out, codes, logits and losses stay in float32.
    """
    bodies = [getattr(module, role).body for role in ROLES] if precision != "float32" else []
    for body in bodies:
        body.forward = partial(_autocast, body, getattr(torch, precision))
    try:
        yield
    finally:
        for body in bodies:
            del body.forward


def _autocast(body: nn.Module, dtype: torch.dtype, *inputs: Tensor) -> Tensor:
    # Each weight is used once in a forward pass: a cache would keep copies for nothing.
    with torch.autocast(inputs[0].device.type, dtype, cache_enabled=False):
        out: Tensor = type(body).forward(body, *inputs)
    return out.to(inputs[0].dtype)


class Graphs:
    """Records what a CUDA device is asked to do, to ask for all of it at once.

    Parameters
    ----------
    device : torch.device
        Of type "cuda".
    """

    def __init__(self, device: torch.device) -> None:
        # All of it: autograd expects gradients on the stream that the first ones were made on.
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.default_generator = torch.cuda.default_generators[self.stream.device_index]

    def aside(self, work: Callable[[], Any]) -> Any:
        """Do the work where it is to be recorded."""
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            done = work()
        here.wait_stream(self.stream)
        return done

    def record(self, work: Callable[[], Any], generator: torch.Generator) -> Callable[[], None]:
        """Record the work, which draws from `generator`, and return what does it.

        Raises
        ------
        RuntimeError
            If it cannot be recorded; draws then go on as if it had not been tried.
        """
        graph = torch.cuda.CUDAGraph()
        drawn_from = (generator, self.default_generator)
        states = [source.clone_state() for source in drawn_from]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions of torch find it by themselves
            graph.register_generator_state(generator)
        try:
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                work()
        except RuntimeError:
            # A failure leaves them in a state for recording, of no use to anybody.
            for source, state in zip(drawn_from, states, strict=True):
                source.graphsafe_set_state(state)
            raise
        replay: Callable[[], None] = graph.replay
        return replay


def graphs_on(device: torch.device) -> Graphs | None:
    """Return what records graphs on the device, if anything does."""
    return Graphs(device) if device.type == "cuda" else None


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on a CUDA device; 0 of others, where training shares it."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


class Upload:
    """Copies rows to the device while it computes: from pinned memory, on a stream of their own.

    Called in a thread other than the one that computes, and waits there until the rows are there.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.backend = streams_of(device)
        self.stream = None if self.backend is None else self.backend.Stream(device)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the rows on the device."""
        if self.backend is None or self.stream is None:
            return rows.to(self.device)
        with self.backend.stream(self.stream):
            copy = rows.pin_memory().to(self.device, non_blocking=True)
            self.stream.synchronize()
        return copy

    def arrived(self, rows: Tensor) -> Tensor:
        """Return them to whoever computes; their memory is theirs until that is done, too."""
        if self.backend is not None:
            rows.record_stream(self.backend.current_stream(self.device))
        return rows


def streams_of(device: torch.device) -> Any:
    """Return torch's module for the device if it has streams, or None."""
    return torch.get_device_module(device) if device.type in ("cuda", "xpu") else None
