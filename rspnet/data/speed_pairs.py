"""Clips of one video at different speeds, as the pretext task shows them: for viewing, not for training.

The place of each clip is drawn separately, as in pretraining; the crop is the central square of evaluation, so that a
video looks the same whatever the draws. The draws are a function of the seed and the video's name.
"""

import zlib
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from rspnet.clipspec import ClipSpec
from rspnet.data import sampling
from rspnet.data.fetched import fetched
from rspnet.data.picked import resampled
from rspnet.data.rows import Row
from rspnet.data.sampling import Frames
from rspnet.video.orientation import Pixels
from rspnet.video.reader import Video


class ReadClip(NamedTuple):
    """A clip of T frames of S x S pixels.

    Attributes:
        speed: playback rate; 2 shows every second frame of what speed 1 shows.
        frames: (T,) numbers of its frames in the original video, before any resampling.
        pixels: (T, S, S, 3) uint8.
    """

    speed: int
    frames: Frames
    pixels: Pixels

    @property
    def is_looped(self) -> bool:
        """Whether the video is too short for it, so that it jumps back to frames already shown."""
        return bool((np.diff(self.frames) < 0).any() or self.frames[0] == self.frames[-1])

    def facts(self) -> dict[str, int | bool]:
        """Return the clip's entry in a result."""
        first, last = int(self.frames.min()), int(self.frames.max())
        return {"speed": self.speed, "first_frame": first, "last_frame": last, "looped": self.is_looped}


def read_pair(
    row: Row, clip: ClipSpec, speeds: Sequence[int], *, seed: int, time_limit: float, max_pixels: int
) -> list[ReadClip]:
    """Read a clip of a video at each of the speeds.

    Args:
        row: of the video.
        clip: defines a clip.
        speeds: playback rates, at least 1.
        seed: of the draws.
        time_limit: seconds that reading may take.
        max_pixels: that a picture may have.

    Raises:
        VideoError: the video cannot be read, or has no frames at the clip's frame rate.
    """
    rng = np.random.default_rng([seed, zlib.crc32(row["video"].encode())])
    opened = partial(Video, time_limit=time_limit, plan=row.get("plan"), max_pixels=max_pixels)
    with fetched(row) as path, opened(path, num_frames=row["num_frames"]) as video:
        kept = resampled(video, clip.frame_rate)
        crop = sampling.centre_square_crop(video.height, video.width)
        chosen = [kept[_frames(rng, len(kept), clip, speed=speed, longest=max(speeds))] for speed in speeds]
        pixels = video.read_clips([(frames, crop) for frames in chosen], clip.size)
    return [ReadClip(*parts) for parts in zip(speeds, chosen, pixels)]


def _frames(rng: np.random.Generator, length: int, clip: ClipSpec, *, speed: int, longest: int) -> Frames:
    """Draw a clip that is long enough for the highest speed, and take the frames shown at its own."""
    size = clip.num_frames * longest
    if clip.sampling == "cover":
        drawn = sampling.cover_clip(rng, length, size)
    else:
        drawn = sampling.sample_clip(rng, length, size, stride=clip.stride)
    return drawn[sampling.shown_frames(clip.num_frames, (speed,))]
