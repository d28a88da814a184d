"""Choose the frames of a video that become clips, and the part of the picture that they show."""

from dataclasses import dataclass

import numpy as np

from rspnet.data import sampling
from rspnet.data.batches import Speeds
from rspnet.data.sampling import Frames
from rspnet.video.pixels import Crop


@dataclass(frozen=True)
class Picker:
    """Chooses frames and crops for the clips of one video.

    Attributes:
        num_frames: T.
        stride: step from one frame of a clip to the next; ignored by "cover".
        sampling: "clip" (consecutive) or "cover" (spread over the video).
        views: V, clips per video.
        crop_area: range of the share of the frame's area that a random crop keeps; None takes evenly spaced clips of
            the central square instead of random ones.
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
        """Return V pairs of frame indices and crop for a video of `length` frames of `sides` (height, width) pixels.

        Without `speeds` a random clip has T * top_speed frames; with them, only the frames that it shows at any of its
        speeds. Evenly spaced clips have T frames and need no generator.
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
        """Return the number of frames of each of a video's V clips: of those shown at these speeds, or of all."""
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
