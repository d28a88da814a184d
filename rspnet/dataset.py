"""Index + sampling + video -> batches of uint8 clips.

Every draw is a function of (seed, epoch, position in the epoch): neither the number of workers or processes nor the
moment a run was started or resumed changes a clip. V clips per video, T frames, S pixels.
"""

import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from rspnet import layouts, sampling
from rspnet.errors import ConfigError, VideoError
from rspnet.index import read_rows, write_rows
from rspnet.video import Crop, Video

Speeds = tuple[tuple[int, ...], ...]
"""For each clip of a video the playback rates it will be shown at, 1 normal."""

Key = int | tuple[int, int, int] | tuple[int, int, int, Speeds]
"""Of an item: a row where nothing is random, else epoch, position in the epoch and row, and the speeds to show."""

PREFETCH = 2
"""Batches a worker makes ahead of the training process."""

SLOTS = PREFETCH + 2
"""Batches of one worker that can be alive at once: those ahead, the one in use, and one that accelerate looks ahead."""

MAX_TRIES = 8
"""Videos tried in a row for one place in a batch; eight broken ones in a row are no accident."""


@dataclass(frozen=True)
class Picker:
    """Which frames and which part of the picture make the clips of one video.

    Attributes:
        num_frames: T.
        stride: gap between frames.
        sampling: "clip" (consecutive) or "cover" (spread over the video).
        views: V, clips per video.
        crop_area: part of the frame's area a random crop keeps; None takes the central square and evenly spaced clips.
        top_speed: a random clip is drawn long enough to be played at this rate.
    """

    num_frames: int
    stride: int = 1
    sampling: str = "clip"
    views: int = 1
    crop_area: tuple[float, float] | None = None
    top_speed: int = 1

    def __call__(
        self, rng: np.random.Generator, length: int, height: int, width: int, speeds: Speeds | None = None
    ) -> list[tuple[np.ndarray, Crop]]:
        """V pairs of frame indices and crop, for a video of `length` frames of `height` x `width` pixels.

        Without `speeds` a clip is T * top_speed frames; with them, those that are shown at one of its speeds.
        """
        if self.crop_area is None:
            crop = sampling.centre_square_crop(height, width)
            return [(frames, crop) for frames in self._even(length)]
        pairs = []
        for view in range(self.views):
            frames = self._random(rng, length)
            if speeds is not None:
                frames = frames[sampling.shown_frames(self.num_frames, speeds[view])]
            pairs.append((frames, sampling.random_area_crop(rng, height, width, self.crop_area)))
        return pairs

    def shape(self) -> tuple[int, int]:
        """V, and the frames of a clip without speeds."""
        return self.views, self.num_frames if self.crop_area is None else self.num_frames * self.top_speed

    def lengths(self, speeds: Speeds) -> list[int]:
        """For each clip of a video how many frames it has at these speeds."""
        return [len(sampling.shown_frames(self.num_frames, each)) for each in speeds]

    def _even(self, length: int) -> np.ndarray:
        if self.sampling == "cover":
            return sampling.cover_clips(length, self.num_frames, self.views)
        return sampling.even_clips(length, self.num_frames, self.stride, self.views)

    def _random(self, rng: np.random.Generator, length: int) -> np.ndarray:
        size = self.num_frames * self.top_speed
        if self.sampling == "cover":
            return sampling.cover_clip(rng, length, size)
        return sampling.sample_clip(rng, length, size, self.stride)


def keep_index(path: Path, root: str | None, index: str | None, layout: str) -> None:
    """Write the run's own index, once: a resumed run reads the same videos in the same order, whatever came since.

    Args:
        path: where to write it (.parquet); left alone if it exists.
        root: data-set folder, walked where there is no `index`.
        index: an index file to take instead.
        layout: of `root`, or "auto".

    Raises:
        ConfigError: neither is given, or what is given is not usable.
    """
    if path.exists():
        return
    if index is None and root is None:
        raise ConfigError("data.root: say where the videos are, with --data.root FOLDER or --data.index FILE")
    if index is not None and root is not None and not Path(root).is_dir():  # a config names one of its own, for example
        raise ConfigError(
            f"data.root: {root}: no such folder; the paths of {index} would be relative to it: name the right one, or "
            "say --data.root null for the one that the index was made for"
        )
    rows = read_rows(index) if index is not None else layouts.scan(root, layout)
    write_rows((row if root is None else row | {"root": str(Path(root).absolute())} for row in rows), path)


def test_split(index: datasets.Dataset) -> str:
    """The split that results are reported on: test, or where it is not there or tells no labels, val.

    Kinetics has no test split, and Something-Something's comes without labels.

    Raises:
        ConfigError: neither is there.
    """
    splits = {(split, label is not None) for split, label in zip(index["split"], index["label"])}
    for name, has_labels in (("test", True), ("val", True), ("test", False), ("val", False)):
        if (name, has_labels) in splits:
            return name
    raise ConfigError(
        "the videos have no test or val split: sort a plain folder into train/CLASS/ and test/CLASS/, or give an "
        "index (--data.index) whose rows say `split`"
    )


class ClipDataset(Dataset):
    """Clips of the videos of an index.

    An item holds ``clips`` uint8 (V, T, S, S, 3), ``seeds`` int64 (V,) for the augmentation, ``label`` (-1 without
    one), ``row`` and ``failed``: the row whose video could not be read, or -1. Where the key has speeds, ``clips`` is a
    list of V clips, each of the frames that its speeds show and no others.

    Args:
        index: rows with at least video, root, num_frames (or None) and label.
        picker: chooses frames and crops.
        size: S, pixels.
        seed: of the run.
        frame_rate: videos are resampled to it first, frames per second; None leaves them.
        replace: put another video in a broken one's place (training); else its clips are black and it is left to the
            caller to leave it out (evaluation).
        time_limit: seconds to read one video.
    """

    def __init__(
        self,
        index: datasets.Dataset,
        picker: Picker,
        size: int,
        seed: int = 0,
        frame_rate: float | None = None,
        replace: bool = False,
        time_limit: float = 60.0,
    ) -> None:
        self.index = index
        self.picker = picker
        self.size = size
        self.seed = seed
        self.frame_rate = frame_rate
        self.replace = replace
        self.time_limit = time_limit
        self._memory = BatchMemory()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        batch = self.__getitems__([key])
        clips = batch.pop("clips")
        one = [view[0] for view in clips] if isinstance(clips, list) else clips[0]
        return {"clips": one, "seeds": batch.pop("seeds")[0], **{name: value.item() for name, value in batch.items()}}

    def __getitems__(self, keys: list[Key]) -> dict[str, Any]:
        """A whole batch at once, which is what a DataLoader asks for: clips are read straight into its memory."""
        keys = [(0, key, key, None) if isinstance(key, int) else (*key, None)[:4] for key in keys]
        speeds = keys[0][3]  # the same number of frames for all of a batch, whichever of them play fast
        picture = self.size, self.size, 3
        if speeds is None:
            (clips,) = self._memory.take((len(keys), *self.picker.shape(), *picture))
            views = clips.unbind(1)
        else:
            shapes = [(len(keys), length, *picture) for length in self.picker.lengths(speeds)]
            clips = views = self._memory.take(*shapes)
        facts = [self._fill(key, [view[place].numpy() for view in views]) for place, key in enumerate(keys)]
        return {"clips": clips, **{name: torch.tensor([row[name] for row in facts]) for name in facts[0]}}

    def _fill(self, key: tuple, out: list[np.ndarray]) -> dict[str, Any]:
        """Read one video's clips into `out`; returns the item's other entries."""
        epoch, position, row, speeds = key
        rng = np.random.default_rng([self.seed, epoch, position])
        seeds = rng.integers(2**62, size=self.picker.views).tolist()
        failed, failures = -1, []
        for _ in range(MAX_TRIES if self.replace else 1):
            facts = self.index[row]
            try:
                self._read(facts, rng, out, speeds)
                break
            except VideoError as error:
                failures.append(str(error))
                failed = row if failed < 0 else failed
                if self.replace:
                    row = int(rng.integers(len(self.index)))
        else:
            if self.replace:
                raise VideoError(f"{MAX_TRIES} videos in a row could not be read, the last: {failures[-1]}")
            for clip in out:
                clip.fill(0)
        label = -1 if facts["label"] is None else facts["label"]
        return {"seeds": seeds, "label": label, "row": row, "failed": failed}

    def _read(
        self, row: dict[str, Any], rng: np.random.Generator, out: list[np.ndarray], speeds: Speeds | None = None
    ) -> None:
        path = Path(row["root"]) / row["video"]
        with Video(path, num_frames=row["num_frames"], time_limit=self.time_limit, plan=row.get("plan")) as video:
            if not video.num_frames:
                raise VideoError(f"{path}: holds no frames; find such files with stages/verify.py --depth decode")
            if self.frame_rate and not video.fps:
                raise VideoError(f"{path}: does not say its frame rate; transcode it, or leave clips.frame_rate out")
            kept = sampling.resample(video.num_frames, video.fps, self.frame_rate)
            if not len(kept):
                raise VideoError(f"{path}: too short to resample to {self.frame_rate:g} frames per second")
            pairs = self.picker(rng, len(kept), video.height, video.width, speeds)
            video.read_clips([(kept[frames], crop) for frames, crop in pairs], self.size, out)


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
        memory = self._slots.pop(0)
        if get_worker_info() is None:
            self._slots.append(memory)
            memory = torch.empty(sum(sizes), dtype=torch.uint8)
        else:
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


def loader(dataset: ClipDataset, num_workers: int, **kwargs: Any) -> DataLoader:
    """A DataLoader over `dataset`; `kwargs` say how it is batched, and whether its workers outlive an epoch.

    With workers, a batch is for using at once: its memory is used again, see `BatchMemory`.
    """
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
    # Ctrl-C, and a scheduler's SIGTERM, reach the whole process group. The training process decides when its workers
    # end; a worker that went before would take the run with it before its checkpoint.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


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
                print(f"could not read {name}; another video takes its place", file=sys.stderr, flush=True)
            if self.count > self.limit:
                raise VideoError(
                    f"{name}: number {self.count} of the videos that failed to decode in this epoch; more than "
                    f"{self.max_failures:g} % (data.max_failures) is no accident. Find them with stages/verify.py "
                    "--depth decode --out index.jsonl and train with --data.index index.jsonl"
                )
