"""The training and test set of one process: batches of clips with their labels, and the videos that failed."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import datasets

from rspnet.console import say
from rspnet.data.batches import Batch, OrderedBatches, Speeds, TrainBatches
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.loader import Loader
from rspnet.errors import VideoError

if TYPE_CHECKING:
    from rspnet.running.team import Team


class TrainSet:
    """Batches of random clips, epoch by epoch; a video that cannot be read is replaced by another.

    Args:
        clips: of the training videos.
        total_batch: videos per step over all processes.
        team: the processes that share each step.
        num_workers: number of worker processes that read for this one.
        max_failures: percent of the videos that may fail in an epoch.
        speeds: step -> the speeds of each video in this process's share of the step; None: whole clips.
        passes: number of passes over the videos in an epoch.

    Attributes:
        failures: reports and counts the videos that cannot be read.
        slowest: the videos that took longest to read.

    Raises:
        ConfigError: the batch does not fit the videos or the processes.
    """

    def __init__(
        self,
        clips: ClipDataset,
        total_batch: int,
        team: "Team",
        *,
        passes: int = 1,
        num_workers: int,
        max_failures: float,
        speeds: Callable[[int], Sequence[Speeds]] | None = None,
    ) -> None:
        self.clips = clips
        self.total_batch = total_batch
        shared = {"rank": team.rank, "world_size": team.world_size}
        self._sampler = TrainBatches(len(clips), total_batch, clips.seed, passes=passes, speeds=speeds, **shared)
        self._loader = Loader(clips, self._sampler, num_workers, keep_workers=True)
        instead = "another video takes its place"
        self.failures = Failures(clips.index, max_failures, team.world_size, passes=passes, instead=instead)
        self.slowest = Slowest(clips.index)

    def __len__(self) -> int:
        """Steps per epoch."""
        return len(self._sampler)

    @property
    def clips_per_step(self) -> int:
        """Clips per step over all processes."""
        return self.clips.picker.views * self.total_batch

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return self._loader.pids

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `start` on, both counted from 0.

        Raises:
            VideoError: too many videos cannot be read.
            ConfigError: the batches do not fit in memory.
            WorkerError: workers are lost again and again.
        """
        self._sampler.seek(epoch, start)
        for batch in self._loader:
            self.failures.add(batch)
            self.slowest.add(batch)
            yield batch

    def close(self) -> None:
        """End the workers, whatever they are doing; a later epoch starts new ones."""
        self._loader.close()


class TestSet:
    """This process's batches of evenly spaced clips of a list of videos, each video once over all processes.

    Args:
        clips: of the videos.
        failures: reports and counts the videos that cannot be read; its `count` and `statuses` are those of the latest
            pass, because one that failed before, on a slow disk for example, may be read now.
        batch: videos at a time in each process.
        team: the processes that share the videos.
        num_workers: number of worker processes that read for this one.

    Attributes:
        size: videos in a full batch.
    """

    __test__ = False  # otherwise pytest takes the class for a test

    def __init__(self, clips: ClipDataset, failures: "Failures", *, batch: int, team: "Team", num_workers: int) -> None:
        self.clips = clips
        self.failures = failures
        self.team = team
        self.size = min(batch, len(clips))
        self._loader = Loader(
            clips, OrderedBatches(len(clips), batch, rank=team.rank, world_size=team.world_size), num_workers
        )

    def __len__(self) -> int:
        """Number of batches of this process."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass.

        Raises:
            VideoError: too many videos cannot be read.
            ConfigError: the batches do not fit in memory.
            WorkerError: workers are lost again and again.
        """
        self.failures.count = 0
        self.failures.statuses.clear()
        for batch in self._loader:
            self.failures.add(batch)
            yield batch


class Failures:
    """The videos of a list that this process could not read: each is reported once; too many end the run.

    Args:
        index: the list of videos, to which row numbers refer.
        max_failures: percent of the videos that may fail; one failure per pass is always allowed unless this is 0.
        world_size: number of processes that share a pass's videos.
        passes: number of passes over the videos that `count` spans.
        instead: what happens in place of such a video, for the message.

    Attributes:
        count: failures since it was last set to zero.
        statuses: row -> status that says why it could not be read.
    """

    def __init__(
        self,
        index: datasets.Dataset,
        max_failures: float,
        world_size: int = 1,
        *,
        passes: int = 1,
        instead: str = "it is left out",
    ) -> None:
        self.index = index
        self.max_failures = max_failures
        self.world_size, self.passes = world_size, passes
        self.instead = instead
        self.count = 0
        self.statuses: dict[int, str] = {}
        self._named: set[int] = set()

    def add(self, batch: Batch) -> None:
        """Record a batch's ``failed`` rows (-1: none), and print the ``reason`` of each new one.

        Raises:
            VideoError: more than `max_failures` percent failed since `count` was last set to zero.
        """
        for row, status, reason in zip(batch["failed"].tolist(), batch["status"], batch["reason"], strict=True):
            if row < 0:
                continue
            self.count += 1
            self.statuses[row] = status
            if row not in self._named:
                self._named.add(row)
                say(f"could not read {reason}; {self.instead}", everywhere=True)
            self.judge(self.count, self.world_size)

    def judge(self, count: int, parts: int = 1) -> None:
        """Check that `count` failures among one of `parts` equal shares of the videos are not too many.

        Raises:
            VideoError: they are too many.
        """
        total = len(self.index)
        allowed = max(1.0, self.max_failures / 100 * total / parts) if self.max_failures else 0
        if count > self.passes * allowed:
            among = f"{total} videos" if parts == 1 else f"{total // parts} videos of this process"
            raise VideoError(
                f"{count} of the {among} could not be read so far; more than {self.max_failures:g} % "
                "(data.max_failures) end the run. Find them with stages/verify.py --depth decode --out index.jsonl, "
                "and leave them out with --data.index index.jsonl"
            )


class Slowest:
    """The videos of a list that took this process longest to read.

    Args:
        index: the list of videos, to which row numbers refer.
    """

    NUMBER = 5
    """How many videos are kept."""

    def __init__(self, index: datasets.Dataset) -> None:
        self._index = index
        self._seconds: dict[int, float] = {}

    def add(self, batch: Batch) -> None:
        """Record how long a batch's rows took; for a row that was read before, the longest time counts."""
        for row, seconds in zip(batch["row"].tolist(), batch["seconds"], strict=True):
            self._seconds[row] = max(seconds, self._seconds.get(row, 0.0))
        self._seconds = dict(heapq.nlargest(self.NUMBER, self._seconds.items(), key=lambda each: each[1]))

    def take(self) -> dict[str, float]:
        """Return video name -> seconds to read it, the slowest first, and start again from nothing."""
        found, self._seconds = self._seconds, {}
        return {str(self._index[row]["video"]): round(seconds, 3) for row, seconds in found.items()}
