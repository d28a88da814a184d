"""Recognise errors that come from a lack of memory, files or processes, and not from the file or an option."""

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
"""Bytes, more than reading a sound file takes at once: if so much is free, a failure is the file's own fault."""


def limit(error: Exception) -> str | None:
    """Return which of the system's limits caused an error, and what to do; None if it is another error."""
    if isinstance(error, OSError) and not hasattr(error, "characters_written"):  # which a stream that would block sets
        return _WORDS.get(error.errno or 0)
    return _WORDS[errno.EAGAIN] if str(error) == "can't start new thread" else None


def lacking(error: Exception) -> str | None:
    """Return what the machine lacked to open or read a file, and what to do; None if it lacked nothing.

    Args:
        error: the exception, Python's or PyAV's.
    """
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    if number in _FOR_FILES and (number != errno.ENOMEM or not _has_memory()):
        return f"{_WORDS[number]}, or use fewer processes"
    return None


def blame_machine(path: str, error: Exception) -> None:
    """Raise MachineError if a file could not be read because the machine lacks files or memory.

    Args:
        path: the file.
        error: as for `lacking`; a MachineError is raised again.

    Raises:
        MachineError: the machine lacks files or memory.
    """
    if isinstance(error, MachineError):
        raise error
    if said := lacking(error):
        raise MachineError(f"{path}: cannot be read: {said}") from None


def machine_memory() -> float:
    """Return the bytes of memory of this machine, or of its container; infinite if the system does not say."""
    try:
        total: float = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        total = math.inf
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(path) as file:  # no such file, or `max`: no limit
            total = min(total, int(file.read()))
    return total


def check_fits(size: float, options: str) -> None:
    """Refuse to use more memory than the whole machine has, before the system kills the process for it.

    Args:
        size: bytes.
        options: start of the message: the options that ask for so much, and a verb.

    Raises:
        ConfigError: the machine has less.
    """
    if size > (there := machine_memory()):
        raise ConfigError(f"{options} {size / 1e9:.1f} GB of memory, and this machine has {there / 1e9:.1f}; lower it")


def _has_memory() -> bool:
    """Whether there is memory enough for any sound file, so that the file asked for too much."""
    try:
        mmap.mmap(-1, _A_FILES_SHARE).close()
    except (OSError, ValueError, MemoryError):
        return False
    return True
