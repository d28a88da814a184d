"""Hidden names of what is being written: how it gets its own in one move, and what becomes of what nobody finished."""

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
"""The names of `temporary`, with their machine."""

_ABANDONED = 24 * 3600.0
"""Seconds after which what another machine was writing is nobody's: it writes all the time."""

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
"""This machine, in temporary names: a lock may say nothing of processes on another one."""

_NO_REPLACE, _HERE = 1, -100  # RENAME_NOREPLACE of linux/fs.h, AT_FDCWD of fcntl.h
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
"""What a file system says of a kind of move that it does not know."""


def temporary(path: Path) -> Path:
    """A name beside `path` that no other process takes, and that is no longer than file systems allow."""
    name = os.fsencode(path.name)[:150].decode(errors="ignore")
    return path.with_name(f".{name}.{_HOST}-{secrets.token_hex(4)}.partial")


def put(new: Path, path: Path, *, over: bool) -> None:
    """Give a file or folder its name; what has that goes: a file, or an empty folder.

    Args:
        new: it, on the same disk.
        path: its name.
        over: a folder that has the name is set aside, and removed when the new one is in its place.

    Raises:
        OSError: the system refuses; what had the name has it still.
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
        shutil.rmtree(aside, ignore_errors=True)  # another process put one there meanwhile, and it is the later one
        with suppress(FileNotFoundError):
            path.rename(aside)
    if aside:
        shutil.rmtree(aside, ignore_errors=True)


def put_new(new: Path, path: Path) -> None:
    """Give a file or folder a name that nothing has, in one move: of several who try, one succeeds.

    A file system that knows no such move is looked at first, and then it is moved: of that a warning tells.

    Args:
        new: it, on the same disk; of a file, this name may stay.
        path: its name.

    Raises:
        FileExistsError: something has it.
        OSError: the system refuses.
    """
    moves = (_rename_new, os.rename) if new.is_dir() else (_rename_new, os.link)
    for move in moves:
        if move is os.rename:  # it takes the place of an empty folder, and of no other
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
    _log.warning("%s: its file system cannot refuse a name that is taken; let no other process write there", path)
    new.replace(path)


def _refuse_taken(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: exists")


def _rename_new(new: Path, path: Path) -> None:
    """Rename, unless something has the name (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(_HERE, os.fsencode(new), _HERE, os.fsencode(path), _NO_REPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(path))


def names_in(folder: str | os.PathLike[str]) -> set[str]:
    """The names in a folder, but for hidden ones of what is being written, or was by a process that was killed."""
    return {name for name in os.listdir(folder) if not _NAME.fullmatch(name)}


def sweep(*folders: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of what they were writing to these folders with `rspnet.disk.whole`.

    Of another machine (a container is one) only what nobody has touched for a day: its locks may not be seen here.
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
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
