"""What the machine gives to this process."""

import math
import os
from pathlib import Path

from rspnet.console import say, some

MAX_WORKERS = 16
"""Decoding processes that nobody asked for: each holds a few batches in shared memory, half a gigabyte at full size."""

_QUOTAS = (  # of a container (Docker's --cpus, a Kubernetes limit): cgroup 2, then cgroup 1
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def cores() -> int:
    """Return how many processor cores this process may keep busy, at least 1.

    That is those it may run on where the system can tell (Linux), else all; fewer where a container has a quota.
    """
    # Not on macOS.
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in _QUOTAS:
        try:
            quota, period = (int(word) for name in files for word in Path(name).read_text().split())
        except (OSError, ValueError):  # no such files, or `max`: there is no quota
            continue
        if quota > 0 and period > 0:
            number = min(number, math.ceil(quota / period))
    return max(1, number)


def own_cores() -> int:
    """Return how many of them are this process's, where a launcher started several here; at least 1."""
    return max(1, cores() // _beside())


def _beside() -> int:
    """Processes of this run on this machine (LOCAL_WORLD_SIZE, from the launcher)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def workers(wanted: int | None = None) -> int:
    """Return how many processes decode for this process, and say so where the machine has not the cores for them.

    Args:
        wanted: that many; None takes this process's share of the cores, which the machine's other processes of the run
            (LOCAL_WORLD_SIZE, from the launcher) have as well: at least 1 and at most `MAX_WORKERS`.
    """
    processes, share = _beside(), own_cores()
    if wanted is None:
        return min(share, MAX_WORKERS)
    if wanted > share:
        of_all = f" for each of {processes} processes" if processes > 1 else ""
        say(
            f"data.num_workers: {wanted} decoding processes{of_all} are more than the {some(cores(), 'core')} here "
            f"keep busy; left out, it would be {min(share, MAX_WORKERS)}"
        )
    return wanted
