"""Files that are whole or not there at all, and known again by length and checksum."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(path: Path) -> dict[str, Any]:
    """Return what a manifest says of a file, to know it again."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def fsync(path: Path) -> None:
    """Wait until a file's contents, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def arriving(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a new file or folder, which gets its own when the block ends without an error.

    Raises:
        FileExistsError: If something has got the name by then.
        OSError: If the disk refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        for part in sorted(partial.rglob("*")):
            fsync(part)
        fsync(partial)
        if os.path.lexists(path):
            raise FileExistsError(f"{path}: exists")
        partial.rename(path)
        fsync(path.parent)
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
