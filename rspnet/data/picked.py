"""Read the chosen clips of one video, resampled to another frame rate if wanted."""

from collections.abc import Callable

import numpy as np

from rspnet.data import sampling
from rspnet.data.sampling import Frames
from rspnet.errors import VideoError
from rspnet.video.orientation import Pixels
from rspnet.video.pixels import Crop
from rspnet.video.reader import Video


def read_picked(
    video: Video,
    picker: Callable[[int, tuple[int, int]], list[tuple[Frames, Crop]]],
    size: int,
    *,
    out: list[Pixels],
    frame_rate: float | None = None,
) -> None:
    """Read the clips that a picker chooses of a video.

    Args:
        video: open.
        picker: (length in frames after resampling, (height, width) in pixels) -> frame indices and crop of each clip.
        size: S, pixels.
        out: V arrays (T, S, S, 3) uint8, which are filled.
        frame_rate: frames per second that the video is resampled to first; None does not resample.

    Raises:
        VideoError: the video cannot be read, or has no frames at this rate.
    """
    kept = resampled(video, frame_rate)
    pairs = [(kept[frames], crop) for frames, crop in picker(len(kept), (video.height, video.width))]
    video.read_clips(pairs, size, out)


def resampled(video: Video, frame_rate: float | None) -> Frames:
    """Return the frames that play a video at another frame rate, chosen by their times if its own rate varies.

    Args:
        video: open.
        frame_rate: frames per second; None keeps all frames.

    Returns:
        int64 frame numbers, never decreasing, at least one.

    Raises:
        VideoError: the video cannot be read, or has no frames at this rate.
    """
    if not video.num_frames:
        raise VideoError(f"{video.path}: holds no frames; find such files with stages/verify.py --depth decode")
    if frame_rate is None:
        return np.arange(video.num_frames)
    if not video.fps:
        raise VideoError(f"{video.path}: does not say its frame rate; transcode it, or leave clips.frame_rate out")
    try:
        kept = sampling.resample(video.num_frames, video.fps, frame_rate, moments=video.moments)
    except ValueError as error:
        raise VideoError(f"{video.path}: cannot be resampled ({error}); transcode it, or drop it") from None
    if not len(kept):
        raise VideoError(f"{video.path}: too short to resample to {frame_rate:g} frames per second")
    return kept
