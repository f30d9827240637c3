"""Settings of the process and the thread, fixed while the package computes.

Callers may have set torch, NumPy and scikit-learn as they like. Training and inference run with the
settings of a new process, so that results have the same bits everywhere, and restore the caller's
at the end. Settings of the whole process are fixed for its other threads, too, meanwhile.

Not fixed are settings that ask for help with debugging or for fewer checks, and change no result:
torch's anomaly detection, scikit-learn's `assume_finite` and `skip_parameter_validation`.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sklearn
import torch
from threadpoolctl import threadpool_limits


class _Setting(NamedTuple):
    """A setting of the process, and the value that the package computes with."""

    get: Callable[[], Any]
    set: Callable[[Any], Any]
    value: Any


def _precision(backend: str, operation: str, value: str) -> _Setting:
    where = (backend, operation)
    return _Setting(partial(_GET_PRECISION, *where), partial(_SET_PRECISION, *where), value)


# What torch.backends.mkldnn and cudnn read and set: asking them takes several times as long.
SETTINGS = [
    # Draws depend on the data type that new tensors have.
    _Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    _Setting(torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, True),
    _Setting(torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled, True),
    _Setting(torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark, False),
    # torch.use_deterministic_algorithms refuses operations on CUDA tensors, cumsum for one, that
    # give the same bits each time as the package uses them.
    _Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
]

# How float32 is multiplied; the values are those of a new process. torch 2.9 introduced functions
# by backend and operation. The older ones keep values of their own, and cannot be read where these
# contradict the newer ones.
OLDER_PRECISIONS = [
    _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    _Setting(torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32, True),
]
OPERATION_PRECISIONS, BACKEND_PRECISIONS = [], []
if hasattr(torch._C, "_get_fp32_precision_getter"):
    _GET_PRECISION = torch._C._get_fp32_precision_getter
    _SET_PRECISION = torch._C._set_fp32_precision_setter
    OPERATION_PRECISIONS = [
        _precision("mkldnn", "matmul", "none"),
        _precision("mkldnn", "conv", "none"),
        _precision("mkldnn", "rnn", "none"),
        _precision("cuda", "matmul", "none"),
        _precision("cuda", "conv", "tf32"),
        _precision("cuda", "rnn", "tf32"),
    ]
    # An operation that is "none" is told to have the value of its backend, and this that of
    # "generic".
    BACKEND_PRECISIONS = [
        _precision(backend, "all", "none") for backend in ("generic", "mkldnn", "cuda")
    ]

_COMPARED = SETTINGS + (OPERATION_PRECISIONS or OLDER_PRECISIONS)
_GETTERS, _VALUES = [setting.get for setting in _COMPARED], [each.value for each in _COMPARED]

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")
NUMPY_ERRORS: Any = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
# Estimators and checks inside return arrays, and compute distances in chunks of the same size.
SCIKIT_LEARN = {
    "transform_output": "default",
    "array_api_dispatch": False,
    "working_memory": 1024,
    "pairwise_dist_chunk_size": 256,
    "enable_cython_pairwise_dist": True,
}

Restore = Callable[[], Any]


class _Shared:
    """Settings of the process that several threads may want at once.

    The first thread to enter calls `change`, which returns what the threads need to know of the old
    settings, and functions that restore these. The last thread to leave calls the functions, the
    last one first.
    """

    def __init__(self, change: Callable[[], tuple[Any, list[Restore]]]) -> None:
        self.change = change
        self.lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> Any:
        with self.lock:
            if self.inside == 0:
                self.before, self.restore = self.change()
            self.inside += 1
            return self.before

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for restore in reversed(self.restore):
                    restore()


# cuDNN's determinism is the one setting that a new process has otherwise.
_SET_DETERMINISTIC = torch._C._set_cudnn_deterministic
_OF_NEW_PROCESS: list[Restore] = [partial(_SET_DETERMINISTIC, False)]


def _fix_process() -> tuple[None, list[Restore]]:
    before = torch._C._get_cudnn_deterministic()
    restore: list[Restore] = [partial(_SET_DETERMINISTIC, True)] if before else _OF_NEW_PROCESS
    # One comparison: a loop over settings takes twice as long.
    if [get() for get in _GETTERS] != _VALUES:
        restore = _fix_all() + restore
    _SET_DETERMINISTIC(True)
    return None, restore


def _fix_all() -> list[Restore]:
    older = []
    for setting in OLDER_PRECISIONS:
        with suppress(RuntimeError):
            older.append((setting, setting.get()))
    restore: list[Restore] = []
    # Backends before operations, which then tell values of their own.
    for setting in SETTINGS + BACKEND_PRECISIONS + OPERATION_PRECISIONS:
        restore.append(partial(setting.set, setting.get()))
        setting.set(setting.value)
    # The older functions set some of the newer values, too: last here, and first on the way back.
    for setting, before in older:
        if before != setting.value:
            setting.set(setting.value)
            restore.append(partial(setting.set, before))
    return restore


def _limit_thread_pools() -> tuple[int, list[Restore]]:
    n_threads, limits = torch.get_num_threads(), threadpool_limits(1)
    return n_threads, [limits.restore_original_limits]


_PROCESS = _Shared(_fix_process)
_THREAD_POOLS = _Shared(_limit_thread_pools)


class _Fork:
    """Whether this process was forked, so that torch's thread pool, if any, stayed in the parent.

    Work that is divided among threads of that pool would wait for ever.
    """

    happened = False

    @classmethod
    def in_child(cls) -> None:
        """Note the fork, and free locks that threads of the parent may have held."""
        cls.happened = True
        for shared in (_PROCESS, _THREAD_POOLS):
            shared.lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_Fork.in_child)


SMALLEST_NORMAL = sys.float_info.min


def _flushes_denormals() -> bool:
    return SMALLEST_NORMAL / 2 == 0  # torch has no function that tells


def _is_unusual() -> bool:
    """Return whether the thread differs from a new one; asking takes less time than fixing."""
    return bool(
        torch._C._len_torch_function_stack()  # a default device is on this stack
        or torch._C._is_any_autocast_enabled()
        or _flushes_denormals()
    )


@contextmanager
def _usual_inference_mode() -> Iterator[None]:
    with torch.inference_mode(), torch.device("cpu"), ExitStack() as stack:
        for kind in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if _flushes_denormals():
            torch.set_flush_denormal(False)
            stack.callback(torch.set_flush_denormal, True)
        yield


class InferenceSettings:
    """Fixes torch's settings of the process and the thread, for computing without gradients.

    A class, since `transform` of one row notices the 5 us that a generator would take.
    """

    def __enter__(self) -> None:
        if _Fork.happened:
            torch.set_num_threads(1)  # a setting of each Python thread
        _PROCESS.__enter__()
        self.mode: AbstractContextManager[Any] = (
            _usual_inference_mode() if _is_unusual() else torch.inference_mode()
        )
        self.mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            self.mode.__exit__(*error)
        finally:
            _PROCESS.__exit__()


@contextmanager
def training_settings() -> Iterator[None]:
    """Fix all settings for training, and for making the tensors that are trained."""
    with InferenceSettings(), torch.inference_mode(False), torch.enable_grad(), numpy_settings():
        yield


@contextmanager
def numpy_settings() -> Iterator[None]:
    """Fix the settings of NumPy, and those that scikit-learn's checks and estimators depend on."""
    with np.errstate(**NUMPY_ERRORS), sklearn.config_context(**SCIKIT_LEARN):
        yield


@contextmanager
def fixed_threads(n_threads: int = 1) -> Iterator[None]:
    """Use a fixed number of CPU threads.

    Sums over a batch depend on the number of threads in their last bits, and joblib's workers have
    fewer threads than the process that started them: only a fixed number gives the same bits in
    every worker. `n_threads` are torch's; BLAS and scikit-learn use one.
    """
    with _THREAD_POOLS as before:
        torch.set_num_threads(1 if _Fork.happened else n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
