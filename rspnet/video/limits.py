"""What a video file may ask for: beyond this a header lies, or the file is no video to train on. Nothing slow here."""

import math
from typing import NamedTuple

MAX_PIXELS = 2**26
"""Pixels of a picture, unless told otherwise: 8192 x 8192, twice those of 8K (7680 x 4320). Decoders keep up to 17
pictures, of 1.5 bytes a pixel in most files and of 8 in some."""

MAX_PACKETS = 2**22
"""Of a file that is read by a plan: 46 hours at 25 frames per second."""

MAX_SAMPLES = 2**23
"""Packets of all streams that a file's tables may declare: to open it takes some 50 bytes for each."""

FEW_SAMPLES = 2**16
"""Packets that any file may declare: they take a few megabytes."""

LONGEST_FRAME = 6 * 3600
"""Seconds that a picture may stand; mp4 could say no more. Beyond, the clock was set, or is broken."""

FASTEST = 100_000
"""Frames per second; high-speed cameras stay below."""

LONGEST = 30 * 24 * 3600
"""Seconds that a header's word is taken for, where nothing else tells."""


class Limits(NamedTuple):
    """What reading one file may take.

    Attributes:
        pixels: of a picture.
        seconds: for opening it, and for what is then done with it.
    """

    pixels: int = MAX_PIXELS
    seconds: float = math.inf

    @property
    def for_decoders(self) -> dict[str, str]:
        """What a decoder is told; it counts the edges that it pads a picture with."""
        return {"max_pixels": str(self.pixels + self.pixels // 8 + 2**16)}


USUAL = Limits()
"""Where nothing else is asked for."""


def plausible_rate(rate: float) -> bool:
    """Whether frames may follow each other so fast, per second; NaN may not."""
    return 1 / LONGEST_FRAME <= rate <= FASTEST


def plausible_seconds(seconds: float, num_frames: int | None = None) -> bool:
    """Whether a video may last so long: so many frames, where that is known."""
    return 0 < seconds <= (LONGEST if num_frames is None else num_frames * LONGEST_FRAME)


def plausible_count(num_frames: int, num_bytes: int) -> bool:
    """Whether a file of so many bytes may hold so many frames: each takes one at least."""
    return 0 <= num_frames <= num_bytes
