"""Files that are written whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path


def file_to_write(path: str | os.PathLike[str], parameter: str) -> Path:
    """Return the file that the path means, behind links; OSError if no file can be put there."""
    target = Path(os.path.realpath(os.fspath(path)))
    given = f"{parameter}={os.fspath(path)!r}"
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The directory of {given} does not exist; make {str(target.parent)!r} first."
        )
    if target.is_dir():
        raise IsADirectoryError(f"{given} is a directory; add the name of a file.")
    if target.exists() and not target.is_file():
        raise ValueError(f"{given} is no regular file; use another name.")
    return target


def replace_file(target: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a temporary file beside the target, and put it in its place once it is on the disk.

    A process that is killed meanwhile leaves the temporary file, see `remove_leftovers`.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
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


def remove_leftovers(target: Path) -> None:
    """Remove temporary files of killed processes; nobody may be writing to the target."""
    for entry in target.parent.iterdir():
        if entry.name.startswith(f".{target.name}.") and entry.name.endswith(".tmp"):
            entry.unlink(missing_ok=True)
