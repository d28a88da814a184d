"""Which videos make a batch, who reads them, and where the batch lies.

Batches are a function of (seed, epoch, number): neither the number of workers or processes nor the moment a run was
started or resumed changes one.
"""

import math
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from rspnet.errors import ConfigError, VideoError
from rspnet.runlog import say

Speeds = tuple[tuple[int, ...], ...]
"""For each clip of a video the playback rates it will be shown at, 1 normal."""

PREFETCH = 2
"""Batches a worker makes ahead of the training process."""

SLOTS = PREFETCH + 2
"""Batches of one worker that can be alive at once: those ahead, the one in use, and one that accelerate looks ahead."""


class BatchMemory:
    """Where batches lie: a worker's in shared memory, allocated once and used in turn.

    Nobody has to copy a batch to the training process then, and fresh pages, which cost more than filling them, are
    not asked for again and again. A batch is overwritten when its worker has made `SLOTS` more.
    """

    def __init__(self) -> None:
        self._slots = [torch.empty(0, dtype=torch.uint8)] * SLOTS

    def take(self, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
        """Uninitialised uint8 tensors of these shapes; outside of a worker their memory is their own."""
        sizes = list(map(math.prod, shapes))
        if get_worker_info() is None:
            memory = torch.empty(sum(sizes), dtype=torch.uint8)
        else:
            memory = self._slots.pop(0)
            if len(memory) < sum(sizes):
                memory = memory.new_empty(0).set_(torch.UntypedStorage._new_shared(sum(sizes)))
            self._slots.append(memory)
        return [part.view(shape) for part, shape in zip(memory[: sum(sizes)].split(sizes), shapes)]


class TrainBatches(Sampler):
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

    Raises:
        ConfigError: the batch does not fit the videos or the processes.
    """

    def __init__(
        self,
        num_videos: int,
        total_batch: int,
        seed: int,
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
        self.num_videos = num_videos
        self.total_batch = total_batch
        self.seed = seed
        self.speeds = speeds
        self.share = slice(rank * total_batch // world_size, (rank + 1) * total_batch // world_size)
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return self.num_videos // self.total_batch

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Let the next iteration begin at `batch` of `epoch`, both from 0."""
        self.epoch, self.start = epoch, batch

    def __iter__(self) -> Iterator[list[tuple]]:
        # Four words: numpy fills a shorter key with zeros, which would make it the key of a clip.
        order = np.random.default_rng([self.seed, self.epoch, 0, 1]).permutation(self.num_videos)
        for batch in range(self.start, len(self)):
            places = range(batch * self.total_batch, (batch + 1) * self.total_batch)[self.share]
            keys = [(self.epoch, place, int(order[place])) for place in places]
            if self.speeds is not None:
                speeds = self.speeds(self.epoch * len(self) + batch)
                keys = [(*key, each) for key, each in zip(keys, speeds, strict=True)]
            yield keys


def loader(dataset: Dataset, num_workers: int, **kwargs: Any) -> DataLoader:
    """A DataLoader over a `rspnet.dataset.ClipDataset`.

    With workers, a batch is for using at once: its memory is used again, see `BatchMemory`.

    Args:
        dataset: makes whole batches itself.
        num_workers: processes that read; 0 reads in this one.
        kwargs: of the DataLoader: how it is batched, and whether its workers outlive an epoch.
    """
    # How many there are is said in one line where it is decided (rspnet.machine); torch takes six, at each loader.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    return DataLoader(
        dataset,
        num_workers=num_workers,
        prefetch_factor=PREFETCH if num_workers else None,
        worker_init_fn=_start_worker,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        **kwargs,
    )


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # one worker, one core
    # Ctrl-C, and a scheduler's SIGTERM, reach every process. The training process decides when its workers end: one
    # that went before would take the run with it before its checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS does not tell who sent a signal: there SIGTERM ends a worker at once
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_the_parents_word, daemon=True).start()


def _end_at_the_parents_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


class Failures:
    """Videos this process could not read: each named once, counted per epoch; too many stop the run.

    Args:
        index: what the rows mean.
        max_failures: percent of an epoch's videos.
        world_size: processes that share an epoch's videos.
    """

    def __init__(self, index: datasets.Dataset, max_failures: float, world_size: int = 1) -> None:
        self.index = index
        self.max_failures = max_failures
        self.limit = max(1.0, max_failures / 100 * len(index) / world_size)
        self.count = 0
        self._named: set[int] = set()

    def add(self, rows: torch.Tensor) -> None:
        """Take note of a batch's ``failed`` rows (-1: none).

        Raises:
            VideoError: more than `max_failures` percent failed since `count` was last set to zero.
        """
        for row in rows[rows >= 0].tolist():
            self.count += 1
            name = self.index[row]["video"]
            if row not in self._named:
                self._named.add(row)
                say(f"could not read {name}; another video takes its place", everywhere=True)
            if self.count > self.limit:
                raise VideoError(
                    f"{name}: number {self.count} of the videos that failed to decode in this epoch; more than "
                    f"{self.max_failures:g} % (data.max_failures) is no accident. Find them with stages/verify.py "
                    "--depth decode --out index.jsonl and train with --data.index index.jsonl"
                )
