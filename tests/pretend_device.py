"""An accelerator that is not there: importing this module gives torch a device "pretend".

Its tensors keep their values in CPU memory but refuse to meet CPU tensors, as a GPU's do, so that
a forgotten `.to(device)` fails here too. `counts` has what crosses the border: "in" and "out" for
copies to and from the device, "sync" for scalars that the host waits for. Built on torch's
experimental backend in Python (torch 2.9 and later); the whole process is changed by the import.
"""

from collections import Counter

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

counts: Counter[str] = Counter()
CPU = torch.device("cpu")


class Remote(torch.Tensor):
    """A tensor on the device; `inner` holds its values."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Remote":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="pretend:0",
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"Remote({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # Under inference_mode composite operations are not yet taken apart.
        parts = operation.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        special = SPECIAL.get(operation._schema.name, compute)
        return special(operation, args, kwargs)


def unwrap(value):
    return value.inner if isinstance(value, Remote) else value


def cross(source, target_is_remote: bool) -> None:
    if isinstance(source, Remote) != target_is_remote:
        counts["in" if target_is_remote else "out"] += 1


def compute(operation, args, kwargs):
    """Run on the inner tensors; the only strangers allowed are scalars."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    if any(not isinstance(t, Remote) and t.dim() > 0 for t in tensors):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found pretend:0 and cpu "
            f"({operation._schema.name})"
        )
    options = tree_map(unwrap, kwargs)
    if options.get("device") is not None:
        options["device"] = CPU
    out = operation(*tree_map(unwrap, args), **options)
    # An operation in place returns the very tensor it was given.
    given = {id(t.inner): t for t in tensors if isinstance(t, Remote)}
    return tree_map(
        lambda t: given.get(id(t), Remote(t)) if isinstance(t, torch.Tensor) else t, out
    )


def copy_into(operation, args, kwargs):
    target, source = args[:2]
    cross(source, isinstance(target, Remote))
    unwrap(target).copy_(unwrap(source))
    return target


def convert(operation, args, kwargs):
    source, options = args[0], dict(kwargs)
    device = options.pop("device", None)
    stays = isinstance(source, Remote) if device is None else torch.device(device).type != "cpu"
    cross(source, stays)
    converted = operation(unwrap(source), **options, device=CPU)
    return Remote(converted) if stays else converted


def read_scalar(operation, args, kwargs):
    counts["sync"] += 1
    return operation(unwrap(args[0]))


SPECIAL = {
    "aten::copy_": copy_into,
    "aten::_to_copy": convert,
    "aten::_local_scalar_dense": read_scalar,
}


class Backend:
    """What torch asks of a device's module."""

    default = torch.Generator()
    _is_in_bad_fork = staticmethod(lambda: False)
    is_available = is_initialized = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    synchronize = staticmethod(lambda device=None: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])
    manual_seed = manual_seed_all = staticmethod(default.manual_seed)
    get_rng_state = staticmethod(lambda device=None: Backend.default.get_state())
    set_rng_state = staticmethod(lambda state, device=None: Backend.default.set_state(state))


def empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    return Remote(torch.empty(size, dtype=dtype))


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return Remote(torch.empty_strided(size, stride, dtype=dtype))


def copy_from(source, target, non_blocking=False):
    return copy_into(None, (target, source), {})


_setup_privateuseone_for_python_backend("pretend", backend_module=Backend)
KERNELS = torch.library.Library("aten", "IMPL")
for name, kernel in (
    ("empty.memory_format", empty),
    ("empty_strided", empty_strided),
    ("_copy_from", copy_from),
):
    KERNELS.impl(name, kernel, "PrivateUse1")


class Generator(torch.Generator):
    """A CPU generator that is said to be on the device: a Python backend has none of its own."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls, "cpu")
        made.place = torch.device(device)
        return made

    @property
    def device(self):
        return self.place


torch.Generator = Generator
