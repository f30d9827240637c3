"""What depends on the device: which one a fit runs on, and what it has."""

import os

import torch

from sklearn_bigan._runtime.memory import is_out_of_memory


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device that `"auto"` or a name means; ValueError if torch cannot use it here."""
    if device == "auto":
        available = torch.accelerator.is_available()
        accelerator = torch.accelerator.current_accelerator() if available else None
        if accelerator is None:
            return torch.device("cpu")
        # Under torchrun each process of a machine takes its own device.
        local_rank = os.environ.get("LOCAL_RANK")
        if local_rank is None:
            return accelerator
        return torch.device(accelerator.type, int(local_rank) % torch.accelerator.device_count())
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()  # which "meta" has not
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"The 'device' parameter must be 'auto' or a device that torch can use on this "
            f"machine. Got {device!r}; 'auto' would take {resolve_device('auto').type!r} here."
        ) from error
    return resolved


def check_device_name(device: str | torch.device) -> None:
    """Raise ValueError if no machine has such a device, be it on this one or not."""
    try:
        if device != "auto":
            torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"The 'device' parameter must be 'auto' or the name of a torch device. Got {device!r}."
        ) from error


def has_bfloat16_units(device: torch.device) -> bool:
    """Return whether the device multiplies matrices of bfloat16 in hardware."""
    if device.type == "cpu":
        # AMX. The vector instructions of AVX-512 for bfloat16 take longer than those for float32.
        known = hasattr(torch.cpu, "get_capabilities")  # not in older torch
        return known and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a CUDA device, in bytes; 0 for other devices."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
