"""Clips of a video at several playback speeds, read in one pass, which the probes of motion compare.

A clip of speed v shows every v-th frame of what speed 1 shows, as in pretraining. The middle of each clip is drawn
separately, but at every speed from the same frames: those around which a clip of the highest speed that the video is
long enough for fits. So the place in the video reveals nothing about the speed. The draws are a function of the seed
and the video's name, so they do not depend on the list or the video's place in it.

V places in the video, S speeds, T frames.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch

from rspnet.clipspec import ClipSpec
from rspnet.data import sampling
from rspnet.data.batches import Batch, Request, Speeds
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.picker import Picker
from rspnet.data.sampling import Frames
from rspnet.video.limits import MAX_PIXELS
from rspnet.video.orientation import Pixels
from rspnet.video.pixels import Crop

SPEEDS = (1, 2, 4)
"""Playback rates that are compared; 1 is normal."""


class SpeedBatch(Batch):
    """A batch of such clips: V * S views, ordered by place, then by speed.

    Attributes:
        top: int64 (N,), the highest of `SPEEDS` that the video is long enough for; 0 if for none, or it is unreadable.
    """

    top: torch.Tensor


@dataclass(frozen=True)
class SpeedPicker(Picker):
    """Chooses the frames of the clips; the crop is the central square.

    Attributes:
        views: V.
        speeds: those of `SPEEDS` whose clips are read; the draws do not depend on them.
    """

    speeds: tuple[int, ...] = SPEEDS

    def __call__(
        self, rng: np.random.Generator | None, length: int, sides: tuple[int, int], *, speeds: Speeds | None = None
    ) -> list[tuple[Frames, Crop]]:
        """Return V * S pairs of frame indices and crop; a clip that does not fit is looped, or its frames lie closer.

        Args:
            rng: the generator; it draws a number for each of `SPEEDS` at every place.
            length: of the video, frames.
            sides: height and width of its frames, pixels.
            speeds: must be None.
        """
        if rng is None or speeds is not None:
            raise ValueError("clips of several speeds need a generator, and choose their speeds themselves")
        crop, pairs = sampling.centre_square_crop(*sides), []
        for draws in rng.random((self.views, len(SPEEDS))):
            drawn = dict(zip(SPEEDS, draws.tolist()))
            pairs += [(self._clip(length, speed, drawn[speed]), crop) for speed in self.speeds]
        return pairs

    def lengths(self, speeds: Speeds | None = None) -> list[int]:
        """Return the number of frames of each of a video's V * S clips."""
        return [self.num_frames] * (self.views * len(self.speeds))

    def span(self, speed: int) -> int:
        """Return how many frames a video needs for a clip of this speed."""
        if self.sampling == "cover":
            return self.num_frames * speed
        return sampling.clip_span(self.num_frames, self.stride * speed)

    def top(self, length: int) -> int:
        """Return the highest of `SPEEDS` that a video of `length` frames is long enough for; 0 if for none."""
        return max((speed for speed in SPEEDS if self.span(speed) <= length), default=0)

    def _clip(self, length: int, speed: int, draw: float) -> Frames:
        """Return the frames of a clip whose middle is `draw` (0 to 1) of the way through the places allowed for it."""
        top, stride = self.top(length), self.stride
        if speed > top:
            return sampling.strided_clip(length, self.num_frames, 1 if self.sampling == "cover" else stride * speed)
        track = np.arange(length)
        if self.sampling == "cover":
            track, stride = sampling.cover_clips(length, self.num_frames * top)[0], 1
        longest, own = (sampling.clip_span(self.num_frames, stride * each) for each in (top, speed))
        place, rest = divmod(draw * (len(track) - longest + 1), 1)
        start = longest // 2 + int(place) - own // 2
        if own < longest and own % 2 == 0 and rest >= 0.5:  # an even number has two middle frames: take either
            start += 1
        clip: Frames = track[start + stride * speed * np.arange(self.num_frames)]
        return clip


class SpeedClips(ClipDataset):
    """Clips at several speeds of the videos of an index; the caller leaves out videos that cannot be read.

    Args:
        index: the videos.
        clip: defines a clip, and the number of places in a video.
        speeds: those of `SPEEDS` that are read.
        seed: of the draws.
        time_limit: seconds to read one video.
        max_pixels: that a picture may have.
    """

    picker: SpeedPicker

    def __init__(
        self,
        index: datasets.Dataset,
        clip: ClipSpec,
        speeds: tuple[int, ...] = SPEEDS,
        *,
        seed: int,
        time_limit: float,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        picker = SpeedPicker(clip.num_frames, clip.stride, clip.sampling, clip.views, speeds=speeds)
        super().__init__(
            index,
            picker,
            clip.size,
            seed=seed,
            frame_rate=clip.frame_rate,
            time_limit=time_limit,
            max_pixels=max_pixels,
        )
        self._tops: list[int] = []

    def __getitems__(self, requests: list[Request]) -> SpeedBatch:
        """Return a whole batch, as a loader requests it."""
        self._tops = []
        names = self.index.select_columns(["video"])[[request.row for request in requests]]["video"]
        keys = [zlib.crc32(name.encode("utf-8", "surrogateescape")) for name in names]
        batch = super().__getitems__([request._replace(position=key) for request, key in zip(requests, keys)])
        return {**batch, "top": torch.tensor(self._tops)}

    def _read(
        self, row: dict[str, Any], rng: np.random.Generator, out: list[Pixels], *, speeds: Speeds | None = None
    ) -> None:
        self._tops.append(0)
        super()._read(row, rng, out, speeds=speeds)

    def _picked(
        self, rng: np.random.Generator, length: int, sides: tuple[int, int], *, speeds: Speeds | None = None
    ) -> list[tuple[Frames, Crop]]:
        self._tops[-1] = self.picker.top(length)
        return super()._picked(rng, length, sides, speeds=speeds)
