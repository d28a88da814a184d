"""How many processor cores, and with them decoding processes, this process may use."""

import math
import os
from pathlib import Path

from rspnet.console import say, some

MAX_WORKERS = 16
"""Most decoding processes by default: each holds a few batches in shared memory, half a gigabyte at full size."""

_QUOTAS = (  # of a container (Docker's --cpus, a Kubernetes limit): cgroup 2, then cgroup 1
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def cores() -> int:
    """Return how many processor cores this process may keep busy, at least 1.

    That is those it may run on if the system reports them (Linux), else all; fewer if a container has a quota.
    """
    # macOS has no sched_getaffinity.
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
    """Return this process's share of the cores, if a launcher started several processes here; at least 1."""
    return max(1, cores() // _beside())


def _beside() -> int:
    """Return the number of this run's processes on this machine (LOCAL_WORLD_SIZE, from the launcher)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def workers(wanted: int | None = None) -> int:
    """Return how many processes decode for this process, and say so if the machine has too few cores for them.

    Args:
        wanted: this number; None takes `own_cores`, at most `MAX_WORKERS`.
    """
    processes, share = _beside(), own_cores()
    if wanted is None:
        return min(share, MAX_WORKERS)
    if wanted > share:
        of_all = f" for each of {processes} processes" if processes > 1 else ""
        say(
            f"data.num_workers: {wanted} decoding processes{of_all} are more than the {some(cores(), 'core')} here "
            f"can serve; the default is {min(share, MAX_WORKERS)}"
        )
    return wanted
