"""Locks that let one process at a time use a file or folder, even on file systems without locks (some Lustre, NFS).

Why not filelock (4.3.1): among the errors of file systems without locks it handles only ENOSYS, by a lock file that
blocks it for ever if an earlier run left it behind, and it fails with ENOLCK.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # EACCES: file systems that emulate flock by fcntl's locks


@contextmanager
def exclusive(descriptor: int) -> Iterator[str | None]:
    """Hold the exclusive lock of an open file or folder; it is released when the process ends, in whatever way.

    If the file system has no locks, the name of a socket in the kernel takes their place: it excludes other processes
    on this machine, but not those on other machines.

    Args:
        descriptor: of the file or folder; a file that may be on a network disk must be open for writing.

    Yields:
        None, or the system's error message if the file system has no locks.

    Raises:
        BlockingIOError: another live process holds the lock.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stand_in:
        lacking = None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise BlockingIOError from None
            lacking = error.strerror
            _bind(stand_in, descriptor)
        try:
            yield lacking
        finally:
            if lacking is None:
                fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def shared(descriptor: int) -> Iterator[None]:
    """Hold a shared lock of an open file: any number of processes may, but none can have the `exclusive` one meanwhile.

    If the file system has no locks, no process is excluded.

    Args:
        descriptor: as for `exclusive`.

    Raises:
        BlockingIOError: another live process holds the exclusive lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise BlockingIOError from None
        yield
        return
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[str | None]:
    """Hold the lock of an existing file or folder; see `exclusive`.

    Raises:
        BlockingIOError: another live process holds it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY if Path(path).is_dir() else os.O_RDWR)
    try:
        with exclusive(descriptor) as lacking:
            yield lacking
    finally:
        os.close(descriptor)


def is_still(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Whether an open file still has its name; a process that held its lock earlier may have removed it."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(facts, os.fstat(descriptor))


def _bind(stand_in: socket.socket, descriptor: int) -> None:
    facts = os.fstat(descriptor)
    try:
        stand_in.bind(f"\0rspnet-lock-{facts.st_dev}-{facts.st_ino}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BlockingIOError from None
        # Systems other than Linux have no such socket names; then no process is excluded.
