"""A fitted estimator as a file that holds data only: nothing in it is run when it is loaded.

The file is a safetensors file. Its tensors are the arrays of the estimator's state. Everything else
is JSON, under one key of the safetensors header's metadata: parameters, attributes, versions, the
description of the networks, and a checksum of the whole file. Reading trusts none of it: sizes,
names, types and ranges are checked before anything is allocated or any network is made.
"""

import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as bytes_from_arrays

from sklearn_bigan import _parameters as parameters
from sklearn_bigan._data.augmentation import AUGMENTATIONS
from sklearn_bigan._data.standardizer import Standardizer
from sklearn_bigan._persistence import FORMAT, is_saved, versions
from sklearn_bigan.networks.bigan import IMAGE_BODIES, ROLES, Factory, ModelSpec, empty_state
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.priors import PRIORS

# Raised when a change makes older files unreadable.
FILE_FORMAT = 1

# The metadata's key, and a checksum that is not known yet.
KEY = "sklearn_bigan"
NO_CHECKSUM = b"0" * 64

# Limits of what is parsed: the length of the header (safetensors' own), its nesting, and an
# estimate of the memory that its values take, which may be this much beyond twice the file's size.
MAX_HEADER_BYTES = 100_000_000
MAX_DEPTH = 16
BYTES_PER_VALUE, BYTES_PER_CONTAINER, SPARE_BYTES = 64, 256, 2**24
# Networks are made without memory for weights, but each layer takes some.
MAX_LAYERS = 1000

# Strings, which may hold brackets of their own, and brackets.
TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{\]}]', re.DOTALL)

# safetensors' names of the types that weights and buffers may have.
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}

ITEM_SIZES = {code: np.dtype(name).itemsize for name, code in DTYPES.items()}

# The arrays that a standardizer may have: none with a bounded output activation, and with one unit
# for all columns neither bounds nor extremes.
STANDARDIZERS: tuple[set[str], ...] = (
    set(),
    {"center", "scale"},
    {"center", "scale", "bound", "minimum", "maximum"},
)

# How a network of the user's own factories is described: by their roles.
FACTORIES = "factories"

Rule = Callable[[Any], bool]


class Content(NamedTuple):
    """What a file holds: arguments of the estimator, its attributes, and the state of its net."""

    parameters: dict[str, Any]
    attributes: dict[str, Any]
    net: dict[str, Any]


class _Malformed(ValueError):
    """The content of a file is not what this version writes."""


# Writing.


def write(path: str | os.PathLike[str], content: Content) -> None:
    """Write a file, whole or not at all; an older file stays until the new one is complete.

    Values that JSON cannot hold raise TypeError, and what could not be read again ValueError, both
    before anything is written.
    """
    target = _target(path)
    header, arrays = _encode(content)
    text = json.dumps(header, separators=(",", ":"))
    data = bytes_from_arrays(arrays, metadata={KEY: text})
    try:
        found = _read_header(BytesIO(data), len(data), _factories(content) or None)
        _check_arrays(arrays, found.content.net["spec"])
    except _Malformed as error:
        raise ValueError(f"The model cannot be saved to {str(target)!r}: {error}") from None
    at = data.index(NO_CHECKSUM)
    checksum = blake2b(data, digest_size=32).hexdigest().encode()
    view = memoryview(data)
    _replace(target, [view[:at], checksum, view[at + len(checksum) :]])


def _factories(content: Content) -> dict[str, Factory]:
    """Return the user's factories: those of the next fit, and those that made the networks."""
    named = (content.parameters["network"], content.net["spec"]["network"])
    return {
        role: factory
        for network in named
        if not isinstance(network, str)
        for role, factory in network.items()
    }


def _target(path: str | os.PathLike[str]) -> Path:
    """Return the file that the path means, behind links; raise if no file can be put there."""
    target = Path(os.path.realpath(os.fspath(path)))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The directory of path={os.fspath(path)!r} does not exist; make {target.parent} first."
        )
    if target.is_dir():
        raise IsADirectoryError(f"path={os.fspath(path)!r} is a directory; add the name of a file.")
    if target.exists() and not target.is_file():
        raise ValueError(f"path={os.fspath(path)!r} is no regular file; use another name.")
    return target


def _replace(target: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a temporary file beside the target, and put it in its place once it is on the disk."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere directories cannot be opened
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _encode(content: Content) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the JSON header and the arrays."""
    net, attributes = dict(content.net), dict(content.attributes)
    unknown = attributes.keys() - ATTRIBUTES - {"mean_"}
    if unknown:
        raise TypeError(
            f"The attribute {min(unknown)!r} cannot be saved: it is none of those that fit sets. "
            f"Delete it before saving, or save with joblib."
        )
    standardizer = dict(net.pop("standardizer"))
    variance = standardizer.pop("variance")
    arrays = {"mean": attributes.pop("mean_"), "x_mean": net.pop("x_mean")}
    arrays |= {f"standardizer.{k}": v for k, v in standardizer.items() if v is not None}
    arrays |= {f"weights.{name}": array for name, array in net.pop("weights").items()}
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(
                f"{name!r} of the networks has type {array.dtype}, which a file cannot hold; it "
                f"can hold {', '.join(DTYPES)}. Convert it, or save the model with joblib."
            )
    saved_versions = net.pop("versions")
    header = {
        "checksum": NO_CHECKSUM.decode(),  # the first string of its length in the file
        "format": FILE_FORMAT,
        "versions": saved_versions,
        "parameters": {
            name: _plain(value, f"The {name!r} parameter")
            for name, value in content.parameters.items()
        },
        "attributes": {
            name: _plain(value, f"The {name!r} attribute") for name, value in attributes.items()
        },
        "net": {
            "variance": variance,
            **{name: _plain(value, f"{name!r} of the net") for name, value in net.items()},
        },
    }
    return header, {name: np.asarray(array, order="C") for name, array in arrays.items()}


def _plain(value: Any, name: str) -> Any:
    """Return a value as JSON has it: sequences as lists, numpy's numbers as Python's.

    A dict of the user's networks becomes the list of its roles.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item, name) for item in value]
    if isinstance(value, dict):
        if value and all(callable(item) for item in value.values()):
            return {FACTORIES: list(value)}
        if all(type(key) is str for key in value):
            return {key: _plain(item, f"{key!r} in {name}") for key, item in value.items()}
    raise TypeError(
        f"{name} cannot be saved: a file holds numbers, strings, None, and sequences of them. Got "
        f"{type(value).__name__}; set it to one of these before saving, or save with joblib."
    )


# Reading.


def read(path: str | os.PathLike[str], network: Mapping[str, Factory] | None) -> Content:
    """Read a file; `network` are the user's factories, if the model was made with some.

    ValueError is raised for whatever this version would not have written, before memory of more
    than about twice the file's size is taken.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(name).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait
            raise _Malformed("it is no regular file.")
        with open(name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _read_header(file, size, network)
            file.seek(0)
            data = file.read(size)
        _check_checksum(data, header)
        try:
            arrays = arrays_from_bytes(data)
        except SafetensorError as error:
            raise _Malformed(f"it is no safetensors file: {error}.") from None
        _check_arrays(arrays, header.content.net["spec"])
    except _Malformed as error:
        raise ValueError(f"{name!r} cannot be loaded: {error}") from None
    return _with_arrays(header.content, arrays)


class _Header(NamedTuple):
    """A header that has been checked; its content has no arrays yet."""

    n_bytes: int
    checksum: str
    content: Content


def _read_header(file: BinaryIO, size: int, network: Mapping[str, Factory] | None) -> _Header:
    """Read and check the header of a file of `size` bytes."""
    start = file.read(9)
    n_bytes = int.from_bytes(start[:8], "little")
    if start[8:] != b"{":
        raise _Malformed(f"it was not written by save.{_hint(start)}")
    if n_bytes > min(size - 8, MAX_HEADER_BYTES):
        raise _Malformed(
            f"its header claims {n_bytes} bytes, and the file has {size}; at most "
            f"{MAX_HEADER_BYTES} are read."
        )
    try:
        table = _parse((b"{" + file.read(n_bytes - 1)).decode(), size)
    except UnicodeDecodeError as error:
        raise _Malformed(f"its header is no text: {error}.") from None
    match table.pop("__metadata__", None):
        case {"sklearn_bigan": str(text)}:
            header = _parse(text, size)
        case _:
            raise _Malformed("it is a safetensors file that save has not written.")
    _check_format(header)
    content = _checked_content(header, size - 8 - n_bytes)
    _fill_in_factories(content, network)
    _check_table(table, _expected(content.net["spec"], table), size - 8 - n_bytes)
    return _Header(n_bytes, header["checksum"], content)


def _hint(start: bytes) -> str:
    if start.startswith((b"\x80", b"\x1f\x8b", b"x\x9c", b"x\x01")):
        return " It starts like a pickle or a joblib file: joblib.load opens it, if you trust it."
    if start.startswith(b"PK"):
        return " It starts like a zip archive, such as skops and torch.save write."
    return ""


def _parse(text: str, size: int) -> dict[str, Any]:
    """Parse a JSON object, after bounds on its nesting and on the memory of its values."""
    n_containers = text.count("{") + text.count("[")
    memory = BYTES_PER_CONTAINER * n_containers + BYTES_PER_VALUE * text.count(",")
    if memory > 2 * size + SPARE_BYTES:
        raise _Malformed("its header holds more values than a file of its size may have.")
    if _depth(text) > MAX_DEPTH:
        raise _Malformed(f"its header is nested more than {MAX_DEPTH} deep.")
    try:
        parsed = json.loads(text, object_pairs_hook=_unique)
    except _Malformed:
        raise
    except ValueError as error:
        raise _Malformed(f"its header is no JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise _Malformed("its header is no JSON object.")
    return parsed


def _depth(text: str) -> int:
    """Return how deep brackets are nested at most."""
    depth = deepest = 0
    for token in TOKENS.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in ("]", "}"):
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; repeated keys, which readers take differently, are errors."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed("its header repeats a key.")
    return found


# What values may be.


def _count(least: int = 0) -> Rule:
    return lambda value: type(value) is int and least <= value < 2**63


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _string(value: Any) -> bool:
    return type(value) is str


def _one_of(*allowed: str) -> Rule:
    return lambda value: type(value) is str and value in allowed


def _some_of(*allowed: str) -> Rule:
    return lambda value: type(value) is list and all(item in allowed for item in value)


def _counts(*lengths: int) -> Rule:
    return lambda value: (
        type(value) is list and len(value) in lengths and all(map(_count(1), value))
    )


def _roles(value: Any) -> bool:
    """Return whether a value names roles of the user's own networks."""
    return (
        type(value) is dict
        and list(value) == [FACTORIES]
        and _some_of(*ROLES)(value[FACTORIES])
        and len(value[FACTORIES]) > 0
    )


def _epochs(value: Any) -> bool:
    return type(value) is list and all(type(epoch) is dict for epoch in value)


def _mapping(value: Any) -> bool:
    return type(value) is dict


def _device(value: Any) -> bool:
    # "meta" has no values, and "auto" is no device.
    named = type(value) is str and re.fullmatch(r"[a-z]{1,32}(:\d{1,3})?", value)
    return bool(named) and value.partition(":")[0] not in ("auto", "meta")


HEADER: dict[str, Rule] = {
    "checksum": lambda value: type(value) is str and bool(re.fullmatch("[0-9a-f]{64}", value)),
    "format": _count(),
    "versions": _mapping,
    "parameters": _mapping,
    "attributes": _mapping,
    "net": _mapping,
}
NET: dict[str, Rule] = {
    "format": _count(),
    "spec": _mapping,
    "config": _mapping,
    "settings": _mapping,
    "variance": _positive,
    "seed": _count(),
    "n_updates": _count(),
    "history": _epochs,
}
SPEC: dict[str, Rule] = {
    "n_features": _count(1),
    "latent_dim": _count(1),
    "method": _one_of(*parameters.PRESETS),
    "posterior": _one_of("deterministic", "gaussian"),
    "prior": _one_of(*PRIORS),
    "n_clusters": _count(1),
    "output_activation": _one_of(*OUTPUT_RANGES),
    "hidden_layer_sizes": _counts(*range(1, MAX_LAYERS + 1)),
    "image_shape": lambda value: value is None or _counts(3)(value),
    "network": lambda value: _one_of("mlp", *IMAGE_BODIES)(value) or _roles(value),
}
CONFIG: dict[str, Rule] = {
    "cycle_weight": _number,
    "latent_cycle_weight": _number,
    "consistency_weight": _number,
    "n_neighbors": _count(),
    "augmentations": _some_of(*AUGMENTATIONS),
    "ema_decay": lambda value: _number(value) and value <= 1,
    "precision": _one_of(*parameters.PRECISIONS),
    "compile": lambda value: type(value) is bool,
    "n_threads": _count(1),
}
SETTINGS: dict[str, Rule] = {"lr": _positive, "batch_size": _count(1), "max_epochs": _count()}
ATTRIBUTES: dict[str, Rule] = {
    "n_features_in_": _count(1),
    "n_samples_seen_": _count(1),
    "device_": _device,
    "feature_names_in_": lambda value: type(value) is list and all(map(_string, value)),
    "_sklearn_output_config": lambda value: (
        type(value) is dict
        and list(value) in ([], ["transform"])
        and all(map(_one_of("default", "pandas", "polars"), value.values()))
    ),
}
OPTIONAL_ATTRIBUTES = {"feature_names_in_", "_sklearn_output_config"}


# Checks.


def _check_keys(
    values: dict[str, Any], rules: dict[str, Rule], where: str, optional: Iterable[str] = ()
) -> None:
    """Raise unless `values` has the keys of `rules`, and each value follows its rule."""
    missing = rules.keys() - values.keys() - set(optional)
    for name in sorted(missing | values.keys() - rules.keys()):
        raise _Malformed(f"{where} {'lacks' if name in missing else 'has an unknown'} {name!r}.")
    for name, value in values.items():
        if not rules[name](value):
            raise _Malformed(f"{where} has {name!r} = {_short(value)}, which no model has.")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


def _check_format(header: dict[str, Any]) -> None:
    """Raise if the file, or the state of the net in it, has another format than this version's."""
    saved = header.get("versions")
    if type(saved) is not dict or not all(map(_string, saved.values())):
        raise _Malformed("its header names no versions.")
    net = header.get("net")
    of_net = net.get("format") if type(net) is dict else None
    if (header.get("format"), of_net) != (FILE_FORMAT, FORMAT):
        raise _Malformed(
            f"its format is {_short(header.get('format'))} with networks in format "
            f"{_short(of_net)}, and this version of sklearn_bigan "
            f"({versions()['sklearn_bigan']}) reads {FILE_FORMAT} with {FORMAT}. Load it with the "
            f"version that saved it, {_short(saved.get('sklearn_bigan'))}, or fit again."
        )


def _checked_content(header: dict[str, Any], n_payload: int) -> Content:
    """Return the header's values, once they are found to be valid and to agree."""
    _check_keys(header, HEADER, "The header")
    net, attributes = header["net"], header["attributes"]
    _check_keys(net, NET, "The net")
    for part, rules in {"spec": SPEC, "config": CONFIG, "settings": SETTINGS}.items():
        _check_keys(net[part], rules, f"The net's {part}")
        net[part] = {name: _with_tuples(value) for name, value in net[part].items()}
    _check_keys(attributes, ATTRIBUTES, "The estimator", OPTIONAL_ATTRIBUTES)
    spec = net["spec"]
    n_features, names = spec["n_features"], attributes.get("feature_names_in_")
    if attributes["n_features_in_"] != n_features or (names and len(names) != n_features):
        raise _Malformed("its numbers of features differ.")
    if names is not None:
        attributes["feature_names_in_"] = np.array(names, dtype=object)
    if spec["image_shape"] is not None and math.prod(spec["image_shape"]) != n_features:
        raise _Malformed("its images do not have the number of its features.")
    if 8 * n_features > n_payload or 4 * spec["latent_dim"] > n_payload:
        raise _Malformed("its arrays are smaller than one row or one code.")
    known = parameters.CONSTRAINTS.keys() - {"callbacks"}
    for name, value in header["parameters"].items():
        if name not in known or (type(value) is dict and not (name == "network" and _roles(value))):
            raise _Malformed(f"The estimator has a parameter {name!r} = {_short(value)}.")
    arguments = {name: _with_tuples(value) for name, value in header["parameters"].items()}
    return Content(arguments, attributes, net | {"versions": header["versions"]})


def _with_tuples(value: Any) -> Any:
    """Return a value of JSON with tuples for lists, as the estimator's defaults are."""
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _fill_in_factories(content: Content, network: Mapping[str, Factory] | None) -> None:
    """Put the user's factories where the file names their roles."""
    places = [content.parameters, content.net["spec"]]
    places = [place for place in places if isinstance(place.get("network"), dict)]
    roles = {role for place in places for role in place["network"][FACTORIES]}
    given = set() if network is None else set(network)
    if roles != given:
        needed = ", ".join(f"{role!r}: ..." for role in ROLES if role in roles)
        advice = f"load(path, network={{{needed}}})" if roles else "load(path)"
        what = "was made with networks of your own" if roles else "has no networks of your own"
        raise _Malformed(f"the model {what}; use {advice}, with the factories that made it.")
    if network is not None:
        for place in places:
            named = {role: network[role] for role in place["network"][FACTORIES]}
            place["network"] = parameters.resolve_network(named, content.net["spec"]["image_shape"])


def _expected(spec: dict[str, Any], table: Mapping[str, Any]) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of every array that a model of this spec has."""
    made = ModelSpec(**spec)
    own = isinstance(made.network, str)
    try:
        if own:
            parameters.resolve_network(made.network, made.image_shape)
        state = empty_state(made)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        if not own:  # the error may be the user's
            raise
        raise _Malformed(f"its networks cannot be made: {_short(error)}") from None
    rows = ["mean", "x_mean", *(name for name in table if name.startswith("standardizer."))]
    expected = {name: ("F64", [made.n_features]) for name in rows}
    for name, tensor in state.items():
        if is_saved(name):
            dtype = DTYPES.get(str(tensor.dtype).removeprefix("torch."), "none")
            expected[f"weights.{name}"] = (dtype, list(tensor.shape))
    return expected


def _check_table(
    table: dict[str, Any], expected: dict[str, tuple[str, list[int]]], n_payload: int
) -> None:
    """Raise unless the file has the expected arrays, one after the other, and nothing else."""
    arrays = {name.removeprefix("standardizer.") for name in table if name[:13] == "standardizer."}
    if arrays not in STANDARDIZERS:
        raise _Malformed(f"its standardizer has {_short(sorted(arrays))}.")
    for name in sorted(table.keys() ^ expected.keys()):
        raise _Malformed(f"it {'lacks' if name in expected else 'has an unknown'} array {name!r}.")
    spans = []
    for name, (dtype, shape) in expected.items():
        match table[name]:
            case {"dtype": str(found), "shape": [*sizes], "data_offsets": [int(begin), int(end)]}:
                pass
            case other:
                raise _Malformed(f"its array {name!r} is described by {_short(other)}.")
        if (
            len(table[name]) != 3
            or found != dtype
            or sizes != shape
            or not all(type(n) is int for n in sizes)
        ):
            raise _Malformed(
                f"its array {name!r} has type {_short(found)} and shape {_short(sizes)}, and the "
                f"networks need {dtype} and {shape}."
            )
        spans.append((begin, end, math.prod(shape) * ITEM_SIZES[dtype]))
    here = 0
    for begin, end, n_bytes in sorted(spans):
        if begin != here or end - begin != n_bytes:
            raise _Malformed("its arrays do not lie one after the other.")
        here = end
    if here != n_payload:
        raise _Malformed(f"its arrays claim {here} bytes, and there are {n_payload}.")


def _check_checksum(data: bytes, header: "_Header") -> None:
    """Raise unless the data has the checksum that its header names."""
    named = header.checksum.encode()
    at = data.find(named, 8, 8 + header.n_bytes)
    view = memoryview(data)
    found = blake2b(view[: max(at, 0)], digest_size=32)
    found.update(NO_CHECKSUM)
    found.update(view[at + len(named) :])
    if at < 0 or found.hexdigest() != header.checksum:
        raise _Malformed("its checksum is wrong; the file has been damaged or changed.")


def _check_arrays(arrays: Mapping[str, np.ndarray], spec: dict[str, Any]) -> None:
    """Raise if values are out of the range that training leaves them in."""
    # Buffers of users' networks may be infinite, as masks are.
    users = () if isinstance(spec["network"], str) else tuple(f"{r}.body." for r in spec["network"])
    for name, array in arrays.items():
        of_users = name.removeprefix("weights.").removeprefix("averaged.").startswith(users)
        if array.dtype.kind == "f" and not of_users and not np.isfinite(array).all():
            raise _Malformed(f"its array {name!r} has values that are infinite or not a number.")
        if name.endswith("encoder.prior.cumulative_weights"):
            weights = np.concatenate([[0], array])
            if (np.diff(weights) < 0).any() or weights[-1] != 1:
                raise _Malformed(f"its array {name!r} does not rise from 0 to 1.")
    standardizer: dict[str, Any] = _named(arrays, "standardizer.")
    for name in ("scale", "bound"):
        if name in standardizer and not (standardizer[name] > 0).all():
            raise _Malformed(f"its standardizer has a {name} that is not above 0.")
    try:
        Standardizer(**standardizer).transform(arrays["x_mean"][np.newaxis])
    except ValueError:
        raise _Malformed("its mean row is out of range.") from None


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names have the prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _with_arrays(content: Content, arrays: Mapping[str, np.ndarray]) -> Content:
    """Return the content with its arrays, as the estimator pickles it."""
    net = dict(content.net)
    standardizer = dict.fromkeys(STANDARDIZERS[-1]) | _named(arrays, "standardizer.")
    net["standardizer"] = {**standardizer, "variance": net.pop("variance")}
    net |= {"x_mean": arrays["x_mean"], "weights": _named(arrays, "weights.")}
    return content._replace(attributes=content.attributes | {"mean_": arrays["mean"]}, net=net)
