"""Ending a program on Ctrl-C, on a scheduler's signal or with its launcher, and making sure that it does end."""

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
"""Seconds that a program may take to end by itself after a second Ctrl-C, or once it has begun to end."""

_LOOK = 1.0  # seconds between two checks for the launcher
_ONE_PRESS = 0.3  # seconds in which a second SIGINT is the same Ctrl-C: a process being forked passes its own on
_LAUNCHERS = ("accelerate", "accelerate-launch", "torchrun")
_LAUNCHING_MODULES = ("accelerate.", "torch.distributed.")


_told = -math.inf  # when it was told to end, by time.monotonic()


class TerminatedError(KeyboardInterrupt):
    """A scheduler's signal came, or the launcher has ended."""


@contextmanager
def ending_when_told() -> Iterator[None]:
    """Let each of `rspnet.signals.ENDING` end the block like Ctrl-C, and a second Ctrl-C end the program in seconds.

    The latter works even if the main thread waits in a library that handles no signals. A signal that is ignored
    already (SIGHUP under nohup) stays ignored. If a launcher started this program, the launcher's end counts as
    SIGTERM: otherwise the program would run on alone.
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
        os.write(writer, b"\0")  # closing it is not enough: a forked process may hold it open
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
    """Whether this program was told to end a moment ago, so that an error may come from the interrupt.

    A library may turn an interrupt into an error of its own, as an interrupted import of torch does.
    """
    return time.monotonic() - _told < GRACE


def be_deaf() -> None:
    """Ignore `rspnet.signals.ENDING` while the program ends; `ending_when_told` goes on counting Ctrl-C."""
    for number in heard():
        signal.signal(number, lambda *_: None)


def quieten_threads() -> None:
    """Print no traceback of a thread if the program was told to end, or if the thread's write failed at a disk.

    The latter error reaches the caller, too, which reports it (tensorboard's writer).
    """
    loud = threading.excepthook

    def speak(args: threading.ExceptHookArgs) -> None:
        is_refused = isinstance(args.exc_value, OSError) and args.exc_value.errno in FAULTS
        if not (is_refused or was_just_told()):
            loud(args)

    threading.excepthook = speak


def launcher() -> int | None:
    """Return the id of the process that started this one if it is accelerate or torchrun; None if not, or unknown."""
    parent = os.getppid()
    try:
        words = Path(f"/proc/{parent}/cmdline").read_bytes().decode(errors="replace").split("\0")[:3]
    except OSError:  # not on macOS
        return None
    is_one = any(os.path.basename(word) in _LAUNCHERS or word.startswith(_LAUNCHING_MODULES) for word in words)
    return parent if is_one else None


def _watch(reader: int, launcher: int | None) -> None:
    """Count Ctrl-C as the system delivers it, and check that the launcher is there, until a zero byte comes."""
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
    """End this process like Python, but without tearing torch down, which may take as long as a training step.

    Takes `GRACE` seconds at most, even if something hangs in the kernel.
    """
    be_deaf()
    kill_children()
    leave_soon()
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):  # its reader is gone
            stream.flush()
    os._exit(INTERRUPTED)


def leave_soon() -> None:
    """End this process in `GRACE` seconds, whatever it is waiting for then."""
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
    """Kill this process's child processes; Python would only ask them to end, and wait for one that is stopped."""
    for child in multiprocessing.active_children():
        with suppress(Exception):  # it may have ended by itself
            child.kill()
