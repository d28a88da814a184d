"""Which videos make a batch.

Batches are a function of (seed, epoch, number): neither the number of workers or processes nor the moment a run was
started or resumed changes one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from rspnet.errors import ConfigError

Speeds = tuple[tuple[int, ...], ...]
"""For each clip of a video the playback rates it will be shown at, 1 normal."""


class Request(NamedTuple):
    """What is asked of a data set for one place in a batch; the draws are a function of epoch and position.

    Attributes:
        epoch: from 0.
        position: place in the epoch, from 0.
        row: of the index.
        speeds: to show the clips at; None: whole clips.
    """

    epoch: int
    position: int
    row: int
    speeds: Speeds | None = None


class Batch(TypedDict):
    """The clips of N requests, as `rspnet.data.clip_dataset.ClipDataset` makes them.

    Attributes:
        clips: V views, each uint8 (N, T, S, S, 3) of the frames that its speeds show and no others.
        seeds: int64 (N, V), for the augmentation.
        label: int64 (N,), -1 without one.
        row: int64 (N,), of the index.
        failed: int64 (N,), the row whose video could not be read, or -1.
        status: N words, ``ok``, or what the failed row is called: see `rspnet.data.fetched.status_of`.
        reason: N texts, why, or an empty one.
        seconds: N, that reading the row took.
    """

    clips: list[Tensor]
    seeds: Tensor
    label: Tensor
    row: Tensor
    failed: Tensor
    status: list[str]
    reason: list[str]
    seconds: list[float]


class TrainBatches(Sampler[list[Request]]):
    """This process's share of every training batch, from any step on at once.

    Each epoch visits the videos in an order that depends on seed and epoch; batch b of all processes together is
    places b * total to (b + 1) * total of it, so the number of processes does not change what a step sees. The last
    partial batch is left out.

    Args:
        num_videos: length of the index.
        total_batch: videos per step over all processes.
        seed: of the run.
        rank: this process.
        world_size: number of processes.
        speeds: step -> the speeds of each video in this process's share of it; none: whole clips.
        passes: over the videos in an epoch, each in an order of its own.

    Raises:
        ConfigError: the batch does not fit the videos or the processes.
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
        if total_batch % world_size:
            raise ConfigError(f"optim.total_batch: {total_batch} is no multiple of the {world_size} processes")
        if total_batch > num_videos:
            raise ConfigError(
                f"optim.total_batch: {total_batch} is more than the {num_videos} training videos; lower it"
            )
        self.num_videos, self.passes = num_videos, passes
        self.total_batch = total_batch
        self.seed = seed
        self.speeds = speeds
        self.share = slice(rank * total_batch // world_size, (rank + 1) * total_batch // world_size)
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return self.passes * self.num_videos // self.total_batch

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Let the next iteration begin at `batch` of `epoch`, both from 0."""
        self.epoch, self.start = epoch, batch

    def __iter__(self) -> Iterator[list[Request]]:
        # Four words: numpy fills a shorter key with zeros, which would make it the key of a clip.
        random = np.random.default_rng([self.seed, self.epoch, 0, 1])
        order = np.concatenate([random.permutation(self.num_videos) for _ in range(self.passes)])
        for batch in range(self.start, len(self)):
            places = range(batch * self.total_batch, (batch + 1) * self.total_batch)[self.share]
            speeds = [None] * len(places) if self.speeds is None else self.speeds(self.epoch * len(self) + batch)
            yield [
                Request(self.epoch, place, int(order[place]), each) for place, each in zip(places, speeds, strict=True)
            ]


class OrderedBatches(Sampler[list[Request]]):
    """This process's share of the batches of a list of videos in its order, each video once over all processes.

    Args:
        num_videos: length of the index.
        batch: videos at a time in each process; fewer in the last.
        rank: this process.
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
