"""Parts of videos' windows: the request for one and the answer to it."""

from typing import NamedTuple, TypedDict

from torch import Tensor


class PartRequest(NamedTuple):
    """A request for windows of a video; the answer holds as many of them, from the first on, as make a part.

    Attributes:
        row: of the index.
        first: number of the first window.
        stop: number of the window after the last one wanted; None: all that follow.
        lane: that requests them, see `rspnet.data.lanes.Lanes`; each reads its windows in order.
        plan: of the video, if an earlier part had it; saves whoever opens the file next from making it again.
    """

    row: int
    first: int
    stop: int | None
    lane: int
    plan: str | None = None


class Span(NamedTuple):
    """Where a window lies in its video.

    Attributes:
        start: seconds from the beginning of the video; None if not known.
        end: likewise.
        start_frame: number of its first frame.
        end_frame: number of the frame after its last one.
    """

    start: float | None
    end: float | None
    start_frame: int
    end_frame: int


class Part(TypedDict):
    """A part of a video's windows.

    Attributes:
        clips: one uint8 (N * V, T, S, S, 3), V clips of each of the N windows.
        row: of the index; -1 if nothing was requested.
        lane: that requested it.
        first: number of the first window.
        spans: of the N windows.
        size: number of windows in a full part of this video; 0 if the video cannot be opened.
        total: number of windows of the video; 0 if it cannot be opened.
        status: ok; or why the video cannot be read after these windows: missing, timeout, short (a window is shorter
            than a clip) or broken.
        reason: the error in words; empty if ok.
        plan: of the video, if it is known, the request had none, and windows follow these; otherwise None.
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
