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
        """Start the process; inside `rspnet.processes.uninterrupted`, and known to who kills it when that ends."""
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

    def end(self, result: Result | Failure | MachineError) -> None:
        """Hand over what came of the item; a shortage is raised where that is taken."""
        if isinstance(result, MachineError):
            if self.outcome:
                self.outcome.set_exception(result)
        elif self.outcome:
            self.outcome.set_result(result)
        self.outcome = None

    def kill(self) -> None:
        """End the process, whatever it is at; once more is harmless."""
        atexit.unregister(self.process.kill)
        self.process.kill()
        self.process.join(_PATIENCE)
        self.pipe.close()  # not before: the worker would take it for a fault


def _serve(pipe: Connection, function: Callable[[Item], Result]) -> None:
    """A worker: it lives as long as its parent, and answers until nobody asks."""
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
