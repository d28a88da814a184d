"""One process at a time at a file, also where the file system has no locks (Lustre without them, NFS without lockd).

Not filelock (4.3.1): of file systems without locks it knows ENOSYS alone, where a lock file that stayed from an earlier
run holds it off for ever; ENOLCK ends it.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # EACCES: file systems that make flock of another kind of lock


@contextmanager
def exclusive(file: IO[str] | IO[bytes]) -> Iterator[str | None]:
    """Hold an open file's lock, which goes with the process however that ends.

    Where the file system cannot lock, a name that the machine's kernel keeps stands in for it: it holds off the other
    processes of this machine, and not those of another one.

    Yields:
        None, or what the system says of locks where there are none.

    Raises:
        BlockingIOError: another live process has it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stand_in:
        lacking = None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise BlockingIOError from None
            lacking = error.strerror
            _bind(stand_in, file)
        try:
            yield lacking
        finally:
            if lacking is None:
                fcntl.flock(file, fcntl.LOCK_UN)


def _bind(stand_in: socket.socket, file: IO[str] | IO[bytes]) -> None:
    facts = os.fstat(file.fileno())
    try:
        stand_in.bind(f"\0rspnet-lock-{facts.st_dev}-{facts.st_ino}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BlockingIOError from None
        # Other systems than Linux have no such names; then nothing is held off.
