"""Files that `save` has not written: damaged ones, and forged ones with a right checksum."""

import json
import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np

KEY, NO_CHECKSUM = "sklearn_bigan", "0" * 64
COMPACT = {"separators": (",", ":")}
# Values that a field may not expect.
STRANGE = (
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        7,
        255,
        2**31,
        2**63 - 1,
        2**63,
        10**40,
        10**400,
        0.5,
        -0.0,
        1e300,
    ),
    *(float("nan"), float("inf"), "", "auto", "meta", "cuda:99", "os.system", "\ud800", "x" * 1000),
    *([], {}, [[]], [-1], [1] * 1001, [10**9] * 3, {"factories": ["encoder"]}, {"a": {"b": [1]}}),
)


def parts(data: bytes) -> tuple[dict, dict, bytes]:
    """Return the header, the JSON in its metadata, and the arrays' bytes."""
    (n_bytes,) = struct.unpack("<Q", data[:8])
    outer = json.loads(data[8 : 8 + n_bytes])
    return outer, json.loads(outer["__metadata__"][KEY]), data[8 + n_bytes :]


def text_of(inner: Any) -> str:
    """Return the metadata as JSON with room for a checksum."""
    return json.dumps({**inner, "checksum": NO_CHECKSUM} if isinstance(inner, dict) else inner)


def header_of(outer: dict, inner: Any) -> str:
    """Return the header, with other metadata, given as a value or as JSON."""
    text = inner if isinstance(inner, str) else text_of(inner)
    table = {name: entry for name, entry in outer.items() if name != "__metadata__"}
    return json.dumps({"__metadata__": {KEY: text}, **table}, **COMPACT)


def signed(header: str, payload: bytes) -> bytes:
    """Return a file with a right checksum, whatever is in it."""
    start = header.encode(errors="surrogatepass")
    whole = struct.pack("<Q", len(start)) + start + payload
    checksum = blake2b(whole, digest_size=32).hexdigest().encode()
    return whole.replace(NO_CHECKSUM.encode(), checksum, 1)


def mutated_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """Return the data with a few flipped, replaced, deleted, inserted or copied bytes."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(len(changed)))
        length = int(random.integers(1, 30))
        match random.integers(6):
            case 0:
                changed[at] ^= 1 << random.integers(8)
            case 1:
                changed[at] = random.integers(256)
            case 2:
                del changed[max(1, at) :]
            case 3 if len(changed) > length:
                del changed[at : at + length]
            case 4:
                changed[at:at] = random.bytes(length)
            case 5:
                other = int(random.integers(len(changed)))
                changed[at : at + length] = changed[other : other + length]
        if not changed:
            return b""
    return bytes(changed)


def mutated_json(value: Any, random: np.random.Generator) -> Any:
    """Return a JSON value with one of its leaves replaced, or one of its keys left out."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = list(value)[random.integers(len(value))]
        if random.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutated_json(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = int(random.integers(len(value)))
        return [*value[:at], mutated_json(value[at], random), *value[at + 1 :]]
    return STRANGE[random.integers(len(STRANGE))]


def _of_json(data: bytes, random: np.random.Generator) -> bytes:
    outer, inner, payload = parts(data)
    return signed(header_of(outer, mutated_json(inner, random)), payload)


def _of_table(data: bytes, random: np.random.Generator) -> bytes:
    outer, inner, payload = parts(data)
    names = [name for name in outer if name != "__metadata__"]
    name, other = (names[i] for i in random.integers(len(names), size=2))
    match random.integers(4):
        case 0:
            outer[name], outer[other] = outer[other], outer[name]
        case 1:
            outer[f"{name}x"] = outer.pop(name)
        case _:
            outer[name] = mutated_json(outer[name], random)
    return signed(header_of(outer, inner), payload)


def _of_text(data: bytes, random: np.random.Generator) -> bytes:
    outer, inner, payload = parts(data)
    text = mutated_bytes(text_of(inner).encode(), random).decode(errors="replace")
    return signed(header_of(outer, text), payload)


def _of_header(data: bytes, random: np.random.Generator) -> bytes:
    outer, inner, payload = parts(data)
    header = mutated_bytes(header_of(outer, inner).encode(), random)
    return signed(header.decode(errors="replace"), payload)


def _of_structure(data: bytes, random: np.random.Generator) -> bytes:
    """Repeat a key, nest deeply, or put a long number or many values somewhere."""
    outer, inner, payload = parts(data)
    text = text_of(inner)
    n = int(random.integers(1, 20_000))
    inserted = ("[" * n + "]" * n, "9" * n, "[" + "0," * n + "0]", "-", f"1e{n}", '"a":' * 2)
    commas = [i for i, letter in enumerate(text) if letter in ",:"]
    at = commas[random.integers(len(commas))] + 1
    if random.random() < 0.3:
        name = text[at:].partition(":")[0]
        text = f"{text[:at]}{name}:0,{text[at:]}"
    else:
        text = text[:at] + inserted[random.integers(len(inserted))] + "," + text[at:]
    return signed(header_of(outer, text), payload)


def _of_values(data: bytes, random: np.random.Generator) -> bytes:
    outer, inner, payload = parts(data)
    changed = bytearray(payload)
    for _ in range(random.integers(1, 4)):
        changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return signed(header_of(outer, inner), bytes(changed))


# "bytes" has a wrong checksum; the others are forged by someone who knows how to compute it.
MUTATIONS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "bytes": mutated_bytes,
    "json": _of_json,
    "table": _of_table,
    "text": _of_text,
    "header": _of_header,
    "structure": _of_structure,
    "values": _of_values,
}
