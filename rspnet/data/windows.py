"""Where the windows of a video lie, which features are made of, and the clips in each.

Numbers of frames are those of the video at the clips' frame rate.
"""

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
        amount: number of frames, or of seconds.
        in_seconds: which.
    """

    amount: float
    in_seconds: bool

    def frames(self, rate: float) -> float:
        """It in frames of a video of `rate` frames per second, not rounded.

        Raises:
            ValueError: it is in seconds, and the rate is not known (0).
        """
        if not self.in_seconds:
            return self.amount
        if not rate:
            raise ValueError("does not say its frame rate; give --window and --step in frames, such as 64f")
        return self.amount * rate

    def __str__(self) -> str:
        return f"{self.amount:.12g} s" if self.in_seconds else some(int(self.amount), "frame")


def read_length(text: float | str, option: str) -> Length:
    """A length as people write it: ``2``, ``2.5`` or ``2.5s`` seconds, ``64f`` frames.

    Args:
        text: it.
        option: whose value it is, for the message.

    Raises:
        ConfigError: it is none.
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

    The first begins with the video, each further one `step` later. A last one ends with the video, if windows that
    touch or overlap would leave a rest out. A video shorter than a window is one. Without window and step, each video
    is one with as many clips as a test takes.

    Attributes:
        clip: what a clip is, and how many a window has at most.
        window: None: as long as a clip.
        step: None: as long as a window.
    """

    clip: ClipSpec
    window: Length | None = None
    step: Length | None = None

    def __str__(self) -> str:
        window = self.window or Length(self.span(), False)
        return str(window) if self.step is None else f"{window}, one every {self.step}"

    @property
    def are_videos(self) -> bool:
        """Whether each video is one."""
        return self.window is None and self.step is None

    def span(self) -> int:
        """Frames that a clip reaches over, at least."""
        if self.clip.sampling == "cover":
            return self.clip.num_frames
        return sampling.clip_span(self.clip.num_frames, self.clip.stride)

    def grid(self, length: int, rate: float) -> "Grid":
        """Cut up a video.

        Args:
            length: its frames, at least one.
            rate: frames per second; 0: not known.

        Raises:
            TooShortError: a window is shorter than a clip.
            ValueError: it is in seconds, and the rate is not known.
        """
        if self.are_videos:
            return Grid(np.zeros(1, np.int64), length, self._clips(length, self.clip.views))
        span = self.span()
        size = span if self.window is None else max(1, round(self.window.frames(rate)))
        if size < span:
            raise TooShortError(f"a window of {self.window} is {size} frames, and a clip reaches over {span}")
        # Windows begin at whole frames: by less than one of these there is no step.
        step = size if self.step is None else max(1, self.step.frames(rate))
        # Each by itself, so that window k begins at k steps whatever fraction of a frame a step is.
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
        clips: int64 (V, T), the frames of each one's clips, from its first on.
    """

    starts: Frames
    size: int
    clips: Frames

    def __len__(self) -> int:
        return len(self.starts)

    def frames(self, first: int = 0, stop: int | None = None) -> Frames:
        """All frames that clips of the windows from number `first` to before `stop` (None: the end) show, ascending."""
        starts = self.starts[first:stop]
        if not len(starts):
            return np.empty(0, np.int64)
        shown = np.zeros(int(starts[-1] - starts[0]) + self.size, bool)
        for offset in np.unique(self.clips):
            shown[starts - starts[0] + offset] = True
        return np.flatnonzero(shown) + int(starts[0])


def read_windows(clip: ClipSpec | None, window: float | str | None, step: float | str | None) -> Windows:
    """Windows as options name them.

    Args:
        clip: what a clip is; None only looks at the options.
        window: as for `read_length`.
        step: likewise.

    Raises:
        ConfigError: as `read_length`; or a window of a number of frames is shorter than a clip, whatever the video.
    """
    lengths = (
        None if text is None else read_length(text, option) for option, text in (("--window", window), ("--step", step))
    )
    windows = Windows(clip or ClipSpec(1, 1, (0, 0, 0), (1, 1, 1)), *lengths)
    if windows.window is not None and not windows.window.in_seconds and windows.window.amount < windows.span():
        raise ConfigError(f"--window: {window}; a clip reaches over {windows.span()} frames: give as many at least")
    return windows
