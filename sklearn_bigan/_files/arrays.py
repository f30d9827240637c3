"""Which arrays a file must have: names, types, shapes, places and ranges."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_bigan import _parameters as parameters
from sklearn_bigan._data.standardizer import Standardizer
from sklearn_bigan._files.content import DTYPES, ITEM_SIZES, STANDARDIZERS, Malformed, with_prefix
from sklearn_bigan._files.values import short
from sklearn_bigan._persistence import is_saved
from sklearn_bigan.networks.bigan import BiGAN, ModelSpec, bigan_without_weights
from sklearn_bigan.networks.dcgan import Upsampling


def expected_arrays(
    spec: dict[str, Any], table: Mapping[str, Any]
) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of every array that a model of this spec has."""
    made = ModelSpec(**spec)
    own = isinstance(made.network, str)
    try:
        if own:
            parameters.resolve_network(made.network, made.image_shape)
        bigan = bigan_without_weights(made)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        if not own:  # the error may be the user's
            raise
        raise Malformed(f"its networks cannot be made: {error}") from None
    rows = ["mean", "x_mean", *(name for name in table if name.startswith("standardizer."))]
    expected = {name: ("F64", [made.n_features]) for name in rows}
    for name, tensor in bigan.state_dict().items():
        # Files of earlier versions have no correlations, and the prior does without.
        missing = name.endswith("prior.correlations") and f"weights.{name}" not in table
        if is_saved(name) and not missing:
            dtype = DTYPES.get(str(tensor.dtype).removeprefix("torch."), "none")
            expected[f"weights.{name}"] = (dtype, list(tensor.shape))
    return expected | _free_kernels(bigan, expected, table)


def _free_kernels(
    bigan: BiGAN, expected: Mapping[str, tuple[str, list[int]]], table: Mapping[str, Any]
) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of the free kernels of G, which files of earlier versions may have."""
    free = {}
    for name, layer in bigan.named_modules():
        full = f"weights.{name}.weight"
        if isinstance(layer, Upsampling) and full in expected:
            dtype, (n_in, n_out, *_) = expected[full]
            shape = [n_in, n_out, *layer.kernel_size]
            if isinstance(table.get(full), dict) and table[full].get("shape") == shape:
                free[full] = dtype, shape
    return free


def check_table(
    table: dict[str, Any], expected: dict[str, tuple[str, list[int]]], n_payload: int
) -> None:
    """Raise unless the file has the expected arrays, one after the other, and nothing else."""
    arrays = {name.removeprefix("standardizer.") for name in table if name[:13] == "standardizer."}
    if arrays not in STANDARDIZERS:
        raise Malformed(f"its standardizer has {short(sorted(arrays))}.")
    for name in sorted(table.keys() ^ expected.keys()):
        raise Malformed(f"it {'lacks' if name in expected else 'has an unknown'} array {name!r}.")
    spans = []
    for name, (dtype, shape) in expected.items():
        match table[name]:
            case {"dtype": str(found), "shape": [*sizes], "data_offsets": [int(begin), int(end)]}:
                pass
            case other:
                raise Malformed(f"its array {name!r} is described by {short(other)}.")
        if (
            len(table[name]) != 3
            or found != dtype
            or found not in ITEM_SIZES
            or sizes != shape
            or not all(type(n) is int for n in sizes)
        ):
            raise Malformed(
                f"its array {name!r} has type {short(found)} and shape {short(sizes)}, and the "
                f"networks need {dtype} and {shape}."
            )
        spans.append((begin, end, math.prod(shape) * ITEM_SIZES[dtype]))
    here = 0
    for begin, end, n_bytes in sorted(spans):
        if begin != here or end - begin != n_bytes:
            raise Malformed("its arrays do not lie one after the other.")
        here = end
    if here != n_payload:
        raise Malformed(f"its arrays claim {here} bytes, and there are {n_payload}.")


def check_arrays(arrays: Mapping[str, np.ndarray], spec: dict[str, Any]) -> None:
    """Raise if values are out of the range that training leaves them in."""
    # Buffers of users' networks may be infinite, as masks are.
    users = () if isinstance(spec["network"], str) else tuple(f"{r}.body." for r in spec["network"])
    for name, array in arrays.items():
        of_users = name.removeprefix("weights.").removeprefix("averaged.").startswith(users)
        if array.dtype.kind == "f" and not of_users and not np.isfinite(array).all():
            raise Malformed(f"its array {name!r} has values that are infinite or not a number.")
        if name.endswith("encoder.prior.cumulative_weights"):
            weights = np.concatenate([[0], array])
            if (np.diff(weights) < 0).any() or weights[-1] != 1:
                raise Malformed(f"its array {name!r} does not rise from 0 to 1.")
    standardizer: dict[str, Any] = with_prefix(arrays, "standardizer.")
    for name in ("scale", "bound"):
        if name in standardizer and not (standardizer[name] > 0).all():
            raise Malformed(f"its standardizer has a {name} that is not above 0.")
    try:
        Standardizer(**standardizer).transform(arrays["x_mean"][np.newaxis])
    except ValueError:
        raise Malformed("its mean row is out of range.") from None
