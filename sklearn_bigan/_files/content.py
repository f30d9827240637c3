"""What a file holds, and how it is laid out.

The file is a safetensors file. Its tensors are the arrays of the estimator's state. Everything else
is JSON, under one key of the safetensors header's metadata: parameters, attributes, versions, the
description of the networks, and a checksum of the whole file.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# Raised when a change makes older files unreadable.
FILE_FORMAT = 1

# The metadata's key, and a checksum that is not known yet.
KEY = "sklearn_bigan"
NO_CHECKSUM = b"0" * 64

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


class Content(NamedTuple):
    """What a file holds: arguments of the estimator, its attributes, and the state of its net."""

    parameters: dict[str, Any]
    attributes: dict[str, Any]
    net: dict[str, Any]


class Malformed(ValueError):
    """The content of a file is not what this version writes."""


def with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names have the prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
