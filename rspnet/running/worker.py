"""A process that answers one item after another, and can be lost at any moment without harm to the others."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Generic, Literal, TypeVar

from rspnet.signals import ENDING

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE = 10.0
"""Seconds to wait for the end of a process that was killed: one that hangs in the kernel (a network disk that does not
answer) does not die before the call returns."""

_START = 300.0
"""Seconds that the start of a process may take: imports, on a busy machine with a network disk."""


@dataclass(frozen=True)
class Failure:
    """Why an item has no result: its process died ("crash"), the function raised ("error"), or it took too long."""

    kind: Literal["timeout", "crash", "error"]
    text: str


class Worker(Generic[Item, Result]):
    """A process, and the item that it is at.

    Attributes:
        item: what it is at, or was at last.
        outcome: where the result of that item goes; None while it is at none.
        deadline: when it must be there, by time.monotonic().
        started: whether it has ever spoken.
        lost: whether the process is gone.
    """

    item: Item

    def __init__(self, function: Callable[[Item], Result], time_limit: float) -> None:
        """Start the process; inside `uninterrupted`, and known to who kills it when that ends."""
        context = multiprocessing.get_context("spawn")  # not fork: the parent may hold threads and open media files
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        atexit.register(self.process.kill)  # multiprocessing would send SIGTERM there, and wait for ever
        theirs.close()
        self.time_limit, self.deadline = time_limit, time.monotonic() + _START
        self.outcome: Future[Result | Failure] | None = None
        self.started = self.lost = False

    def assign(self, item: Item, outcome: "Future[Result | Failure]") -> None:
        """Give it an item to work on."""
        self.item, self.outcome = item, outcome
        if self.started:  # starting (imports, on a busy machine) is not counted against the first item
            self.deadline = time.monotonic() + self.time_limit
        with contextlib.suppress(OSError):  # died while idle: `hear` will see it
            self.pipe.send(item)

    def hear(self) -> None:
        """Take what it sent: that it has started, or what came of its item; or see that it is lost."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(5)
            self.lost = True
            return
        if self.started:
            self.end(message)
        else:
            self.started, self.deadline = True, time.monotonic() + self.time_limit

    @property
    def fate(self) -> str:
        """What became of its process."""
        code = self.process.exitcode
        return f"its process did not start in {_START:g} s" if code is None else f"its process died (exit code {code})"

    def is_alive(self) -> bool:
        """Whether its process is there."""
        return self.process.is_alive()

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL, which no fault of its own sends."""
        return self.process.exitcode == -signal.SIGKILL

    def end(self, result: Result | Failure) -> None:
        """Hand over what came of the item."""
        if self.outcome:
            self.outcome.set_result(result)
        self.outcome = None

    def kill(self) -> None:
        """End the process, whatever it is at; once more is harmless."""
        atexit.unregister(self.process.kill)
        self.process.kill()
        self.process.join(_PATIENCE)
        self.pipe.close()  # not before: the worker would take it for a fault


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


def _serve(pipe: Connection, function: Callable[[Item], Result]) -> None:
    """A worker: it lives as long as its parent, and answers until nobody asks."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    _converse(pipe, function)


def _converse(pipe: Connection, function: Callable[[Item], Result]) -> None:
    """Answer every item from the pipe with the function's result or a `Failure`, until the other end is closed."""
    with contextlib.suppress(EOFError, OSError):  # closed, with or without something unread in it
        pipe.send("started")
        while True:
            item = pipe.recv()
            try:
                answer = ForkingPickler.dumps(function(item))
            except Exception as error:  # of the function, or of a result that cannot be pickled
                text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                answer = ForkingPickler.dumps(Failure("error", text))
            pipe.send_bytes(answer)


def _follow_parent() -> None:
    """End this process with its parent, even a killed one, and even while a library call hangs."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
    os._exit(1)
