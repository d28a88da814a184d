"""Run a function over many items in worker processes, none of which can stop the rest.

A media library may hang or crash on a broken file, and then takes its process with it. So every item runs in a worker
that is killed past a time limit and replaced, and a worker that dies costs the one item it was at.

Not pebble's ProcessPool (5.2.3): 50 lines around it kept the order, but its workers share one pipe under two locks, so
that one killed while it hands over a result stopped all others for two minutes, and then the pool broke. SIGTERM to the
group ends its workers, and one that hangs outlives a killed parent; its public interface leaves no way to mend these.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Generic

from rspnet.errors import ConfigError
from rspnet.running.worker import Failure, Item, Result, Worker, uninterrupted


@dataclass(frozen=True)
class Ready(Generic[Item, Result]):
    """An item that needs no worker: it comes out in its turn, with this result."""

    item: Item
    result: Result


def run_parallel(
    function: Callable[[Item], Result], items: Iterable[Item | Ready[Item, Result]], *, jobs: int, time_limit: float
) -> Generator[tuple[Item, Result | Failure], None, None]:
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
    if jobs < 1:
        raise ConfigError(f"jobs: {jobs}; it must be at least 1")
    if not time_limit > 0:
        raise ConfigError(f"time_limit: {time_limit}; it must be more than 0")
    tasks: deque[tuple[Item, Future[Result | Failure]]] = deque()  # in order, from the first not yet handed out
    workers: list[Worker[Item, Result]] = []
    try:
        for item in items:
            outcome: Future[Result | Failure] = Future()
            if isinstance(item, Ready):
                outcome.set_result(item.result)
                tasks.append((item.item, outcome))
            else:
                while len(workers) == jobs and all(worker.outcome for worker in workers):
                    _settle(workers)
                    yield from _finished(tasks)
                tasks.append((item, outcome))
                _idle(workers, function, time_limit).assign(item, outcome)
            yield from _finished(tasks)
        while tasks:
            _settle(workers)
            yield from _finished(tasks)
    finally:
        with uninterrupted():
            for worker in workers:
                worker.kill()


def _finished(tasks: "deque[tuple[Item, Future[Result | Failure]]]") -> Iterator[tuple[Item, Result | Failure]]:
    """Take what is done off the front."""
    while tasks and tasks[0][1].done():
        item, outcome = tasks.popleft()
        yield item, outcome.result()


def _idle(
    workers: "list[Worker[Item, Result]]", function: Callable[[Item], Result], time_limit: float
) -> "Worker[Item, Result]":
    """A worker without an item, a new one where all are busy."""
    for worker in workers:
        if not worker.outcome:
            return worker
    resource_tracker.ensure_running()  # or the start of a process would start it, and lift the block of signals
    with uninterrupted():  # one that is started is also known, and so ended
        workers.append(Worker(function, time_limit))
    return workers[-1]


def _settle(workers: "list[Worker[Item, Result]]") -> None:
    """Wait until a worker says something or somebody's time is over; the lost leave `workers`."""
    busy = {worker.pipe: worker for worker in workers if worker.outcome}
    nearest = min(worker.deadline for worker in busy.values())
    heard = wait(list(busy), timeout=max(0.0, min(nearest - time.monotonic(), 3600.0)))
    for pipe, worker in busy.items():
        if pipe in heard:
            worker.hear()
        elif time.monotonic() >= worker.deadline:
            worker.end(Failure("timeout", f"not done after {worker.time_limit:g} s"))
        if worker.lost:
            worker.kill()
            workers.remove(worker)
