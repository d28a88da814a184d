"""What the machine gives to this process."""

import math
import os
from pathlib import Path

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
