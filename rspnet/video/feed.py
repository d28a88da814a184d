"""Decode frames of an open file: all from the start, or those of a run of packets, as its plan says."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import BinaryIO

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from rspnet.console import some
from rspnet.errors import VideoError
from rspnet.video.bitstream import BLANK_OF_MPEG4
from rspnet.video.decoding import LENIENT, be_strict, decode_all
from rspnet.video.headers import headers_of
from rspnet.video.limits import Limits
from rspnet.video.opening import Clock, open_video
from rspnet.video.packets import (
    Packet,
    UnexpectedError,
    new_decoder,
    packets_by_time,
    packets_in_table,
    read_packets,
    unpacked,
)
from rspnet.video.plan import Numbers, Plan, Run

_SKIPPING = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9")
"""Codecs whose decoders can be told to skip single frames (AV1's reads that option only once, when it is opened)."""

_MOST_BETWEEN = 16
"""Largest number of packets that follow a picture's own and are shown before it (B-frames in a row)."""


class Feed:
    """An open file and its reading position.

    Args:
        clock: the time limit of the file; checked between packets.
        plan: the plan of the file. With one that can jump, the file is opened without probing, several times faster.
        limits: limits for reading the file.

    Attributes:
        container: the file.
        stream: its video stream.
        is_quick: whether it was opened by the plan, and matches it so far. Then only `run` works until it is rewound.

    Raises:
        VideoError: the file cannot be opened as a video.
    """

    def __init__(self, clock: Clock, plan: Plan | None, limits: Limits) -> None:
        self._clock = clock
        self._path = clock.path
        self._limits = limits
        self._bytes: BinaryIO | None = None
        self.is_quick = False
        if plan and plan.can_jump:
            with suppress(VideoError):  # opening it without the plan, below, raises again
                self.container, self.stream = open_video(self._path, plan.stream, plan.container, limits=limits)
                self.is_quick = self.stream.index == plan.stream and self._holds(plan)
                if not self.is_quick:
                    self.container.close()
        if not self.is_quick:
            self.container, self.stream = open_video(self._path, limits=limits)
        self._fresh = not self.is_quick
        self._strict = False

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.container.close()
        if self._bytes:
            self._bytes.close()

    def rewind(self) -> None:
        """Go back to the start; afterwards `container` and `stream` may be new objects."""
        if not self._fresh:  # opening again is the only way back to the start that works for every container
            self.container.close()
            self.container, self.stream = open_video(self._path, limits=self._limits)
            self._fresh, self._strict = True, False

    def packets(self) -> Iterator[Packet]:
        """Return the stream's packets from the start; the last one is empty and flushes the decoder."""
        self.rewind()
        self._fresh = False
        return self._clock.watch(read_packets(self.container, self.stream))

    def run(self, run: Run, plan: Plan) -> Iterator[tuple[int, VideoFrame]]:
        """Decode one run of packets, and yield each wanted frame with its index.

        Raises:
            UnexpectedError, FFmpegError: the seek or the decoder did not do as planned.
        """
        if not self._strict and self.stream.codec_context.name in LENIENT:
            # How a decoder conceals damage depends on the pictures before it, so damage must be reported.
            if self.stream.codec_context.is_open:
                self._fresh = False
                self.rewind()
            be_strict(self.stream)
            self._strict = True
        places, decoder = plan.places, self.stream.codec_context
        self._fresh = False
        if plan.afresh:
            decoder = new_decoder(self.stream, self._limits)
        else:
            decoder.flush_buffers()
        decoder.reorder_depth = max(decoder.reorder_depth, plan.depth)  # flushing may forget it
        first, previous = places[run.first], None
        if run.first == 0 and first > 0:
            first = -1  # frames shown before the start count too: there are no earlier packets that they depend on
        left = len(run.wanted)
        for frame in _decode_run(decoder, self._clock.watch(self._packets_of(run, plan)), run, plan=plan):
            place = -1 if frame.pts is None else places[frame.pts]
            if frame.is_corrupt or (place < 0 and not self._is_hidden(frame.pts, plan)):
                raise UnexpectedError  # what a damaged picture looks like depends on those before it
            if place < max(first, 0):
                continue  # hidden, or shown before the start
            if place <= previous if previous is not None else first not in (place, -1):
                raise UnexpectedError
            if previous is not None and not _may_be_left_out(plan.shown[previous + 1 : place], run):
                raise UnexpectedError
            previous = place
            if frame.pts in run.wanted:
                left -= 1
                yield run.wanted[frame.pts], frame
                if not left:
                    return  # the frames that the decoder still holds are not needed
        raise UnexpectedError

    def from_start(self, wanted: list[int], promised: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode everything up to the last wanted frame, and yield each wanted frame with its index.

        Args:
            wanted: indices, ascending.
            promised: number of frames that the video should have.

        Raises:
            VideoError: it has too few.
        """
        left, count = deque(wanted), 0
        frames = decode_all(self.packets(), self.stream)
        while left:
            if (frame := next(frames, None)) is None:
                raise VideoError(
                    f"{self._path}: promised {some(promised, 'frame')}, but only {some(count, 'decodes', 'decode')}; "
                    "it may be cut or damaged: look at it with verify --depth decode"
                )
            if count == left[0]:
                yield left.popleft(), frame
            count += 1

    def _holds(self, plan: Plan) -> bool:
        """Whether the container's table of packets, if the plan uses it, matches the plan.

        It must have as many packets, and explain why those without a frame show nothing: discarded, empty or blank.
        """
        if plan.times is not None:
            return True
        entries = self.stream.index_entries
        if len(entries) != plan.num_packets:
            return False
        silent = [entries[number] for number in np.flatnonzero(plan.places < 0).tolist()]
        blank = BLANK_OF_MPEG4 if self.stream.codec_context.name == "mpeg4" else 0
        return all(entry.is_discard or entry.size <= blank for entry in silent)

    def _is_hidden(self, number: int | None, plan: Plan) -> bool:
        """Whether a frame that the plan does not show is marked by the container as not to be shown."""
        return number is None or (plan.times is None and self.stream.index_entries[number].is_discard)

    def _is_start(self, packet: Packet) -> bool:
        """Whether decoding can start at a packet, according to its mark and its headers."""
        context = self.stream.codec_context
        headers = headers_of(context.codec.canonical_name, context.extradata or b"")
        return packet.is_keyframe and headers is not None and headers.note(memoryview(packet))

    def _packets_of(self, run: Run, plan: Plan) -> Iterator[tuple[int, Packet]]:
        if plan.times is None:
            self._bytes = self._bytes or open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
            packets = packets_in_table(self._bytes, self.stream, plan, run=run)
        else:
            packets = packets_by_time(self.container, self.stream, plan.times, run=run)
        for number, packet in unpacked(packets) if plan.packed else packets:
            if number == run.first > 0 and not (plan.afresh or self._is_start(packet)):
                raise UnexpectedError
            yield number, packet


def _may_be_left_out(packets: Numbers, run: Run) -> bool:
    """Whether the frames of these packets may be missing between two decoded ones.

    They may if they are in the run, where the decoder skips some, or so close behind it that they are B-frames.
    """
    return bool(((packets >= run.first) & (packets <= run.last + _MOST_BETWEEN)).all())


def _decode_run(
    decoder: VideoCodecContext, packets: Iterable[tuple[int, Packet]], run: Run, *, plan: Plan
) -> Iterator[VideoFrame]:
    """Yield the frames that a decoder gives for numbered packets; frames that are not wanted may be skipped."""
    places = plan.places
    kind, skips = decoder.codec.canonical_name, None
    # HEVC needs a plan that a full decode has confirmed, which is one with a size: in a damaged file a picture may
    # depend on any other.
    may_skip = not plan.afresh and kind in _SKIPPING and (kind != "hevc" or plan.size is not None)
    to_the_end: Iterable[tuple[int | None, Packet | None]] = chain(packets, [(None, None)])
    for number, packet in to_the_end:
        is_part = number is not None and places[number] < 0  # it may belong to the frame of the packet before
        if may_skip and not is_part and skips != (number not in run.wanted):
            skips = not skips
            decoder.skip_frame = "NONREF" if skips else "DEFAULT"  # NONREF skips only frames that no other depends on
        try:
            yield from decoder.decode(packet)
        except av.FFmpegError:
            if number is None or places[number] >= 0:
                raise
            # Otherwise the packet holds no picture.
