"""Which frames and which part of the picture a clip shows: integers only, no pixels.

Every rule is the published code's, surprises included (a video shorter than its clip is looped). Frame indices are
0 to ``num_frames`` - 1. For a resampled video they are positions in the list that ``resample`` returns, so that the
real frames are ``frames[even_clips(len(frames), ...)]``.

Functions that draw take the generator as their first argument and draw in the published order; any object with
``uniform(low, high)`` and ``integers(low, high)`` serves, so recorded draws can be replayed.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.int64]
"""Frame numbers, or times in milliseconds."""


MOST_FRAMES = 2**23
"""Limit on a resampled video's frames: 93 hours at 25 frames per second, some hundred megabytes of memory."""


def clip_span(size: int, stride: int = 1) -> int:
    """Return how many consecutive frames a clip of ``size`` frames, ``stride`` apart, spans."""
    if size < 1 or stride < 1:
        raise ValueError(f"a clip needs a size and a stride of at least 1, not size {size} and stride {stride}")
    return (size - 1) * stride + 1


def strided_clip(num_frames: int, size: int, stride: int = 1, *, start: int = 0) -> Frames:
    """Return the clip that begins at frame ``start``; if the video is too short for it, the published substitute.

    The substitute ignores ``start``: a video of at most ``size`` frames is looped, which puts a jump cut into the clip;
    of a longer one (but shorter than the clip's span) frames evenly spread from the first to the last are taken.

    Returns:
        (size,) int64 frame indices.

    Raises:
        ValueError: the video has no frame, or a clip from ``start`` would run past the last one.
    """
    spare = _spare(num_frames, size, stride)
    if spare < 0:
        return np.arange(size) % num_frames if num_frames <= size else _spread(num_frames - 1, size)
    if not 0 <= start <= spare:
        raise ValueError(f"start {start} is outside 0..{spare} (size {size}, stride {stride}, {num_frames} frames)")
    return start + stride * np.arange(size)


def sample_clip(rng: np.random.Generator, num_frames: int, size: int, *, stride: int = 1) -> Frames:
    """Draw a clip's start evenly among all that fit (the published RandomStrideCrop).

    Args:
        rng: The generator; it draws once, for the start, unless the video is too short for a clip.
        num_frames: Frames in the video.
        size: Frames in the clip.
        stride: The step from one frame of the clip to the next.

    Returns:
        (size,) int64 frame indices; see ``strided_clip`` for short videos.
    """
    spare = _spare(num_frames, size, stride)
    start = int(rng.integers(0, spare + 1)) if spare >= 0 else 0
    return strided_clip(num_frames, size, stride, start=start)


def shown_frames(size: int, speeds: Iterable[int]) -> Frames:
    """Return which of consecutive frames a clip of ``size`` frames shows at any of the playback rates.

    Speed 2 shows every second frame, so it spans twice as many.

    Returns:
        (m,) int64 positions, ascending: ``size`` of them for one speed, half as many again for speeds 1 and 2.
    """
    return np.array(sorted({place * speed for speed in speeds for place in range(size)}))


def even_clips(num_frames: int, size: int, stride: int = 1, *, n: int = 10) -> Frames:
    """Spread n clips evenly over the video, a single one in its middle (the published EvenNCrop).

    Returns:
        (n, size) int64 frame indices; a video that is too short gives the same clip n times.
    """
    _check_count(n)
    spare = max(_spare(num_frames, size, stride), 0)
    starts = [spare // 2] if n == 1 else _spread(spare, n)
    return np.stack([strided_clip(num_frames, size, stride, start=int(start)) for start in starts])


def cover_clip(rng: np.random.Generator, num_frames: int, size: int) -> Frames:
    """Take one frame from each of ``size`` equal parts of the whole video, at one drawn offset (Something-Something).

    Returns:
        (size,) int64 frame indices; a video of fewer than ``size`` frames is looped.
    """
    if _spare(num_frames, size, 1) <= 0:
        return strided_clip(num_frames, size)
    step = num_frames / size
    indices = np.floor(np.arange(size) * step + rng.uniform(0, step)).astype(np.int64)
    inside: Frames = np.minimum(indices, num_frames - 1)
    return inside


def cover_clips(num_frames: int, size: int, n: int = 1) -> Frames:
    """Return n clips as ``cover_clip`` at fixed offsets: the middle of a part for one, else k/n of a part for clip k.

    In exact integers; the published code's floats give the same for every ``size`` that is a power of two.

    Returns:
        (n, size) int64 frame indices; a video of fewer than ``size`` frames is looped.
    """
    _check_count(n)
    if _spare(num_frames, size, 1) <= 0:
        return np.tile(strided_clip(num_frames, size), (n, 1))
    # The offset as a fraction of a part, numerator / denominator.
    numerator, denominator = (np.ones(1, np.int64), 2) if n == 1 else (np.arange(n), n)
    return (np.arange(size) * denominator + numerator[:, None]) * num_frames // (size * denominator)


def resample(num_frames: int, source_fps: float, target_fps: float | None, *, moments: Frames | None = None) -> Frames:
    """Return the frames that play the video at another rate: some are left out, or some repeated.

    A video that lasts less than one frame of the target rate may leave none, as published; drawing a clip from it
    raises.

    Args:
        num_frames: Frames in the video.
        source_fps: Its average frame rate, frames per second.
        target_fps: The wanted frame rate; None keeps every frame.
        moments: int64 (num_frames + 1,), milliseconds, for a video whose rate varies: when each frame is shown, and
            when the last one ends. Then the frames are those that a viewer sees at each tick of the new rate.

    Returns:
        (m,) int64 frame indices, never decreasing.

    Raises:
        ValueError: a frame rate is not a positive number, or there would be more frames than any video has.
    """
    if target_fps is None:
        if num_frames > MOST_FRAMES:
            raise ValueError(f"{num_frames} frames are more than any video has")
        return np.arange(num_frames)
    if not (0 < source_fps < math.inf and 0 < target_fps < math.inf):
        raise ValueError(f"frame rates must be positive numbers, not {source_fps} (source) and {target_fps} (target)")
    seconds = num_frames / source_fps if moments is None else (int(moments[-1]) - int(moments[0])) / 1000
    if not seconds * target_fps < MOST_FRAMES:
        raise ValueError(f"{num_frames} frames would last {seconds:g} s, which is {seconds * target_fps:g} frames")
    if moments is not None:
        since = moments - moments[0]
        ticks = np.arange(math.floor(since[-1] * target_fps / 1000)) * 1000 / target_fps
        return np.searchsorted(since[:num_frames], np.rint(ticks), side="right") - 1
    step = source_fps / target_fps
    if step.is_integer():
        return np.arange(0, num_frames, int(step))
    kept: Frames = np.floor(np.arange(math.floor(num_frames / step)) * step).astype(np.int64)
    return kept


_ASPECT = (3 / 4, 4 / 3)
"""Range of width / height of a random crop, uniform in its logarithm."""


def random_area_crop(
    rng: np.random.Generator, height: int, width: int, *, area: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draw a crop of random area and shape, as published: ten attempts, then the largest centred one that is allowed.

    Args:
        rng: The generator; it draws twice per attempt, and twice more for the place of the crop that fits.
        height: Frame height, pixels.
        width: Frame width, pixels.
        area: Range of the crop's share of the frame, uniform (published: 0.4-1 in pretraining, 0.25-1 in fine-tuning).

    Returns:
        (top, left, height, width) in pixels, inside the frame.
    """
    _check_frame(height, width)
    for _ in range(10):
        pixels = rng.uniform(*area) * height * width
        shape = math.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
        w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    shape = min(max(width / height, _ASPECT[0]), _ASPECT[1])
    # One of the two is the full side; min() keeps the other inside if a side is only a pixel or two. Neither is 0.
    w, h = min(width, round(height * shape)), min(height, round(width / shape))
    return (height - h) // 2, (width - w) // 2, h, w


def centre_square_crop(height: int, width: int) -> tuple[int, int, int, int]:
    """Return the largest centred square, the published crop for validation and tests.

    Returns:
        (top, left, height, width) in pixels.
    """
    _check_frame(height, width)
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def _spare(num_frames: int, size: int, stride: int) -> int:
    """Return how far a clip can be moved in the video; negative if it does not fit."""
    if num_frames < 1:
        raise ValueError(f"no clip of {size} frames can be taken from {num_frames} frames")
    return num_frames - clip_span(size, stride)


def _spread(last: int, n: int) -> Frames:
    """Return n >= 2 integers spread evenly from 0 to ``last``, halves rounded to the even neighbour (as published)."""
    quotient, remainder = np.divmod(np.arange(n) * last, n - 1)
    up = (2 * remainder > n - 1) | ((2 * remainder == n - 1) & (quotient % 2 == 1))
    spread: Frames = quotient + up
    return spread


def _check_count(n: int) -> None:
    if n < 1:
        raise ValueError(f"the number of clips must be at least 1, not {n}")


def _check_frame(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"no crop can be taken from a frame of {height} x {width} pixels")
