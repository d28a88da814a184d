"""Find out by trial where decoding can start: the frames from there must equal those of a decode from the beginning.

While the file is decoded once, a packet that is marked as a key frame and those that follow are also fed to a decoder
of their own. This goes on until the next mark has proved right: a file is decoded about twice, and each mark needs a
new decoder.
"""

from collections import deque
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.video.limits import USUAL, Limits
from rspnet.video.opening import open_video
from rspnet.video.orientation import Pixels
from rspnet.video.packets import Packet, new_decoder, packet_of
from rspnet.video.pixels import Converter
from rspnet.video.plan import TABLE_HEADERS

_MOST = 8  # decoders at the same time
_MOST_HELD_BACK = 32  # frames; more than any decoder holds back to put them in order


class Starts:
    """The trials of one file, while it is decoded from its beginning; a context manager, because it opens the file.

    Args:
        path: the file.
        container: the same, open.
        stream: its video stream, which is being decoded.
        limits: limits for reading it.
    """

    def __init__(self, path: str, container: InputContainer, stream: VideoStream, *, limits: Limits = USUAL) -> None:
        self._path = path
        self._limits = limits
        self._kind = container.format.name.split(",")[0] if container.format.name in TABLE_HEADERS else None
        self._stream = stream
        self._quick: tuple[InputContainer, VideoStream] | None = None
        self._sure: set[int] = set()
        self._trials: list[_Trial] = []
        self._right: dict[int, int] = {}  # start -> how many frames from there on are right
        self._converter = Converter()

    def __enter__(self) -> "Starts":
        return self

    def __exit__(self, *_: object) -> None:
        if self._quick:
            self._quick[0].close()

    def feed(self, packet: Packet, number: int, mark: bool | None) -> None:
        """Take the next packet, before the file's own decoder gets it.

        Args:
            packet: the packet.
            number: its number.
            mark: True for a start that needs no trial, False for one that does, None for any other packet.
        """
        if mark:
            self._sure.add(number)
        elif mark is False and len(self._trials) < _MOST:
            self._trials.append(_Trial(self._new_decoder(), number))
        if self._trials:
            for trial in self._trials:
                trial.feed(packet_of(packet, number, packet.is_keyframe))
            self._compare()

    def expect(self, frame: VideoFrame) -> None:
        """Take the next frame that the file's own decoder gives."""
        for trial in self._trials:
            trial.expect(frame)
        self._compare()
        if frame.pts in self._sure:
            self._end(trial for trial in self._trials if trial.first < frame.pts)

    def finish(self) -> None:
        """End the trials at the end of the file."""
        for trial in self._trials:
            trial.feed(None)
        self._compare()
        self._end(self._trials)

    def kept(self, sure: list[int], shown: list[int], num_packets: int) -> tuple[list[int], bool]:
        """Return the starts from which every frame is right up to the next start; none unless packet 0 is a start.

        Args:
            sure: the starts that needed no trial.
            shown: the packets in display order.
            num_packets: number of packets of the file.

        Returns:
            The packets, ascending, and whether any of them was tried out; then each start needs a new decoder, as the
            trials had.
        """
        places = np.full(num_packets, -1)
        places[shown] = np.arange(len(shown))
        kept: list[int] = []
        end, end_place = num_packets, len(shown)
        for start in sorted({*sure, *self._right}, reverse=True):
            place = places[start] if start else 0
            last = max(places[start:end].max(), end_place - 1)
            if place >= 0 and (start in sure or place + self._right[start] > last):
                kept.append(start)
                end, end_place = start, place
        kept = kept[::-1] if kept[-1:] == [0] else []
        return kept, not set(kept) <= set(sure)

    def _new_decoder(self) -> VideoCodecContext:
        """Make a decoder as a reader does, which knows only what the container says."""
        self._quick = self._quick or open_video(self._path, self._stream.index, self._kind, limits=self._limits)
        decoder = new_decoder(self._quick[1], self._limits)
        decoder.reorder_depth = max(decoder.reorder_depth, self._stream.codec_context.reorder_depth)
        return decoder

    def _compare(self) -> None:
        for trial in self._trials:
            for ours, theirs in trial.pairs():
                trial.failed |= not self._same(ours, theirs)
                trial.right += not trial.failed
        self._end(trial for trial in self._trials if trial.failed)
        newest = max((trial.first for trial in self._trials if trial.right), default=-1)
        self._end(trial for trial in self._trials if trial.first < newest)

    def _end(self, trials: Iterator["_Trial"] | list["_Trial"]) -> None:
        for trial in list(trials):
            self._right[trial.first] = trial.right
            self._trials.remove(trial)

    def _same(self, one: VideoFrame, other: VideoFrame) -> bool:
        """Whether a reader gets the same pixels from two frames of one packet."""
        facts = [
            (frame.pts, frame.format.name, frame.height, frame.width, frame.colorspace, frame.color_range)
            for frame in (one, other)
        ]
        if facts[0] != facts[1]:
            return False
        if self._converter.size != (one.height, one.width):
            self._converter = Converter((one.height, one.width))
        try:
            return all(map(np.array_equal, self._pixels(one), self._pixels(other)))
        except (av.FFmpegError, ValueError):
            return False  # a reader could not convert them either

    def _pixels(self, frame: VideoFrame) -> list[Pixels]:
        planes = self._converter.planes(frame)
        if not planes:
            return [self._converter.rgb(frame)]
        return [
            np.ndarray((plane.height, plane.width), np.uint8, memoryview(plane), 0, (plane.line_size, 1))
            for plane in planes
        ]


class _Trial:
    """Decoding from one packet on, in parallel to decoding the whole file.

    Args:
        decoder: a new decoder.
        first: number of the packet.

    Attributes:
        right: number of right frames, from that of the first packet on.
        failed: whether a frame was wrong.
    """

    def __init__(self, decoder: VideoCodecContext, first: int) -> None:
        self.first = first
        self.right = 0
        self.failed = False
        self._decoder = decoder
        self._frames: tuple[deque[VideoFrame], deque[VideoFrame]] = deque(), deque()
        # Frames shown before that of the first packet do not count; at the start of the file all frames count.
        self._counts = [first == 0, first == 0]

    def feed(self, packet: "Packet | None") -> None:
        """Decode a packet; None flushes the decoder."""
        try:
            for frame in self._decoder.decode(packet):
                self._take(0, frame)
        except (av.FFmpegError, ValueError):
            self.failed |= not self._counts[0]  # later packets may hold no picture; a missing frame shows in the pairs

    def expect(self, frame: VideoFrame) -> None:
        """Take a frame of the whole file's decoder, which must come out here too."""
        self._take(1, frame)
        self.failed |= len(self._frames[1]) > _MOST_HELD_BACK

    def pairs(self) -> Iterator[tuple[VideoFrame, VideoFrame]]:
        """Yield frames of this decoder with those of the whole file's, as far as both have come."""
        while all(self._frames) and not self.failed:
            yield self._frames[0].popleft(), self._frames[1].popleft()

    def _take(self, side: int, frame: VideoFrame) -> None:
        self._counts[side] |= frame.pts == self.first
        if self._counts[side]:
            self._frames[side].append(frame)
