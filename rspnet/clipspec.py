"""The clips that a network expects as input."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ClipSpec:
    """The clips that a network expects: those that it was trained with, or that its architecture is made for.

    Attributes:
        num_frames: Frames per clip.
        size: Height and width of a clip, pixels.
        mean: Mean to subtract per channel, for pixels scaled to 0-1.
        std: Standard deviation to divide by per channel, for pixels scaled to 0-1.
        channels: Order of the colour channels.
        stride: Distance between successive frames of a clip, frames.
        sampling: "clip" for frames `stride` apart, or "cover" for frames spread over the whole video.
        frame_rate: Frames per second that videos are resampled to first; None keeps their own rate.
        views: Clips per test video, evenly spaced.
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
