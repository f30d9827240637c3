"""Which device a fit runs on."""

import os

import torch


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
