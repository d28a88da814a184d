"""Run a function over many items in worker processes, none of which can stop the rest.

A media library may hang or crash on a broken file, and then takes its process with it. So every item runs in a worker
that is killed past a time limit and replaced, and a worker that dies costs the one item it was at.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

from rspnet.errors import ConfigError

Item = TypeVar("Item")

_PATIENCE = 10.0
"""Seconds to wait for the end of a process that was killed: one that hangs in the kernel (a network disk that does not
answer) does not die before the call returns."""

_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM)
"""Signals that may go to a whole group of processes (Ctrl-C, a batch system that ends a job): the parent decides."""


@dataclass(frozen=True)
class Ready(Generic[Item]):
    """An item that needs no worker: it comes out in its turn, with this result."""

    item: Item
    result: Any


class Failure(str):
    """Why an item has no result, as one sentence.

    Attributes:
        kind: "timeout", "crash" (its process died) or "error" (the function raised).
    """

    kind: Literal["timeout", "crash", "error"]

    def __new__(cls, kind: Literal["timeout", "crash", "error"], text: str) -> "Failure":
        """Make the text, with its kind."""
        failure = super().__new__(cls, text)
        failure.kind = kind
        return failure


def run_parallel(
    function: Callable[[Item], Any], items: Iterable[Item | Ready[Item]], jobs: int, time_limit: float
) -> Iterator[tuple[Item, Any]]:
    """Yield ``(item, result)`` for every item, in the order of the items, so that output is the same for any `jobs`.

    In place of a result stands a `Failure` where the function raised, took too long or killed its process. Items are
    taken from the iterable as workers become free. Leaving the loop early, by Ctrl-C too, kills the workers at once.

    Args:
        function: a module-level function; it, the items and the results are pickled.
        items: what to call it with; a `Ready` one is handed out as it is.
        jobs: number of worker processes.
        time_limit: seconds one item may take.

    Raises:
        ConfigError: jobs or time_limit is not positive.
        RuntimeError: a worker cannot even start (its imports fail).
    """
    if jobs < 1 or time_limit <= 0:
        raise ConfigError(f"jobs: {jobs}, time_limit: {time_limit}; both must be positive")
    queue = enumerate(items)
    upcoming = next(queue, None)
    finished: dict[int, tuple[Item, Any]] = {}
    position = 0
    workers: dict[Connection, _Worker] = {}
    try:
        while True:
            while position in finished:
                yield finished.pop(position)
                position += 1
            if upcoming and isinstance(upcoming[1], Ready):
                number, ready = upcoming
                finished[number] = ready.item, ready.result
            elif upcoming and (worker := _idle(workers, function, jobs)):
                worker.assign(upcoming, time_limit)
            elif any(worker.task for worker in workers.values()):
                for (number, item), outcome in _settled(workers, time_limit):
                    finished[number] = item, outcome
                continue
            else:
                return
            upcoming = next(queue, None)
    finally:
        with _interrupt_later():
            for worker in workers.values():
                worker.kill()


def _idle(workers: "dict[Connection, _Worker]", function: Callable, jobs: int) -> "_Worker | None":
    """A worker without a task, a new one where there are fewer than `jobs`; None where all are busy."""
    for worker in workers.values():
        if not worker.task:
            return worker
    if len(workers) == jobs:
        return None
    with _interrupt_later():  # one that is started is also known, and so ended
        worker = _Worker(function)
        workers[worker.pipe] = worker
    return worker


def _settled(workers: "dict[Connection, _Worker]", time_limit: float) -> Iterator[tuple[tuple[int, Any], Any]]:
    """Wait for answers or the end of somebody's time; yield tasks with their outcomes. The dead leave `workers`."""
    busy = {pipe: worker for pipe, worker in workers.items() if worker.task}
    nearest = min(worker.deadline for worker in busy.values())
    answered = wait(list(busy), timeout=max(0.0, min(nearest - time.monotonic(), 3600.0)))
    for pipe, worker in busy.items():
        if pipe in answered:
            outcome = worker.collect(time_limit)
            if outcome is None:
                continue
        elif time.monotonic() >= worker.deadline:
            outcome = Failure("timeout", f"not done after {time_limit:g} s")
        else:
            continue
        yield worker.task, outcome
        worker.task = None
        if isinstance(outcome, Failure) and outcome.kind != "error":
            workers.pop(pipe).kill()


@contextlib.contextmanager
def _interrupt_later() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block.

    Blocking the signal is not enough: another thread (a progress bar's) may take it, and Python would still raise in
    this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    # A handler that is not Python's could not be put back; where Python is ending there is none any more.
    held = [each for each in _FOR_THE_PARENT if signal.getsignal(each) is not None]
    before = {each: signal.signal(each, lambda *signalled: came.append(signalled)) for each in held}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number, frame in came[:1]:
            if callable(before[number]):
                before[number](number, frame)
            else:
                signal.raise_signal(number)


class _Worker:
    """A process, the item it is at, and when that must be done."""

    def __init__(self, function: Callable) -> None:
        # Not fork: the parent may hold threads and open media files.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        # These signals are for the parent, which kills its workers: they inherit that they are blocked. Starting a
        # process starts multiprocessing's resource tracker first if it is not there, which would lift the block.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        atexit.register(self.process.kill)  # multiprocessing would send SIGTERM there, and wait for ever
        theirs.close()
        self.started = False
        self.task: tuple[int, Any] | None = None
        self.deadline = float("inf")

    def assign(self, task: tuple[int, Any], time_limit: float) -> None:
        self.task = task
        # Starting (imports, on a busy machine) is not counted against the first item: see `collect`.
        self.deadline = time.monotonic() + time_limit if self.started else float("inf")
        with contextlib.suppress(OSError):  # died while idle: `collect` will see it
            self.pipe.send(task[1])

    def collect(self, time_limit: float) -> Any:
        """What the worker sent: the outcome of its task, or None where it has only just started."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(5)
            text = f"its process died (exit code {self.process.exitcode})"
            if not self.started:
                raise RuntimeError(f"a worker process could not start: {text}; see its message above") from None
            return Failure("crash", text)
        if not self.started:
            self.started = True
            self.deadline = time.monotonic() + time_limit
            return None
        return message[0] if len(message) == 1 else Failure(*message)

    def kill(self) -> None:
        atexit.unregister(self.process.kill)
        self.process.kill()
        self.process.join(_PATIENCE)
        self.pipe.close()  # not before: the worker would take it for a fault
        if self.process.exitcode is not None:
            self.process.close()


def _serve(pipe: Connection, function: Callable) -> None:
    """A worker: it lives as long as its parent, and answers until nobody asks."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    _converse(pipe, function)


def _converse(pipe: Connection, function: Callable) -> None:
    """Answer every item from the pipe with ``(result,)`` or ``(kind, text)``, until the other end is closed."""
    with contextlib.suppress(EOFError, OSError):  # closed, with or without something unread in it
        pipe.send("started")
        while True:
            item = pipe.recv()
            try:
                answer = ForkingPickler.dumps((function(item),))
            except Exception as error:  # of the function, or of a result that cannot be pickled
                text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                answer = ForkingPickler.dumps(("error", text))
            pipe.send_bytes(answer)


def _follow_parent() -> None:
    """End this process with its parent, even a killed one, and even while a library call hangs."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
