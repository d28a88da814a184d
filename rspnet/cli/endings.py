"""How a program is told to end: by Ctrl-C, by a scheduler, by the end of its launcher; and that it does end then."""

import atexit
import math
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from rspnet.console import say
from rspnet.disk import FAULTS
from rspnet.processes import remove_folder
from rspnet.signals import INTERRUPTED, heard

GRACE = 5.0
"""Seconds that a program may take to end by itself when it was told twice, or has said that it ends."""

_LOOK = 1.0  # seconds between two looks for the launcher
_ONE_PRESS = 0.3  # seconds in which a second SIGINT is the same Ctrl-C: a process that is being forked passes its on
_LAUNCHERS = ("accelerate", "accelerate-launch", "torchrun")
_LAUNCHING_MODULES = ("accelerate.", "torch.distributed.")


_told = -math.inf  # when it was told to end, by time.monotonic()


class TerminatedError(KeyboardInterrupt):
    """A scheduler's word came, or the launcher has gone."""


@contextmanager
def ending_when_told() -> Iterator[None]:
    """Let each of `ENDING` end the block as Ctrl-C does, and a second Ctrl-C end the program within seconds.

    That is also where the main thread waits in a library and hears nothing. A signal that is ignored already (nohup's
    SIGHUP) stays so. Where a launcher started this program, its end is taken for SIGTERM: it would be left alone.
    """
    before = {number: signal.signal(number, _interrupt) for number in heard()}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, launcher()), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        os.write(writer, b"\0")  # to close it is not enough: a forked process may hold it
        watch.join()
        os.close(reader)
        os.close(writer)
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _: object) -> NoReturn:
    global _told
    _told = time.monotonic()
    raise KeyboardInterrupt if number == signal.SIGINT else TerminatedError


def was_just_told() -> bool:
    """Whether this program was told to end a moment ago: what fails now may have been interrupted.

    A library may make an error of its own out of an interrupt, as half an import of torch does.
    """
    return time.monotonic() - _told < GRACE


def be_deaf() -> None:
    """Let nothing of `ENDING` disturb a program that ends; `ending_when_told` goes on counting Ctrl-C."""
    for number in heard():
        signal.signal(number, lambda *_: None)


def quieten_threads() -> None:
    """No traceback of a thread in a program that was told to end, nor of one that a disk refuses.

    Of the latter who gave it the work is told, and says so (tensorboard's writer).
    """
    loud = threading.excepthook

    def speak(args: threading.ExceptHookArgs) -> None:
        is_refused = isinstance(args.exc_value, OSError) and args.exc_value.errno in FAULTS
        if not (is_refused or was_just_told()):
            loud(args)

    threading.excepthook = speak


def launcher() -> int | None:
    """The process that started this one, if it is accelerate or torchrun; None: a shell, for example, may go first."""
    parent = os.getppid()
    try:
        words = Path(f"/proc/{parent}/cmdline").read_bytes().decode(errors="replace").split("\0")[:3]
    except OSError:  # not on macOS
        return None
    is_one = any(os.path.basename(word) in _LAUNCHERS or word.startswith(_LAUNCHING_MODULES) for word in words)
    return parent if is_one else None


def _watch(reader: int, launcher: int | None) -> None:
    """Count Ctrl-C as the system delivers it, and look whether the launcher is there, until a zero comes."""
    pressed, last = 0, 0.0
    while True:
        if select.select([reader], [], [], _LOOK)[0]:
            if 0 in (numbers := os.read(reader, 100)):
                return
            if signal.SIGINT in numbers and time.monotonic() - last > _ONE_PRESS:
                pressed, last = pressed + 1, time.monotonic()
            if pressed == 2:
                leave_soon()
        if launcher and os.getppid() != launcher:
            say("the launcher of this process has ended, and so does this one", everywhere=True)
            os.kill(os.getpid(), signal.SIGTERM)
            launcher = None


def leave() -> NoReturn:
    """End this process as Python does, but without its taking torch apart, which may last as long as a step.

    A process that hangs in the kernel is not waited for longer than `GRACE` seconds.
    """
    be_deaf()
    kill_children()
    leave_soon()
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):  # nobody listens any more
            stream.flush()
    os._exit(INTERRUPTED)


def leave_soon() -> None:
    """Let this process end in `GRACE` seconds, whatever it waits for by then."""
    timer = threading.Timer(GRACE, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> NoReturn:
    try:
        kill_children()
        remove_folder()
    finally:
        os._exit(INTERRUPTED)


def kill_children() -> None:
    """End the processes that work for this one; Python would ask them to, and wait for one that is stopped."""
    for child in multiprocessing.active_children():
        with suppress(Exception):  # it may be gone by itself
            child.kill()
