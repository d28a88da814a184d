"""Which frames of a video become clips, and which part of the picture."""

from dataclasses import dataclass

import numpy as np

from rspnet.data import sampling
from rspnet.data.batches import Speeds
from rspnet.data.sampling import Frames
from rspnet.video.pixels import Crop


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
        self, rng: np.random.Generator | None, length: int, sides: tuple[int, int], *, speeds: Speeds | None = None
    ) -> list[tuple[Frames, Crop]]:
        """V pairs of frame indices and crop, for a video of `length` frames of height and width `sides`, pixels.

        Without `speeds` a clip is T * top_speed frames; with them, those that are shown at one of its speeds. Evenly
        spaced clips need no generator.
        """
        if self.crop_area is None:
            crop = sampling.centre_square_crop(*sides)
            return [(frames, crop) for frames in self._even(length)]
        if rng is None:
            raise ValueError("random clips need a generator")
        pairs = []
        for view in range(self.views):
            frames = self._random(rng, length)
            if speeds is not None:
                frames = frames[sampling.shown_frames(self.num_frames, speeds[view])]
            pairs.append((frames, sampling.random_area_crop(rng, *sides, area=self.crop_area)))
        return pairs

    def lengths(self, speeds: Speeds | None = None) -> list[int]:
        """For each of the V clips of a video how many frames it has: at these speeds, or as a whole."""
        if speeds is not None:
            return [len(sampling.shown_frames(self.num_frames, each)) for each in speeds]
        return [self.num_frames * (1 if self.crop_area is None else self.top_speed)] * self.views

    def _even(self, length: int) -> Frames:
        if self.sampling == "cover":
            return sampling.cover_clips(length, self.num_frames, self.views)
        return sampling.even_clips(length, self.num_frames, self.stride, n=self.views)

    def _random(self, rng: np.random.Generator, length: int) -> Frames:
        size = self.num_frames * self.top_speed
        if self.sampling == "cover":
            return sampling.cover_clip(rng, length, size)
        return sampling.sample_clip(rng, length, size, stride=self.stride)
