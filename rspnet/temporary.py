"""Hidden names for files being written: how they get their final name in one move, and how leftovers are removed."""

import ctypes
import errno
import logging
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from pathlib import Path

from rspnet.lock import locked

_log = logging.getLogger(__name__)

_NAME = re.compile(r"\..*\.([0-9a-f]{8})-[0-9a-f]{8}\.partial", re.DOTALL)
"""Names made by `temporary`; the group is the machine, as in `_HOST`."""

_ABANDONED = 24 * 3600.0
"""Seconds without a change after which what another machine was writing counts as abandoned."""

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
"""This machine, in temporary names: a lock may not show whether a process on another machine holds it."""

_NO_REPLACE, _HERE = 1, -100  # RENAME_NOREPLACE of linux/fs.h, AT_FDCWD of fcntl.h
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""Errors of a file system that does not support a kind of move."""


def temporary(path: Path) -> Path:
    """Return a name beside `path` that no other process uses and that is not too long for the file system."""
    name = os.fsencode(path.name)[:150].decode(errors="ignore")
    return path.with_name(f".{name}.{_HOST}-{secrets.token_hex(4)}.partial")


def put(new: Path, path: Path, *, over: bool) -> None:
    """Rename a file or folder, replacing a file or an empty folder that has the name.

    Args:
        new: the file or folder, on the same disk.
        path: its new name.
        over: replace also a folder that is not empty: it is set aside, and removed when the new one is in its place.

    Raises:
        OSError: the system refuses; what had the name still has it.
    """
    aside: Path | None = None
    while True:
        try:
            new.replace(path)
        except OSError as error:
            if not over or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                if aside and not os.path.lexists(path):
                    aside.rename(path)
                raise
        else:
            break
        aside = aside or temporary(path)
        shutil.rmtree(aside, ignore_errors=True)  # set aside before another process put its own there
        with suppress(FileNotFoundError):
            path.rename(aside)
    if aside:
        shutil.rmtree(aside, ignore_errors=True)


def put_new(new: Path, path: Path) -> None:
    """Give a file or folder a name that nothing has yet, in one move: of several processes that try, one succeeds.

    If the file system supports no such move, the name is checked first and then given in a second step; for a file, a
    warning says so.

    Args:
        new: the file or folder, on the same disk; the old name of a file may stay.
        path: its new name.

    Raises:
        FileExistsError: something has that name.
        OSError: the system refuses.
    """
    moves = (_rename_new, os.rename) if new.is_dir() else (_rename_new, os.link)
    for move in moves:
        if move is os.rename:  # which replaces an empty folder, but no other
            _refuse_taken(path)
        try:
            move(new, path)
        except FileExistsError:
            raise FileExistsError(f"{path}: exists") from None
        except OSError as error:
            if error.errno == errno.ENOTEMPTY or (error.errno == errno.ENOTDIR and os.path.lexists(path)):
                raise FileExistsError(f"{path}: exists") from None
            if error.errno not in _CANNOT or move is os.rename:
                raise
        else:
            return
    _refuse_taken(path)
    _log.warning("%s: its file system cannot rename without replacing; let no other process write there", path)
    new.replace(path)


def _refuse_taken(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: exists")


def _rename_new(new: Path, path: Path) -> None:
    """Rename, but fail if something has the name (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(_HERE, os.fsencode(new), _HERE, os.fsencode(path), _NO_REPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(path))


def names_in(folder: str | os.PathLike[str]) -> set[str]:
    """Return the names in a folder, without the hidden ones of files being written or left by killed processes."""
    return {name for name in os.listdir(folder) if not _NAME.fullmatch(name)}


def sweep(*folders: str | os.PathLike[str]) -> None:
    """Remove from these folders what killed processes left while they were writing with `rspnet.disk.whole`.

    Leftovers of another machine (or container) are removed only if they have not changed for a day, because its locks
    may not be visible here.
    """
    for folder in folders:
        for rest in Path(folder).glob(".*.partial"):
            with suppress(OSError):
                host = _NAME.fullmatch(rest.name)
                is_old = time.time() - rest.lstat().st_mtime > _ABANDONED
                if host and (host[1] == _HOST or is_old):
                    with locked(rest):
                        remove(rest)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
