"""Helpers for worker processes: they are not interrupted while they start, end with their parent, and leave nothing."""

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
"""Seconds between two checks of a waiting process whether the other one still exists."""


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay the signals that end a program until the end of the block; processes started in it never receive them.

    Such a signal may go to a whole group of processes (Ctrl-C, a batch system that ends a job), but the parent is to
    decide: a process that is started here inherits the mask that blocks them. In this process the mask is not enough:
    another thread (a progress bar's) may receive the signal, and Python would still raise in the main one.
    """
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    # A handler that was not installed by Python (None) could not be restored; while Python exits all are None.
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
    """Make multiprocessing's temporary folder in this process, to be shared by those that it starts.

    A killed process could not remove a folder of its own. This one is removed when this process ends, or by
    `remove_folder`.
    """
    _make_folder()
    atexit.unregister(_make_folder)
    atexit.register(_make_folder)  # Python removes it at exit, and complains if it has been removed before


def _make_folder() -> None:
    os.makedirs(get_temp_dir(), mode=0o700, exist_ok=True)


def remove_folder() -> None:
    """Remove the shared folder, for a process that ends without the usual clean-up."""
    with contextlib.suppress(OSError):
        shutil.rmtree(get_temp_dir(), ignore_errors=True)


def follow_parent() -> None:
    """End this process when its parent ends, even if that is killed or a library call hangs here; runs in a thread."""
    if parent := multiprocessing.parent_process():
        # Siblings of a forked process may keep the parent's sentinel open, so the parent's process id is checked too.
        is_child = os.getppid() == parent.pid
        while not wait([parent.sentinel], LOOK) and not (is_child and os.getppid() != parent.pid):
            pass
    remove_folder()
    os._exit(1)
