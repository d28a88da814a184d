"""What processes that work for another have in common: they start undisturbed, end with it, and leave nothing."""

import atexit
import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.util import get_temp_dir

from rspnet.signals import ENDING

LOOK = 2.0
"""Seconds after which a process that waits for another looks whether that is still there."""


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the signals that end a program wait for the end of the block; a process started in it never gets them.

    They may go to a whole group of processes (Ctrl-C, a batch system that ends a job), and the parent decides: a
    process that is started here inherits that they are blocked. In this process that is not enough: another thread (a
    progress bar's) may take the signal, and Python would still raise in the main one.
    """
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    # A handler that is not Python's could not be put back; where Python is ending there is none any more.
    held = [each for each in ENDING if is_main and signal.getsignal(each) is not None]
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in held}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each, handler in before.items():
            signal.signal(each, handler)
        if came:
            signal.raise_signal(came[0])


def share_folder() -> None:
    """Make the folder for sockets in this process, for all that it starts: one that is killed could not remove its own.

    It goes when this process ends, or by `remove_folder`.
    """
    _make_folder()
    atexit.unregister(_make_folder)
    atexit.register(_make_folder)  # Python, which removes it then, complains where somebody has cleared the place


def _make_folder() -> None:
    os.makedirs(get_temp_dir(), mode=0o700, exist_ok=True)


def remove_folder() -> None:
    """Remove it, where the usual end does not come."""
    with contextlib.suppress(OSError):
        shutil.rmtree(get_temp_dir(), ignore_errors=True)


def follow_parent() -> None:
    """End this process with its parent, even a killed one, and even while a library call hangs; for a thread."""
    if parent := multiprocessing.parent_process():
        # A forked one's sisters may hold what tells of the parent's end.
        is_child = os.getppid() == parent.pid
        while not wait([parent.sentinel], LOOK) and not (is_child and os.getppid() != parent.pid):
            pass
    remove_folder()
    os._exit(1)
