"""A process that answers one item after another, and can be lost at any moment without harm to the others."""

import atexit
import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Generic, Literal, TypeVar

from rspnet.errors import MachineError
from rspnet.processes import follow_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE = 10.0
"""Seconds to wait for the end of a process that was killed: one that hangs in the kernel (a network disk that does not
answer) does not die before its system call returns."""

_START = 300.0
"""Seconds that the start of a process may take: imports, on a busy machine with a network disk."""


@dataclass(frozen=True)
class Failure:
    """Why an item has no result: its process died ("crash"), the function raised ("error"), or it took too long."""

    kind: Literal["timeout", "crash", "error"]
    text: str


class Worker(Generic[Item, Result]):
    """A process, and the item that it works on.

    Attributes:
        item: what it works on, or worked on last.
        outcome: where the result of that item goes; None while it has no item.
        deadline: when the process must have started, or the result be there, by time.monotonic().
        started: whether the process has reported that it started.
        lost: whether the process died, or is too late.
    """

    item: Item

    def __init__(self, function: Callable[[Item], Result], time_limit: float) -> None:
        """Start the process; in `rspnet.processes.uninterrupted`, until the caller has noted the worker, to kill it."""
        context = multiprocessing.get_context("spawn")  # not fork: the parent may hold threads and open media files
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        atexit.register(self.process.kill)  # multiprocessing would send SIGTERM at exit, and wait for ever
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
        """Take what it sent: that it has started, or the result of its item; or notice that it is lost."""
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
        """In words, why its process was lost."""
        code = self.process.exitcode
        return f"its process did not start in {_START:g} s" if code is None else f"its process died (exit code {code})"

    def is_alive(self) -> bool:
        """Return whether its process is alive."""
        return self.process.is_alive()

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL, which only others send."""
        return self.process.exitcode == -signal.SIGKILL

    def end(self, result: Result | Failure | MachineError) -> None:
        """Hand over the result of the item; a MachineError is raised where the result is taken."""
        if isinstance(result, MachineError):
            if self.outcome:
                self.outcome.set_exception(result)
        elif self.outcome:
            self.outcome.set_result(result)
        self.outcome = None

    def kill(self) -> None:
        """Kill the process, whatever it is doing; to call this again is harmless."""
        atexit.unregister(self.process.kill)
        self.process.kill()
        self.process.join(_PATIENCE)
        self.pipe.close()  # not before: the worker would take it for a fault


def _serve(pipe: Connection, function: Callable[[Item], Result]) -> None:
    """The process: it answers until its pipe is closed, and ends with its parent."""
    threading.Thread(target=follow_parent, daemon=True).start()
    _converse(pipe, function)


def _converse(pipe: Connection, function: Callable[[Item], Result]) -> None:
    """Answer every item from the pipe with the function's result or a `Failure`, until the other end is closed."""
    with contextlib.suppress(EOFError, OSError):  # closed, with or without something unread in it
        pipe.send("started")
        while True:
            item = pipe.recv()
            try:
                answer = ForkingPickler.dumps(function(item))
            except MachineError as error:  # all that follow would fail as well
                answer = ForkingPickler.dumps(error)
            except Exception as error:  # of the function, or of a result that cannot be pickled
                text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                answer = ForkingPickler.dumps(Failure("error", text))
            pipe.send_bytes(answer)
