"""Remove what Python has on Linux but not on macOS, to test as closely to a Mac as is possible without one."""

import os
import select
import signal

LINUX_ONLY = (
    *((os, name) for name in ("sched_getaffinity", "sched_setaffinity", "memfd_create", "copy_file_range", "eventfd")),
    *((os, name) for name in ("posix_fadvise", "posix_fallocate", "pidfd_open", "pipe2", "splice")),
    *((signal, name) for name in ("sigwaitinfo", "sigtimedwait", "pidfd_send_signal")),
    (select, "epoll"),
)


def take_away() -> None:
    """Remove it from this process for good; within a test, monkeypatch does the same."""
    for module, name in LINUX_ONLY:
        if hasattr(module, name):
            delattr(module, name)
