"""Reads the clips of the videos of an index, as uint8.

Every draw is a function of (seed, epoch, position in the epoch): the number of workers or processes, and interrupting
and resuming the run, do not change a clip. V clips per video, T frames, S pixels.
"""

import time
from functools import partial
from typing import Any, NamedTuple

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset

from rspnet.clipspec import ClipSpec
from rspnet.data.batches import Batch, Request, Speeds
from rspnet.data.fetched import expect, fetched, status_of
from rspnet.data.index import labelled_splits
from rspnet.data.picked import read_picked
from rspnet.data.picker import Picker
from rspnet.data.remote import is_remote, path_of
from rspnet.data.sampling import Frames
from rspnet.data.workers import BatchMemory
from rspnet.errors import ConfigError, VideoError
from rspnet.video.limits import MAX_PIXELS
from rspnet.video.orientation import Pixels
from rspnet.video.pixels import Crop
from rspnet.video.reader import Video

MAX_TRIES = 8
"""Videos tried in a row for one place in a batch; eight unreadable ones in a row are not chance."""


def test_split(index: datasets.Dataset) -> str:
    """Return the split that results are reported on: test, or val if there is no test split or it has no labels.

    Kinetics has no test split, and that of Something-Something comes without labels.

    Raises:
        ConfigError: there is neither a test nor a val split.
    """
    splits = labelled_splits(index)
    for name, has_labels in (("test", True), ("val", True), ("test", False), ("val", False)):
        if (name, has_labels) in splits:
            return name
    raise ConfigError(
        "the videos have no test or val split: sort a plain folder into train/CLASS/ and test/CLASS/, or give an "
        "index (--data.index) whose rows have a `split`"
    )


class _Filled(NamedTuple):
    """The entries of a `Batch` for one video, without its clips."""

    seeds: list[int]
    label: int
    row: int
    failed: int
    status: str
    reason: str
    seconds: float


class ClipDataset(Dataset[dict[str, Any]]):
    """Clips of the videos of an index.

    Args:
        index: rows with at least video, root, num_frames (or None) and label.
        picker: chooses frames and crops.
        size: S, pixels.
        seed: of the run.
        frame_rate: frames per second that videos are resampled to first; None keeps theirs.
        replace: put another, random video in the place of one that cannot be read (training). Otherwise its clips are
            black, and the caller has to leave it out (evaluation).
        time_limit: seconds to read one video.
        max_pixels: the most pixels a picture may have.
    """

    def __init__(
        self,
        index: datasets.Dataset,
        picker: Picker,
        size: int,
        *,
        seed: int = 0,
        frame_rate: float | None = None,
        replace: bool = False,
        time_limit: float = 60.0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.index = index
        self.picker = picker
        self.size = size
        self.seed = seed
        self.frame_rate = frame_rate
        self.replace = replace
        self.time_limit = time_limit
        self.max_pixels = max_pixels
        self._memory = BatchMemory()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, request: Request) -> dict[str, Any]:
        """Return a batch of one request, without its batch dimension."""
        batch = self.__getitems__([request])
        one = {"clips": [view[0] for view in batch["clips"]], "seeds": batch["seeds"][0]}
        one |= {"status": batch["status"][0], "reason": batch["reason"][0]}
        numbers = {"label": batch["label"], "row": batch["row"], "failed": batch["failed"]}
        return one | {name: value.item() for name, value in numbers.items()}

    def batch_bytes(self, requests: list[Request]) -> int:
        """Return how much memory the clips of a batch take, in bytes."""
        return sum(self.picker.lengths(requests[0].speeds)) * len(requests) * 3 * self.size**2 if requests else 0

    def path_of(self, request: Request) -> str:
        """Return the path of the requested video; `replace` may put another in its place."""
        row = self.index[request.row]
        return path_of(row["root"], row["video"])

    def expect(self, requests: list[Request]) -> None:
        """Start to fetch the remote videos of a batch that will be requested soon."""
        if requests and is_remote(self.index[requests[0].row]["root"]):
            rows = self.index.select_columns(["root", "video", "bytes"])[[request.row for request in requests]]
            expect([dict(zip(rows, values)) for values in zip(*rows.values())])

    def __getitems__(self, requests: list[Request]) -> Batch:
        """Return a whole batch; the clips are read straight into its memory."""
        # All videos of a batch have clips of the same number of frames, whichever of them play fast.
        lengths = self.picker.lengths(requests[0].speeds)
        views = self._memory.take(*((len(requests), length, self.size, self.size, 3) for length in lengths))
        # All rows at once: one by one would cost 2 % of the time to read a video.
        columns = self.index[[request.row for request in requests]]
        rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
        expect(rows)
        items = [
            self._fill(request, facts, [view[place].numpy() for view in views])
            for place, (request, facts) in enumerate(zip(requests, rows))
        ]
        return {
            "clips": views,
            "seeds": torch.tensor([item.seeds for item in items]),
            "label": torch.tensor([item.label for item in items]),
            "row": torch.tensor([item.row for item in items]),
            "failed": torch.tensor([item.failed for item in items]),
            "status": [item.status for item in items],
            "reason": [item.reason for item in items],
            "seconds": [item.seconds for item in items],
        }

    def _fill(self, request: Request, facts: dict[str, Any], out: list[Pixels]) -> _Filled:
        """Read the clips of one video, whose index row is `facts`, into `out`; returns the other entries."""
        epoch, position, row, speeds = request
        rng = np.random.default_rng([self.seed, epoch, position])
        seeds = rng.integers(2**62, size=self.picker.views).tolist()
        failed, status, failures = -1, "ok", list[str]()
        for _ in range(MAX_TRIES if self.replace else 1):
            start = time.perf_counter()
            try:
                self._read(facts, rng, out, speeds=speeds)
                break
            except VideoError as error:
                failures.append(str(error))
                if failed < 0:
                    failed, status = row, status_of(facts, error)
                if self.replace:
                    row = int(rng.integers(len(self.index)))
                    facts = self.index[row]
        else:
            if self.replace:
                raise VideoError(f"{MAX_TRIES} videos in a row could not be read, the last: {failures[-1]}")
            for clip in out:
                clip.fill(0)
        label = -1 if facts["label"] is None else facts["label"]
        reason = failures[0] if failures else ""
        return _Filled(seeds, label, row, failed, status, reason, time.perf_counter() - start)

    def _read(
        self, row: dict[str, Any], rng: np.random.Generator, out: list[Pixels], *, speeds: Speeds | None = None
    ) -> None:
        opened = partial(Video, time_limit=self.time_limit, max_pixels=self.max_pixels, plan=row.get("plan"))
        with fetched(row) as path, opened(path, num_frames=row["num_frames"]) as video:
            read_picked(
                video, partial(self._picked, rng, speeds=speeds), self.size, out=out, frame_rate=self.frame_rate
            )

    def _picked(
        self, rng: np.random.Generator, length: int, sides: tuple[int, int], *, speeds: Speeds | None = None
    ) -> list[tuple[Frames, Crop]]:
        return self.picker(rng, length, sides, speeds=speeds)


def random_clips(
    index: datasets.Dataset,
    clip: ClipSpec,
    crop_area: tuple[float, float],
    *,
    seed: int,
    time_limit: float,
    max_pixels: int = MAX_PIXELS,
    views: int = 1,
    top_speed: int = 1,
) -> ClipDataset:
    """Return clips for training: V of each video, at random times, of random crops.

    Args:
        index: the videos.
        clip: what a clip is.
        crop_area: see `Picker`.
        seed: of the run.
        time_limit: seconds to read one video.
        max_pixels: the most pixels a picture may have.
        views: V.
        top_speed: see `Picker`.
    """
    picker = Picker(clip.num_frames, clip.stride, clip.sampling, views, crop_area, top_speed)
    return ClipDataset(
        index,
        picker,
        clip.size,
        seed=seed,
        frame_rate=clip.frame_rate,
        replace=True,
        time_limit=time_limit,
        max_pixels=max_pixels,
    )


def even_clips(
    index: datasets.Dataset,
    clip: ClipSpec,
    *,
    time_limit: float,
    max_pixels: int = MAX_PIXELS,
    views: int | None = None,
) -> ClipDataset:
    """Return clips for testing: evenly spaced over each video, of the central square.

    Args:
        index: the videos.
        clip: what a clip is, and how many are taken of a video.
        time_limit: seconds to read one video.
        max_pixels: the most pixels a picture may have.
        views: number of clips, instead of that of `clip`.
    """
    picker = Picker(clip.num_frames, clip.stride, clip.sampling, clip.views if views is None else views)
    return ClipDataset(
        index, picker, clip.size, frame_rate=clip.frame_rate, time_limit=time_limit, max_pixels=max_pixels
    )
