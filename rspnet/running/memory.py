"""Keep freed memory for reuse, in work on a CPU."""

import contextlib
import ctypes

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let this process, and those it forks, keep memory that their main threads free, until they end.

    glibc gives large blocks back to the system at once, and requests others a moment later, whose pages the kernel has
    to fill with zeros first. A training step on a CPU frees and allocates the same sizes over and over: without this it
    took 1.25 to 1.33 times as long on a virtual machine (benchmarks/train_step.py). Does nothing without glibc.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
