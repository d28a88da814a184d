"""Which share of the videos a process has, if several share a job without communicating.

A hash of a video's path decides whose it is: shares of one count never overlap, whoever does them, wherever and when.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rspnet.cli.bounds import PROCESSES
from rspnet.errors import ConfigError

_LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # accelerate launch, torchrun
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun; the second is not set in a batch script itself
)
"""For each launcher the variables for the number of a process, from 0, and for how many there are."""

_EXAMPLE = "give --share 3/64, for the third of 64"


@dataclass(frozen=True)
class Share:
    """One of several shares.

    Attributes:
        number: of this one, from 1.
        count: number of shares; 1: all videos are in one.
    """

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def has(self, video: str) -> bool:
        """Return whether a video is in it.

        Args:
            video: its path, relative to its root.
        """
        digest = hashlib.sha256(video.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


ALL = Share()
"""All videos."""


def read_share(text: str | None, *, team: bool = False) -> Share:
    """Return the share with this name, ``3/64``, or the one that a launcher or a job array gave to this process.

    Args:
        text: the name; None: as the environment says, by default all videos.
        team: whether processes that accelerate knows of have one share together.

    Raises:
        ConfigError: there is no such share, or the environment contradicts itself.
    """
    if text is None:
        return _of_environment(team)
    if not (found := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)):
        raise ConfigError(f"share: {text}; {_EXAMPLE}")
    share = Share(int(found[1]), int(found[2]))
    if not 1 <= share.number <= share.count <= PROCESSES:
        raise ConfigError(f"share: {text}; shares are counted from 1 to their number, at most {PROCESSES}")
    return share


def refuse_pipes(share: Share, sources: Sequence[str], out: str) -> None:
    """Check that other processes can do the other shares.

    Raises:
        ConfigError: a source that is shared, or the output, is a pipe.
    """
    if share != ALL and out == "-":
        raise ConfigError(
            f"out: -; share {share} is written to a file, to be joined with the others; name it with --out"
        )
    if share != ALL and "-" in sources:
        raise ConfigError(f"source: -; a pipe cannot be shared (this is share {share}); give an index file")


def _of_environment(team: bool) -> Share:
    number, count = _of_launcher(team)
    task, tasks = _of_array()
    share = Share(task * count + number + 1, tasks * count)
    if share.count > PROCESSES:
        raise ConfigError(f"share: {share}, as set by the environment; at most {PROCESSES} shares are possible")
    return share


def _of_launcher(team: bool) -> tuple[int, int]:
    """Return the number of this process, from 0, and of all processes, by the first launcher that started several.

    With `team`, only srun's processes have shares of their own; those of the other launchers, which srun may start once
    on each machine, have one together.
    """
    if team and any(_number(size, 1) > 1 for _, size in _LAUNCHERS[:-1]):
        return 0, 1
    for rank, size in _LAUNCHERS:
        if (count := _number(size, 1)) > 1:
            if rank not in os.environ or not 0 <= (number := _number(rank, 0)) < count:
                raise ConfigError(f"{rank}={os.environ.get(rank)}: is not a process of {size}={count}; {_EXAMPLE}")
            return number, count
    return 0, 1


def _of_array() -> tuple[int, int]:
    """Return the number of this task of a SLURM array, from 0, and of all tasks."""
    count = _number("SLURM_ARRAY_TASK_COUNT", 1)
    if count <= 1:
        return 0, 1
    first, last = _number("SLURM_ARRAY_TASK_MIN", 0), _number("SLURM_ARRAY_TASK_MAX", -1)
    number = _number("SLURM_ARRAY_TASK_ID", -1)
    if last - first + 1 != count or not first <= number <= last:
        raise ConfigError(
            f"SLURM_ARRAY_TASK_COUNT={count}: this array's numbers have gaps ({first} to {last}), so shares cannot be "
            f"derived from them; {_EXAMPLE}"
        )
    return number - first, count


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name}={text}: is not a number; {_EXAMPLE}") from None
