"""What Python has on Linux and not on macOS, taken away: as near to a Mac as a test gets without one."""

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
    """From this process, for good; a test does the same with monkeypatch."""
    for module, name in LINUX_ONLY:
        if hasattr(module, name):
            delattr(module, name)
