"""Writing a file, whole or not at all."""

import json
import os
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
from safetensors.numpy import save as bytes_from_arrays

from sklearn_bigan._files.arrays import check_arrays
from sklearn_bigan._files.content import (
    DTYPES,
    FACTORIES,
    FILE_FORMAT,
    KEY,
    NO_CHECKSUM,
    Content,
    Malformed,
)
from sklearn_bigan._files.reading import read_header
from sklearn_bigan._files.values import ATTRIBUTES
from sklearn_bigan._runtime.files import file_to_write, replace_file
from sklearn_bigan.networks.bigan import Factory


def write(path: str | os.PathLike[str], content: Content) -> None:
    """Write a file, whole or not at all; an older file stays until the new one is complete.

    Values that JSON cannot hold raise TypeError, and what could not be read again ValueError, both
    before anything is written.
    """
    target = file_to_write(path, "path")
    header, arrays = _encode(content)
    text = json.dumps(header, separators=(",", ":"))
    data = bytes_from_arrays(arrays, metadata={KEY: text})
    try:
        found = read_header(BytesIO(data), len(data), _factories(content) or None)
        check_arrays(arrays, found.content.net["spec"])
    except Malformed as error:
        raise ValueError(
            f"The model cannot be saved to {str(target)!r}: {error} joblib.dump has no such limits."
        ) from None
    at = data.index(NO_CHECKSUM)
    checksum = blake2b(data, digest_size=32).hexdigest().encode()
    view = memoryview(data)
    replace_file(target, [view[:at], checksum, view[at + len(checksum) :]])


def _factories(content: Content) -> dict[str, Factory]:
    """Return the user's factories: those of the next fit, and those that made the networks."""
    named = (content.parameters["network"], content.net["spec"]["network"])
    return {
        role: factory
        for network in named
        if not isinstance(network, str)
        for role, factory in network.items()
    }


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
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
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
