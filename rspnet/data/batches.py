"""Samplers: which videos make each batch.

A batch is a function of (seed, epoch, batch number): the number of workers or processes, and interrupting and resuming
the run, do not change it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from rspnet.errors import ConfigError

Speeds = tuple[tuple[int, ...], ...]
"""For each clip of a video, the playback rates it will be shown at; 1 is normal speed."""


class Request(NamedTuple):
    """What a data set reads for one place in a batch; its random draws are a function of epoch and position.

    Attributes:
        epoch: from 0.
        position: place in the epoch, from 0.
        row: row number in the index.
        speeds: playback rates of the clips; None reads whole clips.
    """

    epoch: int
    position: int
    row: int
    speeds: Speeds | None = None


class Batch(TypedDict):
    """The clips of N requests, as `rspnet.data.clip_dataset.ClipDataset` makes them.

    Attributes:
        clips: V views, each uint8 (N, T, S, S, 3), with only the frames that its speeds show.
        seeds: int64 (N, V), for the augmentation.
        label: int64 (N,), -1 if the video has none.
        row: int64 (N,), row number in the index.
        failed: int64 (N,), the requested row if its video could not be read, else -1.
        status: N strings, ``ok`` or the status of the failed row: see `rspnet.data.fetched.status_of`.
        reason: N strings, why the failed row could not be read; empty if none failed.
        seconds: N floats, the time it took to read ``row``.
    """

    clips: list[Tensor]
    seeds: Tensor
    label: Tensor
    row: Tensor
    failed: Tensor
    status: list[str]
    reason: list[str]
    seconds: list[float]


def share_of(total_batch: int, world_size: int) -> int:
    """Return how many of a step's videos each process has.

    Raises:
        ConfigError: the batch is not divisible by the number of processes.
    """
    if total_batch % world_size:
        raise ConfigError(
            f"optim.total_batch: {total_batch} is not a multiple of {world_size}, the number of processes"
        )
    return total_batch // world_size


class TrainBatches(Sampler[list[Request]]):
    """This process's share of every training batch; can start at any batch without going through those before it.

    Each epoch visits the videos in an order that depends on seed and epoch. Batch b, over all processes, takes places
    b * total_batch to (b + 1) * total_batch of that order, so the number of processes does not change what a step sees.
    The last, partial batch is dropped.

    Args:
        num_videos: length of the index.
        total_batch: videos per step over all processes.
        seed: of the run.
        passes: number of passes over the videos in one epoch, each in its own random order.
        rank: number of this process.
        world_size: number of processes.
        speeds: step -> the speeds of each video in this process's share; None reads whole clips.

    Raises:
        ConfigError: the batch is larger than the number of videos, or not divisible by that of processes.
    """

    def __init__(
        self,
        num_videos: int,
        total_batch: int,
        seed: int,
        *,
        passes: int = 1,
        rank: int = 0,
        world_size: int = 1,
        speeds: Callable[[int], Sequence[Speeds]] | None = None,
    ) -> None:
        share = share_of(total_batch, world_size)
        if total_batch > num_videos:
            raise ConfigError(
                f"optim.total_batch: {total_batch} is more than the {num_videos} training videos; lower it"
            )
        self.num_videos, self.passes = num_videos, passes
        self.total_batch = total_batch
        self.seed = seed
        self.speeds = speeds
        self.share = slice(rank * share, (rank + 1) * share)
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return self.passes * self.num_videos // self.total_batch

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Make the next iteration start at `batch` of `epoch`, both counted from 0."""
        self.epoch, self.start = epoch, batch

    def __iter__(self) -> Iterator[list[Request]]:
        # Four words: NumPy pads a shorter key with zeros, which would make it equal to the key of a clip.
        random = np.random.default_rng([self.seed, self.epoch, 0, 1])
        order = np.concatenate([random.permutation(self.num_videos) for _ in range(self.passes)])
        for batch in range(self.start, len(self)):
            places = range(batch * self.total_batch, (batch + 1) * self.total_batch)[self.share]
            speeds = [None] * len(places) if self.speeds is None else self.speeds(self.epoch * len(self) + batch)
            yield [
                Request(self.epoch, place, int(order[place]), each) for place, each in zip(places, speeds, strict=True)
            ]


class OrderedBatches(Sampler[list[Request]]):
    """This process's share of the batches of an index in order; over all processes, each video comes exactly once.

    Args:
        num_videos: length of the index.
        batch: videos per batch in each process; the last batch may have fewer.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(self, num_videos: int, batch: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.num_videos = num_videos
        self.batch = batch
        self.starts = range(rank * batch, num_videos, world_size * batch)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[Request]]:
        for start in self.starts:
            yield [Request(0, row, row) for row in range(start, min(start + self.batch, self.num_videos))]
