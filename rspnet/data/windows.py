"""The windows of a video, from which features are made, and the clips in each.

Frame numbers are those of the video at the clips' frame rate.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from rspnet.clipspec import ClipSpec
from rspnet.console import some
from rspnet.data import sampling
from rspnet.data.sampling import Frames
from rspnet.errors import ConfigError

_LENGTH = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(s|f|frames?)?")
_LONGEST = 1_000_000_000  # seconds or frames


@dataclass(frozen=True)
class Length:
    """A length of time.

    Attributes:
        amount: number of seconds or frames.
        in_seconds: whether `amount` is in seconds.
    """

    amount: float
    in_seconds: bool

    def frames(self, rate: float) -> float:
        """Return the length in frames of a video of `rate` frames per second, not rounded.

        Raises:
            ValueError: the length is in seconds, and the rate is not known (0).
        """
        if not self.in_seconds:
            return self.amount
        if not rate:
            raise ValueError("does not say its frame rate; give --window and --step in frames, such as 64f")
        return self.amount * rate

    def __str__(self) -> str:
        return f"{self.amount:.12g} s" if self.in_seconds else some(int(self.amount), "frame")


def read_length(text: float | str, option: str) -> Length:
    """Parse a length as users write it: ``2``, ``2.5`` or ``2.5s`` for seconds, ``64f`` for frames.

    Args:
        text: the length.
        option: whose value it is, for the message.

    Raises:
        ConfigError: it is not a length, or too large.
    """
    match = _LENGTH.fullmatch(str(text).strip())
    if match:
        length = Length(float(match[1]), (match[2] or "s") == "s")
        if length.amount > _LONGEST:
            raise ConfigError(f"{option}: {text}; it must be at most {_LONGEST}")
        if length.amount > 0 and (length.in_seconds or length.amount.is_integer()):
            return length
    raise ConfigError(f"{option}: {text}; give seconds, such as 2.5, or frames, such as 64f")


class TooShortError(ValueError):
    """A window that is shorter than a clip."""


@dataclass(frozen=True)
class Windows:
    """How a video is cut into windows.

    The first window begins with the video, each further one `step` later. If windows touch or overlap but would leave
    out the end, a last one ends with the video. A video shorter than a window is one window. Without `window` and
    `step`, each video is one window with as many clips as a test takes.

    Attributes:
        clip: defines a clip, and the largest number of clips in a window.
        window: length of a window; None: as long as a clip.
        step: from the start of one window to the next; None: as long as a window.
    """

    clip: ClipSpec
    window: Length | None = None
    step: Length | None = None

    def __str__(self) -> str:
        window = self.window or Length(self.span(), False)
        return str(window) if self.step is None else f"{window}, one every {self.step}"

    @property
    def are_videos(self) -> bool:
        """Whether each video is one window."""
        return self.window is None and self.step is None

    def span(self) -> int:
        """Return how many frames a clip spans, at least."""
        if self.clip.sampling == "cover":
            return self.clip.num_frames
        return sampling.clip_span(self.clip.num_frames, self.clip.stride)

    def grid(self, length: int, rate: float) -> "Grid":
        """Cut a video into windows.

        Args:
            length: number of its frames, at least one.
            rate: frames per second; 0 if not known.

        Raises:
            TooShortError: a window is shorter than a clip.
            ValueError: window or step is in seconds, and the rate is not known.
        """
        if self.are_videos:
            return Grid(np.zeros(1, np.int64), length, self._clips(length, self.clip.views))
        span = self.span()
        exact = span if self.window is None else self.window.frames(rate)
        size = max(1, round(exact))
        if size < span:
            raise TooShortError(f"a window of {self.window} is {size} frames, but a clip spans {span}")
        # Windows begin at whole frames, so a step is at least one.
        step = size if self.step is None else max(1, self.step.frames(rate))
        if step <= exact:  # rounded down, windows that touch would leave out frames between them
            size = max(size, math.ceil(step - 1e-6))
        # Each start is rounded separately, so that window k begins at k steps even if a step is no whole number.
        starts = np.unique(np.floor(np.arange(max(0, length - size) // step + 2) * step + 0.5).astype(np.int64))
        starts = starts[(starts + size <= length) | (starts == 0)]
        if step <= size and starts[-1] + size < length:
            starts = np.append(starts, length - size)
        views = 1 if self.clip.sampling == "cover" else min(self.clip.views, -(-size // span))
        return Grid(starts, min(size, length), self._clips(min(size, length), views))

    def _clips(self, size: int, views: int) -> Frames:
        if self.clip.sampling == "cover":
            return sampling.cover_clips(size, self.clip.num_frames, views)
        return sampling.even_clips(size, self.clip.num_frames, self.clip.stride, n=views)


@dataclass(frozen=True)
class Grid:
    """The windows of one video.

    Attributes:
        starts: int64 (N,), the first frame of each, ascending.
        size: frames of each.
        clips: int64 (V, T), the frames of a window's clips, counted from its first frame.
    """

    starts: Frames
    size: int
    clips: Frames

    def __len__(self) -> int:
        return len(self.starts)

    def frames(self, first: int = 0, stop: int | None = None) -> Frames:
        """Return all frames shown in the clips of windows `first` to `stop` - 1 (None: to the last), ascending."""
        starts = self.starts[first:stop]
        if not len(starts):
            return np.empty(0, np.int64)
        shown = np.zeros(int(starts[-1] - starts[0]) + self.size, bool)
        for offset in np.unique(self.clips):
            shown[starts - starts[0] + offset] = True
        return np.flatnonzero(shown) + int(starts[0])


def read_windows(clip: ClipSpec | None, window: float | str | None, step: float | str | None) -> Windows:
    """Return the windows given by options.

    Args:
        clip: defines a clip; None only checks the options.
        window: as for `read_length`.
        step: likewise.

    Raises:
        ConfigError: as `read_length`; or a window given in frames is shorter than a clip, whatever the video.
    """
    lengths = (
        None if text is None else read_length(text, option) for option, text in (("--window", window), ("--step", step))
    )
    windows = Windows(clip or ClipSpec(1, 1, (0, 0, 0), (1, 1, 1)), *lengths)
    if windows.window is not None and not windows.window.in_seconds and windows.window.amount < windows.span():
        raise ConfigError(f"--window: {window}; a clip spans {windows.span()} frames: give at least as many")
    return windows
