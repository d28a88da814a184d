"""Files that are whole or not there at all, and known again by checksum; what is said where a disk refuses."""

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rspnet.errors import ConfigError, DiskError, RSPNetError

FAULTS = {
    errno.ENOSPC: ("its disk is full", "make room on it, then give the same command again"),
    errno.EDQUOT: ("your quota on its disk is used up", "make room on it, then give the same command again"),
    errno.EROFS: ("its disk is read-only", "write to another folder"),
    errno.EFBIG: ("its disk, or `ulimit -f`, takes no file so large", "write to another folder"),
    errno.EIO: ("its disk fails", "look into the system's log"),
    errno.ESTALE: ("its network disk has changed", "see that it is there, then give the same command again"),
}
"""What no choice of options is to blame for: number of the system's error -> what is wrong, and what to do."""


def refusal(path: str | os.PathLike, error: OSError) -> RSPNetError:
    """What to raise where a write to `path`, or to what lies in it, ended with `error`."""
    said = error.strerror or str(error)
    if error.errno in FAULTS:
        fault, remedy = FAULTS[error.errno]
        said = os.strerror(error.errno)  # pyarrow's text is longer
        return DiskError(f"{os.fspath(path)}: cannot be written: {fault} ({said}); {remedy}")
    return ConfigError(f"{os.fspath(path)}: cannot be written ({said}); choose another place")


@contextmanager
def writing_to(path: str | os.PathLike) -> Iterator[None]:
    """Let a refused write in the block be told in one line that names `path`.

    Raises:
        DiskError: the disk is full, read-only or broken.
        ConfigError: a place that cannot be written to, for want of permissions for example.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise  # something else is missing
        raise refusal(path, error) from None


@contextmanager
def reading(path: str | os.PathLike, mistake: type[RSPNetError] = ConfigError) -> Iterator[None]:
    """Let a refused read in the block be told in one line that names `path`.

    Args:
        path: what is read.
        mistake: what to raise then.
    """
    try:
        yield
    except OSError as error:
        raise mistake(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from None


def is_there(path: str | os.PathLike, mistake: type[RSPNetError] = ConfigError) -> bool:
    """Whether a path names anything; one that the system does not tell of is no path that names nothing.

    Raises:
        RSPNetError: it is in a folder that is closed to this user, for example; a `mistake`.
    """
    with reading(path, mistake):
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


class _Noting(io.FileIO):
    """Keeps what the system said first: a library that writes through it may tell another story (torch does)."""

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refused = self.refused or error
            raise


@contextmanager
def created(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A new binary file, for a library to write to.

    Raises:
        DiskError, ConfigError: see `writing_to`, whatever the library makes of it.
    """
    with writing_to(path):
        raw = _Noting(os.fspath(path), "w")
        try:
            with io.BufferedWriter(raw) as file:
                yield file
        except Exception:
            if raw.refused:
                raise raw.refused from None
            raise


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
def arriving(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary name for a new file or folder, which gets its own when the block ends without an error.

    Args:
        path: where it will be.
        replace: a file may have the name already, and any number of processes may write it at once: the last one wins.

    Raises:
        FileExistsError: If something has got the name by then, and is not to be replaced.
        DiskError, ConfigError: see `writing_to`.
    """
    end = f"{secrets.token_hex(4)}.tmp" if replace else "partial"
    partial = path.with_name(f".{path.name}.{end}")
    with writing_to(path):
        if path.parent.exists() and not path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        try:
            yield partial
            for part in sorted(partial.rglob("*")):
                fsync(part)
            fsync(partial)
            if not replace and os.path.lexists(path):
                raise FileExistsError(f"{path}: exists")
            partial.replace(path)
            fsync(path.parent)
        except BaseException:
            _remove(partial)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; one of this name is replaced.

    Raises:
        DiskError, ConfigError: see `writing_to`.
    """
    with arriving(path, replace=True) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write one JSON file whole or not at all; see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def print_line(text: str) -> None:
    """Print a line of a result on stdout, at once.

    Raises:
        DiskError: stdout is a file, and its disk is full.
        BrokenPipeError: the reader has left.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise refusal("standard output", error) from None


def forget_stdout() -> None:
    """Throw away what stdout could not take; Python would try once more at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def quieten_threads() -> None:
    """No traceback of a thread that a disk refuses; who gave it the work is told and says so (tensorboard's writer)."""
    loud = threading.excepthook

    def speak(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in FAULTS):
            loud(args)

    threading.excepthook = speak


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
