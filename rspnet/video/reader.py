"""Reading video files: exact frames by index, with PyAV, in one thread.

Frame n is the n-th frame that a full sequential decode of the file gives, turned as players show it. plan.py
knows which packets to start from and to stop at, and feed.py feeds them to the decoder; frames that nobody wants are
left out where no other leans on them; the wanted ones are cropped, resized and converted by pixels.py as they come.
What cannot be read so is counted from the start: slow, always right. This offers what inspection.py and writer.py do.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import av
from av.video.frame import VideoFrame

from rspnet.console import some
from rspnet.errors import RSPNetError, VideoError
from rspnet.video.decoding import Damage, decode_all
from rspnet.video.feed import Feed
from rspnet.video.inspection import inspect
from rspnet.video.limits import MAX_PACKETS, MAX_PIXELS, Limits, plausible_count
from rspnet.video.opening import Clock, only_video_errors
from rspnet.video.orientation import Pixels, orientation
from rspnet.video.packets import UnexpectedError
from rspnet.video.pixels import Album, Converter, Crop, Indices, MisfitError
from rspnet.video.plan import Numbers, OtherFileError, Plan
from rspnet.video.survey import Survey
from rspnet.video.times import promised_rate
from rspnet.video.writer import encode, transcode

__all__ = ["Video", "encode", "inspect", "read_frames", "transcode"]

Given = ParamSpec("Given")
Found = TypeVar("Found")


def read_frames(path: str | os.PathLike[str], indices: Indices) -> Pixels:
    """Read frames of a video by index.

    Args:
        path: the file.
        indices: which frames, in any order; repeats are fine. Whole numbers, of Python or NumPy.

    Returns:
        uint8 (len(indices), H, W, 3), RGB.

    Raises:
        VideoError: the file cannot be read, or has no such frame.
    """
    with Video(path) as video:
        return video.read(indices)


def _only_video_errors(
    method: Callable[Concatenate["Video", Given], Found],
) -> Callable[Concatenate["Video", Given], Found]:
    """For what users call: whatever goes wrong with a file is a VideoError that names it."""

    @wraps(method)
    def guarded(video: "Video", /, *args: Given.args, **kwargs: Given.kwargs) -> Found:
        with only_video_errors(video.path, MisfitError) if hasattr(video, "path") else nullcontext():
            return method(video, *args, **kwargs)

    return guarded


class Video:
    """Exact random access to the frames of one file; a context manager, so that the file is always closed.

    Args:
        path: the file.
        num_frames: frames as decoded (`inspect` with depth "decode" counts them), when known. It also settles how a
            damaged file is read: where the container promises another number, frames are counted from the start.
        time_limit: seconds that opening, counting or one call of `read` may take.
        plan: the file's plan as `inspect` with depth "decode" gives it. Else it is made from the packets (a few
            milliseconds) or, where they do not tell, frames are counted. One of another file (another size, another
            number of frames) is passed over.
        max_pixels: a video of larger pictures is not opened.

    Attributes:
        path: the file.
        clock: its time limit; to be started before `frames`.
        converter: what makes pixels of its frames.

    Raises:
        VideoError: not a video that can be opened, or the plan is none.
    """

    @_only_video_errors
    def __init__(
        self,
        path: str | os.PathLike[str],
        num_frames: int | None = None,
        time_limit: float = 30.0,
        *,
        plan: str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.path = os.fspath(path)
        self.clock = Clock(self.path, time_limit)
        self._num_frames = num_frames
        self._limits = Limits(max_pixels, time_limit)
        self._surveyed = self._believed = False
        self._plan = self._fitting(plan) if plan else None
        self._feed = Feed(self.clock, self._plan, self._limits)
        if num_frames is not None and not plausible_count(num_frames, self._feed.container.size):
            size = self._feed.container.size
            raise VideoError(f"{self.path}: {num_frames} frames are promised, but it has {size} bytes; verify it anew")
        if self._plan and self._plan.can_jump and not self._feed.is_quick:
            self._plan = None
        self.converter = Converter(self._plan.size, self._plan.orientation) if self._plan else Converter()

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._feed.close()

    @property
    @_only_video_errors
    def num_frames(self) -> int:
        """How many frames a full decode gives: as promised to the constructor, else counted."""
        if self._num_frames is None:
            self.clock.start()
            self._plan_from_packets()
            self._plan = self._plan or self._plan_from_frames()
            self._num_frames = len(self._plan.shown)
        return self._num_frames

    @property
    def plan(self) -> str | None:
        """The plan by which it is read, as text for another `Video` of the file; None where it has none yet."""
        return self._plan.to_text() if self._plan and self._plan.num_packets <= MAX_PACKETS else None

    @property
    @_only_video_errors
    def fps(self) -> float:
        """Average frames per second, by the frames' own times where those are known; 0.0 where nothing tells."""
        plan = self._paced()
        return float(plan.rate if plan else promised_rate(self._feed.stream))

    @property
    @_only_video_errors
    def moments(self) -> Numbers | None:
        """int64 (frames + 1,), milliseconds, when each frame is shown and the last one ends.

        None where frame n is shown at n / fps, give or take a frame, or nothing tells.
        """
        plan = self._paced()
        return plan.moments if plan else None

    @property
    @_only_video_errors
    def height(self) -> int:
        """Pixels, as shown."""
        return self._size()[0]

    @property
    @_only_video_errors
    def width(self) -> int:
        """Pixels, as shown."""
        return self._size()[1]

    @_only_video_errors
    def read(self, indices: Indices, crop: Crop | None = None, size: int | None = None) -> Pixels:
        """Read the frames of one clip.

        Args:
            indices: which frames, in any order; repeats are fine and cost nothing.
            crop: top, left, height, width of the part to cut out, pixels.
            size: resize to `size` x `size` pixels: bilinear, align_corners False, no antialiasing (as published; see
                pixels.py).

        Returns:
            uint8 (len(indices), height, width, 3), RGB.

        Raises:
            VideoError: no such frame, indices that are no whole numbers, the crop leaves the picture, the file yields
                fewer frames than promised or cannot be read, or the time is up.
        """
        return self.read_clips([(indices, crop)], size)[0]

    @_only_video_errors
    def read_clips(
        self,
        clips: Sequence[tuple[Indices, Crop | None]],
        size: int | None = None,
        out: Sequence[Pixels] | None = None,
    ) -> list[Pixels]:
        """Read several clips in one pass: frames they share are decoded once.

        Args:
            clips: for each clip its indices and its crop, as for `read`.
            size: as for `read`.
            out: for each clip the array to fill, of the shape that `read` returns; None makes them.

        Returns:
            One array per clip, as from `read`.

        Raises:
            VideoError: as from `read`.
            MisfitError: an array of `out` does not fit.
        """
        self.clock.start()
        album = Album(self.path, clips, size, converter=self.converter, out=out)
        wanted = album.wanted
        for index in wanted[:1] + wanted[-1:]:
            if not 0 <= index < self.num_frames:
                raise VideoError(
                    f"{self.path}: no frame {index}; it has {some(self.num_frames, 'frame')}, the first is 0"
                )
        self._size()
        for index, frame in self.frames(wanted):
            album.put(index, frame)
        return album.finish()

    def _fitting(self, text: str) -> Plan | None:
        """The plan that was handed in, if it is this file's."""
        try:
            plan = Plan.from_text(text, os.path.getsize(self.path))
        except (OSError, OtherFileError):  # opening the file says what is wrong
            return None
        except ValueError as error:
            raise VideoError(f"{self.path}: {error}; make the index anew with verify --depth decode") from None
        return plan if self._num_frames in (None, len(plan.shown)) else None

    def _paced(self) -> Plan | None:
        """The plan, which knows the frames' times; None where only the header tells the rate."""
        self.clock.start()
        self._plan_from_packets()
        if not self._plan and (self._num_frames is None or not promised_rate(self._feed.stream)):
            self._plan = self._plan_from_frames()
        return self._plan

    def _plan_from_packets(self) -> None:
        """Make the plan, once, where the packets' times tell it."""
        if self._plan or self._surveyed:
            return
        self._surveyed = True
        self._feed.rewind()
        survey = Survey(self._feed.container, self._feed.stream)
        with suppress(av.FFmpegError):
            deque(survey(self._feed.packets()), maxlen=0)
            shown = survey.shown_by_headers()
            if shown and self._num_frames in (None, len(shown)):
                self._plan = survey.plan(shown)

    def _plan_from_frames(self) -> Plan:
        """The plan as decoding everything gives it."""
        self._feed.rewind()
        stream, damage = self._feed.stream, Damage()
        survey = Survey(self._feed.container, stream)
        shown = [frame.pts for frame in decode_all(survey(self._feed.packets()), stream, damage)]
        # A decoder of Motion JPEG fills gaps from the picture before, and says so only where it is strict.
        is_jpeg = stream.codec_context.name == "mjpeg"
        return survey.plan(shown, is_jpeg or damage.refused + damage.flagged + damage.spoilt > 0)

    def _check_looks(self, frame: VideoFrame, plan: Plan) -> None:
        """Believe a plan in size and orientation where the first frame that comes, or else that of the file, is so.

        Raises:
            VideoError: it is not.
        """
        if self._believed or plan.size is None:
            return
        turn = orientation(frame)
        if (turn, turn.size(frame.height, frame.width)) != (plan.orientation, plan.size):
            first = Converter()
            with Feed(self.clock, None, self._limits) as feed:
                first.start(next(decode_all(feed.packets(), feed.stream)))
            if (first.orientation, first.size) != (plan.orientation, plan.size):
                raise VideoError(f"{self.path}: its plan is of pictures of another size or turn; verify it anew")
        self._believed = True

    def frames(self, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield each wanted frame with its index. All may come again: then the second are the right ones."""
        self._plan_from_packets()
        plan = self._plan
        if plan and plan.can_jump:
            try:
                for run in plan.runs(wanted):
                    for index, frame in self._feed.run(run, plan):
                        self._check_looks(frame, plan)
                        yield index, frame
                return
            except RSPNetError:
                raise
            except (UnexpectedError, av.FFmpegError, OSError, IndexError, ValueError):
                self._plan = replace(plan, keys=plan.keys[:0], times=None)  # which are of use for jumping alone
        yield from self._feed.from_start(wanted, self.num_frames)

    def _size(self) -> tuple[int, int]:
        if self.converter.size is None:
            self.clock.start()
            return self.converter.start(next(self.frames([0]))[1])  # only a decoded frame tells the orientation
        return self.converter.size
