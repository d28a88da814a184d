"""One process at a time at a file or folder, also where the file system has no locks (Lustre without them, NFS).

Not filelock (4.3.1): of file systems without locks it knows ENOSYS alone, where a lock file that stayed from an earlier
run holds it off for ever; ENOLCK ends it.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # EACCES: file systems that make flock of another kind of lock


@contextmanager
def exclusive(descriptor: int) -> Iterator[str | None]:
    """Hold the lock of an open file or folder, which goes with the process however that ends.

    Where the file system cannot lock, a name that the machine's kernel keeps stands in for it: it holds off the other
    processes of this machine, and not those of another one.

    Args:
        descriptor: of the file; of one that is open for writing where it may lie on a network disk.

    Yields:
        None, or what the system says of locks where there are none.

    Raises:
        BlockingIOError: another live process has it.
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
    """Hold the lock of an open file beside others who hold it so: none of them lets `exclusive` have it.

    Where the file system cannot lock, nobody is held off.

    Args:
        descriptor: as for `exclusive`.

    Raises:
        BlockingIOError: another live process has it for itself.
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
    """Hold the lock of a file or folder that is there; see `exclusive`.

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
    """Whether an open file still has its name; who held it before may have removed it."""
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
        # Other systems than Linux have no such names; then nothing is held off.
