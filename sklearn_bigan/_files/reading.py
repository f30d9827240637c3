"""Reading a file without trusting it.

Sizes, names, types and ranges are checked before anything is allocated or any network is made.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as arrays_from_bytes

from sklearn_bigan._files.arrays import check_arrays, check_table, expected_arrays
from sklearn_bigan._files.content import (
    KEY,
    NO_CHECKSUM,
    STANDARDIZERS,
    Content,
    Malformed,
    with_prefix,
)
from sklearn_bigan._files.values import check_format, checked_content, fill_in_factories
from sklearn_bigan.networks.bigan import Factory

# Limits of what is parsed: the length of the header, its nesting, and an estimate of the memory of
# its values, which may be a little more than twice the file's size, and less in a sparse file. The
# slowest header found takes 0.6 s.
MAX_HEADER_BYTES = 2**25
MAX_DEPTH = 16
BYTES_PER_VALUE, BYTES_PER_CONTAINER = 64, 256
SPARE_BYTES, MAX_VALUE_BYTES = 2**24, 3 * 2**25

# Strings, which may hold brackets of their own, and brackets.
TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{\]}]', re.DOTALL)


def read(path: str | os.PathLike[str], network: Mapping[str, Factory] | None) -> Content:
    """Read a file; `network` are the user's factories, if the model was made with some.

    ValueError is raised for whatever this version would not have written, before memory of more
    than about twice the file's size is taken.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(name).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait
            raise Malformed("it is no regular file.")
        with open(name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = read_header(file, size, network)
            file.seek(0)
            data = file.read(size)
        _check_checksum(data, header)
        try:
            arrays = arrays_from_bytes(data)
        except SafetensorError as error:
            raise Malformed(f"it is no safetensors file: {error}.") from None
        check_arrays(arrays, header.content.net["spec"])
    except Malformed as error:
        raise ValueError(f"{name!r} cannot be loaded: {error}") from None
    return _with_arrays(header.content, arrays)


class Header(NamedTuple):
    """A header that has been checked; its content has no arrays yet."""

    n_bytes: int
    checksum: str
    content: Content


def read_header(file: BinaryIO, size: int, network: Mapping[str, Factory] | None) -> Header:
    """Read and check the header of a file of `size` bytes."""
    start = file.read(9)
    n_bytes = int.from_bytes(start[:8], "little")
    if start[8:] != b"{":
        raise Malformed(f"it was not written by save.{_hint(start)}")
    if not 2 <= n_bytes <= min(size - 8, MAX_HEADER_BYTES):
        raise Malformed(
            f"its header claims {n_bytes} bytes, and the file has {size}; at most "
            f"{MAX_HEADER_BYTES} are read."
        )
    try:
        table = _parse((b"{" + file.read(n_bytes - 1)).decode(), size)
    except UnicodeDecodeError as error:
        raise Malformed(f"its header is no text: {error}.") from None
    metadata = table.pop("__metadata__", None)
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise Malformed("it is a safetensors file that save has not written.")
    header = _parse(text, size)
    check_format(header)
    content = checked_content(header, size - 8 - n_bytes)
    fill_in_factories(content, network)
    check_table(table, expected_arrays(content.net["spec"], table), size - 8 - n_bytes)
    return Header(n_bytes, header["checksum"], content)


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
    if memory > min(2 * size + SPARE_BYTES, MAX_VALUE_BYTES):
        raise Malformed("its header holds more values than a file of its size may have.")
    if _depth(text) > MAX_DEPTH:
        raise Malformed(f"its header is nested more than {MAX_DEPTH} deep.")
    try:
        parsed = json.loads(text, object_pairs_hook=_unique)
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(f"its header is no JSON: {error}.") from None
    if not isinstance(parsed, dict):
        raise Malformed("its header is no JSON object.")
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
        raise Malformed("its header repeats a key.")
    return found


def _check_checksum(data: bytes, header: Header) -> None:
    """Raise unless the data has the checksum that its header names."""
    checksum = header.checksum.encode()
    at = data.find(checksum, 8, 8 + header.n_bytes)
    view = memoryview(data)
    found = blake2b(view[: max(at, 0)], digest_size=32)
    found.update(NO_CHECKSUM)
    found.update(view[at + len(checksum) :])
    if at < 0 or found.hexdigest() != header.checksum:
        raise Malformed("its checksum is wrong; the file has been damaged or changed.")


def _with_arrays(content: Content, arrays: Mapping[str, np.ndarray]) -> Content:
    """Return the content with its arrays, as the estimator pickles it."""
    net = dict(content.net)
    standardizer = dict.fromkeys(STANDARDIZERS[-1]) | with_prefix(arrays, "standardizer.")
    net["standardizer"] = {**standardizer, "variance": net.pop("variance")}
    net |= {"x_mean": arrays["x_mean"], "weights": with_prefix(arrays, "weights.")}
    return content._replace(attributes=content.attributes | {"mean_": arrays["mean"]}, net=net)
