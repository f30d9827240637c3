"""Out of memory: one error that says what to lower, whichever allocator had no more."""

import gc
import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

# What torch says in a plain RuntimeError: of the CPU (on Linux, on Windows), of a CUDA context that
# does not fit beside others, of Apple's devices, of cuBLAS and oneDNN.
MESSAGES = (
    "DefaultCPUAllocator",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory could not be allocated, on the host or on a device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in MESSAGES)


def explains_out_of_memory(advice: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that it raises MemoryError with the advice if memory is short.

    The original error is the cause. What the function had allocated is freed first: whoever keeps
    the error, as an interactive session does, keeps no array, tensor or network through it.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def explained(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                _free(error)
                raise MemoryError(advice) from error

        return explained

    return decorate


def _free(error: BaseException) -> None:
    """Free what the functions had that the error ended."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()  # networks, optimizers and callbacks refer to one another
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


explains_memory_of_use = explains_out_of_memory(
    "There is not enough memory for the result, or to compute it. Pass or ask for fewer rows at a "
    "time. If it is an accelerator that has too little, save the model and load it with "
    "device='cpu'."
)
