"""Open a video file: a regular file, in a format that refers to no other files, within limits of size and time."""

import math
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from rspnet.errors import RSPNetError, VideoError
from rspnet.shortage import blame_machine
from rspnet.video.limits import USUAL, Limits
from rspnet.video.tables import overdrawn

T = TypeVar("T")

ODD_TEXT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Argument of `av.open` that accepts metadata that is not UTF-8; from av 19 on it is accepted without it."""

FORMATS = (
    *("mov", "avi", "matroska", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "live_flv", "ogg", "gif", "apng", "dv"),
    *("h261", "h263", "h264", "hevc", "vvc", "m4v", "mjpeg", "vc1", "av1", "obu", "ivf"),
    *("wav", "mp3", "aac", "ac3", "flac"),  # to say that they hold no video
)
"""libavformat's names of the formats that are read. None of them refers to other files, which would then be opened, as
playlists do (concat, hls, dash, sdp, image2), whatever suffix a file has."""

_SAFE = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS), "enable_drefs": "0"}
_NO_PROBING = {"probesize": "32", "skip_frame": "all", "codec_whitelist": "none"}

_SHORTEST = 1.0  # seconds; a shorter time limit applies only once the file is open


def open_video(
    path: str, index: int | None = None, kind: str | None = None, *, limits: Limits = USUAL
) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream.

    Args:
        path: the file.
        index: index of the stream, if known; then the file is opened without probing, which is several times faster.
        kind: libavformat's name of the container; None to find out.
        limits: pixels also limit the pictures that the decoder meets later, seconds also the search for a packet.

    Raises:
        VideoError: the file cannot be opened, or exceeds a limit.
        MachineError: it cannot be opened because the machine lacks files or memory.
        NoVideoError: it opens, but holds no moving pictures.
        TimeLimitError: opening it takes too long.
    """
    check_file(path, fragments=index is None)
    options = limits.for_decoders if index is None else limits.for_decoders | _NO_PROBING
    container = _open(path, kind, options, time_limit=limits.seconds)
    try:
        stream = _choose(path, container, index)
        context = stream.codec_context
        sides = (context.width, context.height) if context.width or index is not None else _sides(path, stream.index)
        if sides[0] * sides[1] > limits.pixels:
            raise VideoError(
                f"{path}: its pictures are {sides[0]} x {sides[1]} pixels, more than max_pixels allows "
                f"({limits.pixels}); scale it down elsewhere, raise that limit, or drop it"
            )
    except BaseException:
        container.close()
        raise
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all
    context.thread_count = 1  # one core per worker: threads take more time in total
    context.options = limits.for_decoders
    return container, stream


def check_file(path: str, *, fragments: bool = True) -> None:
    """Refuse a path that is not a regular file, which could block, and a file that declares more than it can hold.

    Args:
        path: what is to be opened; links are followed.
        fragments: see `overdrawn`.

    Raises:
        MachineError: the machine lacks files or memory.
        VideoError: not a regular file, or one that cannot be read, or is overdrawn.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise VideoError(f"{path}: not a regular file; drop it")
        fault = overdrawn(path, fragments=fragments)
    except VideoError:
        raise
    except (OSError, ValueError) as error:  # ValueError: not a valid path
        blame_machine(path, error)
        raise _unopened(path, _short(error)) from None
    if fault:
        raise _unopened(path, fault)


def _unopened(path: str, why: str) -> VideoError:
    return VideoError(f"{path}: cannot be opened as a video ({why}); replace it or drop it")


def _open(path: str, kind: str | None, options: dict[str, str], *, time_limit: float) -> InputContainer:
    try:
        # The prefix keeps a name with a colon from being taken for a protocol.
        timeout = None if math.isinf(time_limit) else max(time_limit, _SHORTEST)
        opened: InputContainer = av.open(
            f"file:{path}", format=kind, options=_SAFE | options, timeout=timeout, **ODD_TEXT
        )
        return opened
    except av.ExitError:
        raise TimeLimitError(f"{path}: not open after {timeout:g} s; raise the limit or drop the file") from None
    except av.ArgumentError as error:
        raise _unopened(path, f"{_short(error)}: damaged, or not a supported kind of video file") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        blame_machine(path, error)
        raise _unopened(path, _short(error)) from None


def _sides(path: str, index: int) -> tuple[int, int]:
    """Return width and height from the header alone: libavformat drops those that exceed the decoder's limit."""
    with _open(path, None, _NO_PROBING, time_limit=math.inf) as container:
        known = {stream.index: (stream.width, stream.height) for stream in container.streams.video}
    return known.get(index, (0, 0))


def _choose(path: str, container: InputContainer, index: int | None) -> VideoStream:
    covers = av.stream.Disposition.attached_pic
    videos = [stream for stream in container.streams.video if not stream.disposition & covers]
    best = container.streams.best("video")
    if not videos:
        what = "only a cover picture" if best else "no video stream"
        raise NoVideoError(f"{path}: {what}; drop it")
    stream = next((video for video in videos if video is best), videos[0])
    stream = next((other for other in videos if other.index == index), stream)
    if stream.codec_context is None:
        raise VideoError(f"{path}: no decoder for its codec; transcode it elsewhere or drop it")
    return stream


@contextmanager
def only_video_errors(path: str, *others: type[Exception]) -> Iterator[None]:
    """Turn any error in the block into a VideoError that names the file.

    rspnet's own errors pass unchanged, and MachineError is raised if the machine lacks files or memory.

    Args:
        path: the file.
        others: further exceptions that pass unchanged.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (RSPNetError, *others)):
            raise
        blame_machine(path, error)
        what = getattr(error, "strerror", None) or str(error) or "no details"
        raise VideoError(
            f"{path}: cannot be read ({type(error).__name__}: {what}); look at it with verify --depth decode"
        ) from error


class NoVideoError(VideoError):
    """A file without moving pictures."""


class TimeLimitError(VideoError):
    """A file that takes too long."""


class Clock:
    """A time limit, checked between packets; a call that hangs inside the library can only be ended by another process.

    Args:
        path: the file, for the message.
        limit: seconds.
    """

    def __init__(self, path: str, limit: float) -> None:
        self.path = path
        self.limit = limit
        self.start()

    def start(self) -> None:
        """Start the time again."""
        self.deadline = time.monotonic() + self.limit

    def watch(self, packets: Iterable[T]) -> Iterator[T]:
        """Yield the packets; raise TimeLimitError when the limit is exceeded."""
        try:
            for packet in packets:
                if time.monotonic() > self.deadline:
                    raise self._over()
                yield packet
        except av.ExitError:  # libavformat found no packet within the limit
            raise self._over() from None

    def _over(self) -> TimeLimitError:
        return TimeLimitError(f"{self.path}: not done after {self.limit:g} s; raise the limit or drop the file")


def _short(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
