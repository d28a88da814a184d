"""Run a function over many items in worker processes, none of which can stop the rest.

A media library may hang or crash on a broken file, and take its process with it. So every item runs in a worker that is
killed and replaced after a time limit. A worker that dies costs at most the item it was working on, and only if that
item kills another one while it runs alone.

Not pebble's ProcessPool (5.2.3): 50 lines around it kept the order, but its workers share one pipe under two locks, so
that one killed while it hands over a result stopped all others for two minutes, and then the pool broke. SIGTERM to the
process group ends its workers, and one that hangs outlives a killed parent; its public interface offers no remedy.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Generic

from rspnet.errors import ConfigError
from rspnet.processes import uninterrupted
from rspnet.running.worker import Failure, Item, Result, Worker

CRASHES, KILLS = 2, 3
"""Workers that an item may cost before it counts as a crash; KILLS if they were killed from outside (SIGKILL)."""
STARTS = 3
"""Workers in a row that may fail to start while no other worker runs."""


@dataclass(frozen=True)
class Ready(Generic[Item, Result]):
    """An item that needs no worker: it is yielded in its turn, with this result."""

    item: Item
    result: Result


def run_parallel(
    function: Callable[[Item], Result], items: Iterable[Item | Ready[Item, Result]], *, jobs: int, time_limit: float
) -> Generator[tuple[Item, Result | Failure], None, None]:
    """Yield ``(item, result)`` for every item, in the order of the items, so that output is the same for any `jobs`.

    The result is a `Failure` if the function raised, took too long or killed its process. Items are taken from the
    iterable as workers become free. Leaving the loop early, also by Ctrl-C, kills the workers at once.

    Args:
        function: a module-level function; it, the items and the results are pickled.
        items: what to call it with; a `Ready` item is passed through.
        jobs: number of worker processes.
        time_limit: seconds one item may take.

    Raises:
        ConfigError: jobs or time_limit is not positive.
        MachineError: the function raised it.
        RuntimeError: several workers in a row cannot even start (their imports fail).
    """
    if jobs < 1:
        raise ConfigError(f"jobs: {jobs}; it must be at least 1")
    if not time_limit > 0:
        raise ConfigError(f"time_limit: {time_limit}; it must be more than 0")
    tasks: deque[tuple[Item, Future[Result | Failure]]] = deque()  # in order, from the first that is not yielded yet
    crew = _Crew(function, jobs, time_limit)
    try:
        for item in items:
            outcome: Future[Result | Failure] = Future()
            if isinstance(item, Ready):
                outcome.set_result(item.result)
                tasks.append((item.item, outcome))
            else:
                while not crew.has_room():
                    crew.settle()
                    yield from _finished(tasks)
                tasks.append((item, outcome))
                crew.give(item, outcome)
            yield from _finished(tasks)
        while tasks:
            crew.settle()
            yield from _finished(tasks)
    finally:
        crew.end()


def _finished(tasks: "deque[tuple[Item, Future[Result | Failure]]]") -> Iterator[tuple[Item, Result | Failure]]:
    """Remove the finished tasks from the front, and yield them."""
    while tasks and tasks[0][1].done():
        item, outcome = tasks.popleft()
        yield item, outcome.result()


class _Crew(Generic[Item, Result]):
    """The workers, and the items whose worker died: each of these is tried again while no other item runs.

    The process that the system kills for lack of memory need not be the one that uses it, and anybody may kill one.
    """

    def __init__(self, function: Callable[[Item], Result], jobs: int, time_limit: float) -> None:
        self._function, self._jobs, self._time_limit = function, jobs, time_limit
        self._workers: list[Worker[Item, Result]] = []
        self._again: deque[tuple[Item, Future[Result | Failure]]] = deque()
        self._deaths: Counter[Future[Result | Failure]] = Counter()
        self._alone: Worker[Item, Result] | None = None
        self._failed_starts = 0

    def has_room(self) -> bool:
        """Return whether a worker can take an item."""
        taken = self._again or (self._alone and self._alone.outcome)
        return not taken and (len(self._workers) < self._jobs or any(not worker.outcome for worker in self._workers))

    def give(self, item: Item, outcome: "Future[Result | Failure]") -> "Worker[Item, Result]":
        """Give an item to an idle worker, or to a new one if none is idle."""
        worker = next((worker for worker in self._workers if not worker.outcome and worker.is_alive()), None)
        if worker is None:
            for gone in [worker for worker in self._workers if not worker.outcome]:
                self._dismiss(gone)
            resource_tracker.ensure_running()  # else starting a process does this, and unblocks the signals
            with uninterrupted():  # so that every started worker is listed, and killed in the end
                worker = Worker(self._function, self._time_limit)
                self._workers.append(worker)
        worker.assign(item, outcome)
        return worker

    def settle(self) -> None:
        """Wait until a worker answers, dies or exceeds its time limit, and deal with that."""
        busy = {worker.pipe: worker for worker in self._workers if worker.outcome}
        if self._again and not busy:
            self._alone = self.give(*self._again.popleft())
            busy = {self._alone.pipe: self._alone}
        nearest = min(worker.deadline for worker in busy.values())
        heard = wait(list(busy), timeout=max(0.0, min(nearest - time.monotonic(), 3600.0)))
        for pipe, worker in busy.items():
            if pipe in heard:
                worker.hear()
                self._failed_starts *= not worker.started
            elif time.monotonic() >= worker.deadline:
                worker.lost = True
                if worker.started:
                    worker.end(Failure("timeout", f"not done after {worker.time_limit:g} s"))
            if worker.lost:
                self._dismiss(worker)

    def _dismiss(self, worker: "Worker[Item, Result]") -> None:
        """Remove a lost worker, and try its item again or give it up."""
        fate, was_killed = worker.fate, worker.was_killed
        worker.kill()
        self._workers.remove(worker)
        outcome, worker.outcome = worker.outcome, None
        if outcome is None:
            return
        if not worker.started:
            self._failed_starts += worker is self._alone
            if self._failed_starts == STARTS:
                raise RuntimeError(f"{STARTS} worker processes in a row could not start: {fate}; see above")
            self._again.appendleft((worker.item, outcome))
            return
        self._deaths[outcome] += 1
        times = self._deaths[outcome]
        if times < (KILLS if was_killed else CRASHES):
            self._again.append((worker.item, outcome))
        else:
            why = "; is there enough memory?" if was_killed else ""
            outcome.set_result(Failure("crash", f"{fate}, {times} times, the last time with no other running{why}"))

    def end(self) -> None:
        """Kill all workers."""
        with uninterrupted():
            for worker in self._workers:
                worker.kill()
