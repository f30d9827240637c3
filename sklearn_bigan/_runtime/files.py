"""Arrays and a JSON header in one file that runs no code, written as a whole or not at all."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

HEADER = "header"


def write_arrays(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Write arrays and header in safetensors' format; the file is the old one or the new one.

    A killed process leaves at most a temporary file beside it, which the next one overwrites.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    data = save(arrays, metadata={HEADER: json.dumps(header, default=_plain)})
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays; ValueError if it is no such file."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            return header, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is damaged, or no file of sklearn_bigan.") from error


def _plain(value: Any) -> Any:
    """Return what JSON has for a numpy scalar or array, and the text of anything else."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
