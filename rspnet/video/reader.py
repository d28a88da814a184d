"""Reading video files: exact frames by index, with PyAV, in one thread.

Frame n is the n-th frame that a full sequential decode of the file gives, in the orientation in which players show it.
plan.py knows at which packets to start and to stop, and feed.py feeds them to the decoder. Frames that are not wanted
are skipped if no other depends on them; the wanted ones are cropped, resized and converted by pixels.py as they come.
Files for which that fails are decoded from the start, counting frames: slow, but always right. `inspect`, `encode` and
`transcode` of inspection.py and writer.py can be imported from here too.
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
        indices: frame numbers, in any order; repeats are fine. Integers of Python or NumPy.

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
    """Decorate a public method so that any error with the file becomes a VideoError that names it."""

    @wraps(method)
    def guarded(video: "Video", /, *args: Given.args, **kwargs: Given.kwargs) -> Found:
        with only_video_errors(video.path, MisfitError) if hasattr(video, "path") else nullcontext():
            return method(video, *args, **kwargs)

    return guarded


class Video:
    """Exact random access to the frames of one file; a context manager, so that the file is always closed.

    Args:
        path: the file.
        num_frames: number of decoded frames, if known (`inspect` with depth "decode" counts them). It also decides how
            a damaged file is read: if the plan or the packets give another number, frames are counted from the start.
        time_limit: seconds that opening, counting or one call of `read` may take.
        plan: the file's plan, from `inspect` with depth "decode". Without one, it is made from the packets (a few
            milliseconds) or, if they do not tell enough, frames are counted. The plan of another file (of another size,
            or another number of frames) is ignored.
        max_pixels: a video with more pixels per frame is refused.

    Attributes:
        path: the file.
        clock: the time limit; call its `start` before `frames`.
        converter: converts frames to pixels.

    Raises:
        VideoError: the file cannot be opened as a video, cannot hold `num_frames` frames, or the plan is malformed.
        MachineError: the machine lacks files or memory; also from the methods.
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
            raise VideoError(f"{self.path}: {num_frames} frames are promised, but it has {size} bytes; verify it again")
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
        """Number of frames that a full decode gives: as passed to the constructor, else counted."""
        if self._num_frames is None:
            self.clock.start()
            self._plan_from_packets()
            self._plan = self._plan or self._plan_from_frames()
            self._num_frames = len(self._plan.shown)
        return self._num_frames

    @property
    def plan(self) -> str | None:
        """The plan by which the file is read, as text for another `Video` of it; None if there is none yet."""
        return self._plan.to_text() if self._plan and self._plan.num_packets <= MAX_PACKETS else None

    @property
    @_only_video_errors
    def fps(self) -> float:
        """Average frames per second, by the frames' own times if known, else by the header; 0.0 if nothing tells."""
        plan = self._paced()
        return float(plan.rate if plan else promised_rate(self._feed.stream))

    @property
    @_only_video_errors
    def moments(self) -> Numbers | None:
        """int64 (frames + 1,), milliseconds, when each frame is shown and when the last one ends.

        None if frame n is shown at n / fps, give or take a frame, or if nothing tells.
        """
        plan = self._paced()
        return plan.moments if plan else None

    @property
    @_only_video_errors
    def height(self) -> int:
        """Height in pixels, as shown."""
        return self._size()[0]

    @property
    @_only_video_errors
    def width(self) -> int:
        """Width in pixels, as shown."""
        return self._size()[1]

    @_only_video_errors
    def read(self, indices: Indices, crop: Crop | None = None, size: int | None = None) -> Pixels:
        """Read the frames of one clip.

        Args:
            indices: frame numbers, in any order; repeats are fine and cost nothing.
            crop: top, left, height, width of the part to cut out, pixels; None for the whole frame.
            size: resize to `size` x `size` pixels: bilinear, align_corners False, no antialiasing (as published; see
                pixels.py); None keeps the size.

        Returns:
            uint8 (len(indices), height, width, 3), RGB.

        Raises:
            VideoError: there is no such frame, indices are not whole numbers, the crop is not inside the frame, the
                file gives fewer frames than promised or cannot be read, or the time limit is exceeded.
        """
        return self.read_clips([(indices, crop)], size)[0]

    @_only_video_errors
    def read_clips(
        self,
        clips: Sequence[tuple[Indices, Crop | None]],
        size: int | None = None,
        out: Sequence[Pixels] | None = None,
    ) -> list[Pixels]:
        """Read several clips in one pass; frames that they share are decoded once.

        Args:
            clips: for each clip its indices and its crop, as for `read`.
            size: as for `read`.
            out: for each clip the array to fill, of the shape that `read` returns; None to make them.

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
        """Return the plan that was passed in, or None if it is another file's."""
        try:
            plan = Plan.from_text(text, os.path.getsize(self.path))
        except (OSError, OtherFileError):  # OSError: opening the file raises it again
            return None
        except ValueError as error:
            raise VideoError(f"{self.path}: {error}; make the index again with verify --depth decode") from None
        return plan if self._num_frames in (None, len(plan.shown)) else None

    def _paced(self) -> Plan | None:
        """Return the plan, which knows the frames' times; None if only the header tells the rate."""
        self.clock.start()
        self._plan_from_packets()
        if not self._plan and (self._num_frames is None or not promised_rate(self._feed.stream)):
            self._plan = self._plan_from_frames()
        return self._plan

    def _plan_from_packets(self) -> None:
        """Make the plan without decoding, if the packets tell enough; tried only once."""
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
        """Return the plan made by decoding everything."""
        self._feed.rewind()
        stream, damage = self._feed.stream, Damage()
        survey = Survey(self._feed.container, stream)
        shown = [frame.pts for frame in decode_all(survey(self._feed.packets()), stream, damage)]
        # The decoder of Motion JPEG fills gaps from the picture before, and reports it only if it is strict.
        is_jpeg = stream.codec_context.name == "mjpeg"
        return survey.plan(shown, is_jpeg or damage.refused + damage.flagged + damage.spoilt > 0)

    def _check_looks(self, frame: VideoFrame, plan: Plan) -> None:
        """Check size and orientation of a plan, once: by this frame or, if it differs, by the first frame of the file.

        Raises:
            VideoError: they differ from the plan's.
        """
        if self._believed or plan.size is None:
            return
        turn = orientation(frame)
        if (turn, turn.size(frame.height, frame.width)) != (plan.orientation, plan.size):
            first = Converter()
            with Feed(self.clock, None, self._limits) as feed:
                first.start(next(decode_all(feed.packets(), feed.stream)))
            if (first.orientation, first.size) != (plan.orientation, plan.size):
                raise VideoError(f"{self.path}: its plan gives another size or orientation; verify it again")
        self._believed = True

    def frames(self, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield each wanted frame with its index. If all are yielded a second time, those are the right ones."""
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
                self._plan = replace(plan, keys=plan.keys[:0], times=None)  # without what is needed to jump
        yield from self._feed.from_start(wanted, self.num_frames)

    def _size(self) -> tuple[int, int]:
        if self.converter.size is None:
            self.clock.start()
            return self.converter.start(next(self.frames([0]))[1])  # the orientation is known only after decoding
        return self.converter.size
