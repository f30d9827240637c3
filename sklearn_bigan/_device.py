"""What depends on the device: which one a fit runs on, in what precision, and what it can do."""

import os
from collections.abc import Iterator
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


def graph_backend(device: torch.device) -> Any:
    """Return torch's module for the device if it records graphs (see `_replay`), or None."""
    return torch.cuda if device.type == "cuda" else None


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
