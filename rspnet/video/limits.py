"""Limits of a plausible video file: beyond them a header is wrong, or the file is no video to train on.

Imports nothing slow.
"""

import math
from typing import NamedTuple

MAX_PIXELS = 2**26
"""Pixels per picture, by default: 8192 x 8192, twice those of 8K (7680 x 4320). Decoders hold up to 17 pictures, at 1.5
bytes per pixel in most files and 8 in some."""

MAX_PACKETS = 2**22
"""Packets of a file that is read by a plan: 46 hours at 25 frames per second."""

MAX_SAMPLES = 2**23
"""Packets that a file's tables may declare for all streams: opening the file takes some 50 bytes for each."""

FEW_SAMPLES = 2**16
"""Packets that even the smallest file may declare: they take a few megabytes."""

LONGEST_FRAME = 6 * 3600
"""Seconds that a frame may be shown; an mp4 can hardly store more. Beyond that, the clock was set, or is broken."""

FASTEST = 100_000
"""Highest frame rate, frames per second; high-speed cameras stay below."""

LONGEST = 30 * 24 * 3600
"""Longest duration in seconds that is believed of a header alone."""


class Limits(NamedTuple):
    """Limits for reading one file.

    Attributes:
        pixels: pixels per picture.
        seconds: for opening the file, and again for each operation on it.
    """

    pixels: int = MAX_PIXELS
    seconds: float = math.inf

    @property
    def for_decoders(self) -> dict[str, str]:
        """Options for a decoder; its limit is larger because it counts the padding of a picture too."""
        return {"max_pixels": str(self.pixels + self.pixels // 8 + 2**16)}


USUAL = Limits()
"""The default limits."""


def plausible_rate(rate: float) -> bool:
    """Whether a frame rate, per second, is possible; NaN is not."""
    return 1 / LONGEST_FRAME <= rate <= FASTEST


def plausible_seconds(seconds: float, num_frames: int | None = None) -> bool:
    """Whether a duration is possible for a video, of so many frames if their number is known."""
    return 0 < seconds <= (LONGEST if num_frames is None else num_frames * LONGEST_FRAME)


def plausible_count(num_frames: int, num_bytes: int) -> bool:
    """Whether a file of `num_bytes` bytes can hold so many frames: each takes at least one byte."""
    return 0 <= num_frames <= num_bytes
