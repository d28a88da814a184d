"""What a machine lacks, as an error tells it: no fault of the file that was being read, nor of an option."""

import contextlib
import errno
import math
import mmap
import os

from rspnet.errors import ConfigError, MachineError

_WORDS = {
    errno.EMFILE: "this process may open no more files; raise `ulimit -n`",
    errno.ENFILE: "this machine has too many files open; wait",
    errno.EAGAIN: "this user may start no more processes or threads; raise `ulimit -u`",
    errno.ENOMEM: "this machine, or `ulimit -v`, has no memory left for another process; free some",
}
_FOR_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_A_FILES_SHARE = 256 * 2**20
"""Bytes that reading no sound file takes at once: one that asks for more has itself to blame."""


def limit(error: Exception) -> str | None:
    """Which of the system's limits an error tells of, and what to do; None if it is another error."""
    if isinstance(error, OSError) and not hasattr(error, "characters_written"):  # a stream that would block has it
        return _WORDS.get(error.errno or 0)
    return _WORDS[errno.EAGAIN] if str(error) == "can't start new thread" else None


def lacking(error: Exception) -> str | None:
    """What a file could not be opened or read for want of, and what to do; None where the machine lacks nothing.

    Args:
        error: what it ended with, of Python's or of PyAV's.
    """
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    if number in _FOR_FILES and (number != errno.ENOMEM or not _has_memory()):
        return f"{_WORDS[number]}, or use fewer processes"
    return None


def blame_machine(path: str, error: Exception) -> None:
    """See that it was not for want of files or memory that a file could not be read.

    Args:
        path: the file.
        error: as for `lacking`.

    Raises:
        MachineError: it was.
    """
    if isinstance(error, MachineError):
        raise error
    if said := lacking(error):
        raise MachineError(f"{path}: cannot be read: {said}") from None


def machine_memory() -> float:
    """Bytes that all processes of this machine, or container, have together; infinite where it does not tell."""
    try:
        total: float = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        total = math.inf
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(path) as file:  # no such file, or `max`: there is no limit
            total = min(total, int(file.read()))
    return total


def check_fits(size: float, options: str) -> None:
    """Refuse what the memory of the whole machine could not hold, before the system would kill who asks for it.

    Args:
        size: bytes.
        options: what asks for them, with its name in front.

    Raises:
        ConfigError: it could not.
    """
    if size > (there := machine_memory()):
        raise ConfigError(f"{options} {size / 1e9:.1f} GB of memory, and this machine has {there / 1e9:.1f}; lower it")


def _has_memory() -> bool:
    """Whether there is memory for what a file may ask for, so that it asked for more."""
    try:
        mmap.mmap(-1, _A_FILES_SHARE).close()
    except (OSError, ValueError, MemoryError):
        return False
    return True
