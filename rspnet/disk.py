"""Atomic writing of files and folders, checksums, and errors that explain why the disk refused to read or write."""

import errno
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rspnet.errors import ConfigError, DiskError, MachineError, RSPNetError
from rspnet.lock import locked
from rspnet.shortage import blame_machine, lacking
from rspnet.temporary import put, put_new, remove, temporary

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FAULTS = {
    errno.ENOSPC: ("its disk is full", "make room on it, then give the same command again"),
    errno.EDQUOT: ("your quota on its disk is used up", "make room on it, then give the same command again"),
    errno.EROFS: ("its disk is read-only", "write to another folder"),
    errno.EFBIG: ("its disk, or `ulimit -f`, does not allow a file so large", "write to another folder"),
    errno.EIO: ("its disk fails", "look into the system's log"),
    errno.ESTALE: ("its network disk has changed", "check that it is mounted, then give the same command again"),
}
"""Errors that no choice of options causes: error number of the system -> what is wrong, and what to do."""


def refusal(path: str | os.PathLike[str], error: OSError) -> RSPNetError:
    """Return the exception to raise if writing to `path`, or to something in it, failed with `error`."""
    said = error.strerror or str(error)
    if error.errno in FAULTS:
        fault, remedy = FAULTS[error.errno]
        said = os.strerror(error.errno)  # pyarrow's own text is longer
        return DiskError(f"{os.fspath(path)}: cannot be written: {fault} ({said}); {remedy}")
    if lack := lacking(error):
        return MachineError(f"{os.fspath(path)}: cannot be written: {lack}")
    return ConfigError(f"{os.fspath(path)}: cannot be written ({said}); choose another place")


@contextmanager
def writing_to(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a failed write in the block into a one-line error that names `path`.

    Raises:
        DiskError: the disk is full, read-only or broken.
        MachineError: the machine lacks memory, or too many files are open.
        ConfigError: the path cannot be written to, for example for lack of permissions.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and _is_another(error.filename, path):
            raise
        raise refusal(path, error) from None


def _is_another(missing: str | os.PathLike[str] | None, path: str | os.PathLike[str]) -> bool:
    """Whether the missing file is unrelated to writing `path`: it is another one, and the folder of `path` exists."""
    absolute = os.path.abspath(path)
    itself = missing is not None and os.path.abspath(missing) == absolute
    return not itself and os.path.isdir(os.path.dirname(absolute))


@contextmanager
def reading(path: str | os.PathLike[str], mistake: type[RSPNetError] = ConfigError) -> Iterator[None]:
    """Turn a failed read in the block into a one-line error that names `path`.

    Args:
        path: the file or folder that is read.
        mistake: the exception to raise.

    Raises:
        RSPNetError: the read failed; a `mistake`.
        MachineError: the machine lacks memory, or too many files are open.
    """
    try:
        yield
    except OSError as error:
        blame_machine(os.fspath(path), error)
        raise mistake(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from None


def in_words(error: Exception) -> str:
    """Describe in words why the contents of a JSON file cannot be used.

    Args:
        error: the exception from reading it, or from looking something up in it.
    """
    match error:
        case json.JSONDecodeError():
            return f"invalid JSON at line {error.lineno}, column {error.colno}" if error.doc.strip() else "it is empty"
        case UnicodeError():
            return "not UTF-8 text"
        case OSError():
            return error.strerror or "it cannot be read"
        case KeyError():
            return f"it lacks {error.args[0]}"
        case RecursionError():
            return "it is nested too deeply"
        case TypeError() | AttributeError():
            return "it holds values of the wrong type"
    return " ".join(str(error).split())[:200]


def is_there(path: str | os.PathLike[str], mistake: type[RSPNetError] = ConfigError) -> bool:
    """Whether a path exists.

    Raises:
        RSPNetError: the system does not say, for example because the user may not enter its folder; a `mistake`.
    """
    with reading(path, mistake):
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def make_folder(path: str | os.PathLike[str], remedy: str) -> None:
    """Make a folder and its parents, unless it exists.

    Args:
        path: the folder.
        remedy: what the error tells the user to do if it cannot be made: ``choose another folder``.

    Raises:
        ConfigError: it cannot be made, for example for lack of permissions, or because a file has that name.
        DiskError: the disk is full, read-only or broken.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        if error.errno in FAULTS:
            raise refusal(path, error) from None
        said = "something else has that name" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError(f"{os.fspath(path)}: cannot be made ({said}); {remedy}") from None


@contextmanager
def needing(size: float) -> Iterator[None]:
    """Add to a DiskError from the block how much space is needed.

    Args:
        size: bytes.

    Raises:
        DiskError: the same error, with the size.
    """
    try:
        yield
    except DiskError as error:
        raise DiskError(f"{error} ({megabytes(size)} are needed)") from None


def megabytes(size: float) -> str:
    """Format a size given in bytes, rounded up: ``12.3 MB``; ``inf MB`` if it is infinite."""
    return f"{math.ceil(size / 1e5) / 10 if math.isfinite(size) else size:.1f} MB"


class _Noting(io.FileIO):
    """Keeps the system's first error: a library that writes through it may raise another instead (torch does)."""

    refused: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refused = self.refused or error
            raise


@contextmanager
def created(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Create a binary file for a library to write to.

    Raises:
        DiskError, MachineError, ConfigError: see `writing_to`, whichever exception the library itself raises.
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
    """Return the size and checksum by which a manifest identifies a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def fsync(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # which some shared folders answer for folders
            raise
    finally:
        os.close(descriptor)


@contextmanager
def whole(
    path: str | os.PathLike[str], *, folder: bool = False, replace: bool = True, over: bool = False
) -> Iterator[Path]:
    """Yield a hidden file or folder beside `path`, which is renamed to `path` when the block ends without an error.

    It is flushed to the disk first. Any number of processes may write the same path at once: the last one wins. What a
    killed process leaves does no harm, and `rspnet.temporary.sweep` removes it.

    Args:
        path: the final path; its parent folders are made.
        folder: make a folder instead of a file.
        replace: replace a file, or an empty folder, that has the name already.
        over: replace also a folder that is not empty.

    Raises:
        FileExistsError: something has the name when the block ends, and `replace` is False.
        DiskError, MachineError, ConfigError: see `writing_to`.
    """
    path = Path(path)
    with writing_to(path), ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # a file, or a broken link
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        hidden = _begin(path, folder, stack)
        try:
            yield hidden
        except RSPNetError as error:  # the hidden name would mean nothing to the user
            raise type(error)(str(error).replace(str(hidden), str(path))) from error
        _sync(hidden)
        put(hidden, path, over=over) if replace else put_new(hidden, path)
        fsync(path.parent)


def _begin(path: Path, folder: bool, stack: ExitStack) -> Path:
    """Make the hidden file or folder, and lock it until the stack is closed."""
    while True:
        hidden = temporary(path)
        try:
            hidden.mkdir() if folder else hidden.touch(exist_ok=False)
        except FileNotFoundError as error:  # a folder in which nothing can be created, such as /proc
            raise refusal(path, error) from None
        try:
            stack.enter_context(locked(hidden))
        except (BlockingIOError, FileNotFoundError):  # another process is sweeping, or swept, it away as a leftover
            continue
        stack.callback(remove, hidden)
        if hidden.exists():
            return hidden


def _sync(path: Path) -> None:
    """Wait until a file, or a folder with all its contents, is on the disk; links in it are not followed."""
    if path.is_dir():
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_symlink():
                    _sync(Path(entry))
    fsync(path)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; a file of that name is replaced.

    Raises:
        DiskError, MachineError, ConfigError: see `writing_to`.
    """
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically; see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
