"""Estimate how long work on many videos takes, by trying it on some of them."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST, EACH = 24, 6
"""Items that are tried: at least so many, and so many for each process."""


def chosen(items: Sequence[Item], jobs: int) -> list[Item]:
    """Return some of the items, the same every time; all of them if there are not more.

    Args:
        items: to choose from.
        jobs: processes that will work on them.
    """
    wanted = max(FEWEST, EACH * jobs)
    if len(items) <= wanted:
        return list(items)
    return [items[place] for place in np.random.default_rng(0).choice(len(items), wanted, replace=False)]


def timed(
    results: Iterable[Result], jobs: int, clock: Callable[[], float] = time.monotonic
) -> tuple[list[Result], float]:
    """Return all results, and the seconds for each while all processes are at work.

    The first ones, when processes start, and the last ones, when some have nothing left to do, count only if there are
    too few others.

    Args:
        results: as the processes yield them.
        jobs: number of processes.
        clock: returns seconds.
    """
    came, moments = [], [clock()]
    for result in results:
        came.append(result)
        moments.append(clock())
    first, last = (jobs, len(came) - jobs) if len(came) > 2 * jobs else (0, len(came))
    return came, (moments[last] - moments[first]) / max(1, last - first)
