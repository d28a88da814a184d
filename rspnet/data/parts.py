"""Parts of the windows of videos: what is asked for, and what is answered."""

from typing import NamedTuple, TypedDict

from torch import Tensor


class PartRequest(NamedTuple):
    """Windows of a video; of these come as many from the first on as make a part.

    Attributes:
        row: of the index.
        first: number of the first one.
        stop: number of the one behind the last that is wanted; None: all that follow.
        lane: who asks: each goes through what it asks for in order.
        plan: of the video, as a part of it has told: whoever opens it next need not go through the file for it.
    """

    row: int
    first: int
    stop: int | None
    lane: int
    plan: str | None = None


class Span(NamedTuple):
    """Where a window lies in its video.

    Attributes:
        start: seconds from its beginning; None: not known.
        end: likewise.
        start_frame: the first one.
        end_frame: the one behind the last one.
    """

    start: float | None
    end: float | None
    start_frame: int
    end_frame: int


class Part(TypedDict):
    """A part of a video's windows.

    Attributes:
        clips: one uint8 (N * V, T, S, S, 3) of the N windows' V clips each.
        row: of the index; -1: nothing was asked for.
        lane: that asked.
        first: number of the first window.
        spans: of the N windows.
        size: windows that a part of this video has, if it ends with nothing else.
        total: windows of the video. 0, as is the size: not known, for it cannot be opened.
        status: ok; of one that cannot be read behind these windows: missing, timeout, short (a window is shorter than a
            clip) or broken.
        reason: why; empty if it is ok.
        plan: of the video, where the request had none, windows are left behind these, and it is known.
    """

    clips: list[Tensor]
    row: int
    lane: int
    first: int
    spans: list[Span]
    size: int
    total: int
    status: str
    reason: str
    plan: str | None
