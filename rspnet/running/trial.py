"""What work on many videos would take, tried on some of them."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST, EACH = 24, 6
"""Items that are tried: so many, and so many for each process."""


def chosen(items: Sequence[Item], jobs: int) -> list[Item]:
    """Some of the items, the same every time; all where there are not more.

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
    """All results as they come, and the seconds of each while all processes are at work.

    Those of the start, and those of the end, when the first process has nothing left, count only where there are no
    others.

    Args:
        results: of so many processes.
        jobs: how many.
        clock: seconds.
    """
    came, moments = [], [clock()]
    for result in results:
        came.append(result)
        moments.append(clock())
    first, last = (jobs, len(came) - jobs) if len(came) > 2 * jobs else (0, len(came))
    return came, (moments[last] - moments[first]) / max(1, last - first)
