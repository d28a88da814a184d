"""What a network is fed with."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ClipSpec:
    """The clips that a network is fed with: as in its training, or as it is made for.

    Attributes:
        num_frames: Frames of a clip.
        size: Height and width of a clip, pixels.
        mean: Mean to subtract per channel, of pixels scaled to 0-1.
        std: Standard deviation to divide by, likewise.
        channels: Their order.
        stride: Gap between a clip's frames, frames.
        sampling: Consecutive frames (clip), or frames that cover the whole video (cover).
        frame_rate: Frames per second that videos are resampled to first; None: as they are.
        views: Clips of a video in a test, evenly spaced.
    """

    num_frames: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Literal["RGB", "BGR"] = "RGB"
    stride: int = 1
    sampling: Literal["clip", "cover"] = "clip"
    frame_rate: float | None = None
    views: int = 10
