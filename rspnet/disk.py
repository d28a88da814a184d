"""Files that are whole or not there at all, and known again by checksum; what is said where a disk refuses."""

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
    errno.EFBIG: ("its disk, or `ulimit -f`, takes no file so large", "write to another folder"),
    errno.EIO: ("its disk fails", "look into the system's log"),
    errno.ESTALE: ("its network disk has changed", "see that it is there, then give the same command again"),
}
"""What no choice of options is to blame for: number of the system's error -> what is wrong, and what to do."""


def refusal(path: str | os.PathLike[str], error: OSError) -> RSPNetError:
    """What to raise where a write to `path`, or to what lies in it, ended with `error`."""
    said = error.strerror or str(error)
    if error.errno in FAULTS:
        fault, remedy = FAULTS[error.errno]
        said = os.strerror(error.errno)  # pyarrow's text is longer
        return DiskError(f"{os.fspath(path)}: cannot be written: {fault} ({said}); {remedy}")
    if lack := lacking(error):
        return MachineError(f"{os.fspath(path)}: cannot be written: {lack}")
    return ConfigError(f"{os.fspath(path)}: cannot be written ({said}); choose another place")


@contextmanager
def writing_to(path: str | os.PathLike[str]) -> Iterator[None]:
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
        if isinstance(error, FileNotFoundError) and _is_another(error.filename, path):
            raise
        raise refusal(path, error) from None


def _is_another(missing: str | os.PathLike[str] | None, path: str | os.PathLike[str]) -> bool:
    """Whether what is missing is not the place of `path`: its folder is there, and takes new names (/proc does not)."""
    absolute = os.path.abspath(path)
    itself = missing is not None and os.path.abspath(missing) == absolute
    return not itself and os.path.isdir(os.path.dirname(absolute))


@contextmanager
def reading(path: str | os.PathLike[str], mistake: type[RSPNetError] = ConfigError) -> Iterator[None]:
    """Let a refused read in the block be told in one line that names `path`.

    Args:
        path: what is read.
        mistake: what to raise then.
    """
    try:
        yield
    except OSError as error:
        blame_machine(os.fspath(path), error)
        raise mistake(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from None


def in_words(error: Exception) -> str:
    """What keeps the contents of a JSON file from being used, as a person would say it.

    Args:
        error: what reading it, or looking for something in it, ended with.
    """
    match error:
        case json.JSONDecodeError():
            return f"no JSON at line {error.lineno}, column {error.colno}" if error.doc.strip() else "it is empty"
        case UnicodeError():
            return "not UTF-8 text"
        case OSError():
            return error.strerror or "it cannot be read"
        case KeyError():
            return f"it lacks {error.args[0]}"
        case RecursionError():
            return "it is nested too deeply"
        case TypeError() | AttributeError():
            return "it holds values of another kind"
    return " ".join(str(error).split())[:200]


def is_there(path: str | os.PathLike[str], mistake: type[RSPNetError] = ConfigError) -> bool:
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


def make_folder(path: str | os.PathLike[str], remedy: str) -> None:
    """Make a folder, and those above it, unless it is there.

    Args:
        path: the folder.
        remedy: what to do where it cannot be made: ``choose another folder``.

    Raises:
        ConfigError: it cannot be made: for want of permissions, or because a file has that name, for example.
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
    """Let a disk's refusal in the block tell how much is wanted.

    Args:
        size: bytes.

    Raises:
        DiskError: as it was, with the size.
    """
    try:
        yield
    except DiskError as error:
        raise DiskError(f"{error} ({megabytes(size)} are wanted)") from None


def megabytes(size: float) -> str:
    """A size as a person reads it, rounded up: ``12.3 MB``; ``inf MB`` where there is no end."""
    return f"{math.ceil(size / 1e5) / 10 if math.isfinite(size) else size:.1f} MB"


class _Noting(io.FileIO):
    """Keeps what the system said first: a library that writes through it may tell another story (torch does)."""

    refused: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refused = self.refused or error
            raise


@contextmanager
def created(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
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
def whole(
    path: str | os.PathLike[str], *, folder: bool = False, replace: bool = True, over: bool = False
) -> Iterator[Path]:
    """Yield a hidden file or folder beside `path`, which gets that name when the block ends without an error.

    By then it is on the disk. Any number of processes may write one path at once: the last one wins. What a killed one
    leaves is in nobody's way, and `rspnet.temporary.sweep` removes it.

    Args:
        path: where it will be; folders above it are made.
        folder: whether it is a folder.
        replace: a file, or an empty folder, may have the name already.
        over: so may a folder that is not empty, which goes.

    Raises:
        FileExistsError: something has got the name by then, and is not to be replaced.
        DiskError, ConfigError: see `writing_to`.
    """
    path = Path(path)
    with writing_to(path), ExitStack() as stack:
        if path.parent.exists() and not path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = _begin(path, folder, stack)
        try:
            yield hidden
        except RSPNetError as error:  # the hidden name says nothing to anybody
            raise type(error)(str(error).replace(str(hidden), str(path))) from error
        _sync(hidden)
        put(hidden, path, over=over) if replace else put_new(hidden, path)
        fsync(path.parent)


def _begin(path: Path, folder: bool, stack: ExitStack) -> Path:
    """Make the hidden file or folder, and hold its lock as long as the stack lasts."""
    while True:
        hidden = temporary(path)
        try:
            hidden.mkdir() if folder else hidden.touch(exist_ok=False)
        except FileNotFoundError as error:  # a folder that takes no new names, as /proc
            raise refusal(path, error) from None
        try:
            stack.enter_context(locked(hidden))
        except (BlockingIOError, FileNotFoundError):  # another process was sweeping, and took it for a rest
            continue
        stack.callback(remove, hidden)
        if hidden.exists():
            return hidden


def _sync(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk; links are not followed."""
    if path.is_dir():
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_symlink():
                    _sync(Path(entry))
    fsync(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; one of this name is replaced.

    Raises:
        DiskError, ConfigError: see `writing_to`.
    """
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write one JSON file whole or not at all; see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
