"""What an open file gives: all of its frames from the start, or those of a run of packets, as its plan says."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import BinaryIO

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from rspnet.errors import VideoError
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
from rspnet.video.plan import Plan, Run

_SKIPPING = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9")
"""Codecs whose decoders leave out single frames on demand (that of AV1 does not: it asks once, when it is opened)."""


class Feed:
    """A file that is open, and where its reading stands.

    Args:
        clock: of the file; looked at between packets.
        plan: what is known of it. One that can jump opens it without guessing, which is several times faster.
        limits: of what reading it may take.

    Attributes:
        container: the file.
        stream: its video stream.
        is_quick: whether it was opened by the plan, and fits it so far. It is fit for nothing else until it is rewound.

    Raises:
        VideoError: not a video that can be opened.
    """

    def __init__(self, clock: Clock, plan: Plan | None, limits: Limits) -> None:
        self._clock = clock
        self._path = clock.path
        self._limits = limits
        self._bytes: BinaryIO | None = None
        self.is_quick = False
        if plan and plan.can_jump:
            with suppress(VideoError):  # opening it without the plan says what is wrong
                self.container, self.stream = open_video(self._path, plan.stream, plan.container, limits=limits)
                known = self.stream.index == plan.stream
                self.is_quick = known and (plan.times is not None or len(self.stream.index_entries) == plan.num_packets)
                if not self.is_quick:
                    self.container.close()
        if not self.is_quick:
            self.container, self.stream = open_video(self._path, limits=limits)
        self._fresh = not self.is_quick

    def close(self) -> None:
        """Close the file."""
        self.container.close()
        if self._bytes:
            self._bytes.close()

    def rewind(self) -> None:
        """Go back to the start; `stream` may be another object then."""
        if not self._fresh:  # opening again is the one way back to the start that works for every container
            self.container.close()
            self.container, self.stream = open_video(self._path, limits=self._limits)
            self._fresh = True

    def packets(self) -> Iterator[Packet]:
        """The stream's packets from the start; the last one is empty and flushes the decoder."""
        self.rewind()
        self._fresh = False
        return self._clock.watch(read_packets(self.container, self.stream))

    def run(self, run: Run, plan: Plan) -> Iterator[tuple[int, VideoFrame]]:
        """Decode one run of packets; yields the index of each wanted frame with the frame.

        Raises:
            UnexpectedError, FFmpegError: the seek or the decoder did not do as planned.
        """
        places, decoder = plan.places, self.stream.codec_context
        self._fresh = False
        if plan.afresh:
            decoder = new_decoder(self.stream, self._limits)
        else:
            decoder.flush_buffers()
        decoder.reorder_depth = max(decoder.reorder_depth, plan.depth)  # flushing may forget it
        first, previous = places[run.first], None
        if run.first == 0 and first > 0:
            first = -1  # what is shown before a start may lean on earlier packets, but there are none
        left = len(run.wanted)
        for frame in _decode_run(decoder, self._clock.watch(self._packets_of(run, plan)), run, plan=plan):
            place = -1 if frame.pts is None else places[frame.pts]
            if place < max(first, 0):
                continue  # hidden, or shown before the start
            if place <= previous if previous is not None else first not in (place, -1):
                raise UnexpectedError
            previous = place
            if frame.pts in run.wanted:
                left -= 1
                yield run.wanted[frame.pts], frame
                if not left:
                    return  # and what the decoder still holds is never asked for
        raise UnexpectedError

    def _packets_of(self, run: Run, plan: Plan) -> Iterator[tuple[int, Packet]]:
        if plan.times is None:
            self._bytes = self._bytes or open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
            packets = packets_in_table(self._bytes, self.stream, plan, run=run)
        else:
            packets = packets_by_time(self.container, self.stream, plan.times, run=run)
        return unpacked(packets) if plan.packed else packets


def _decode_run(
    decoder: VideoCodecContext, packets: Iterable[tuple[int, Packet]], run: Run, *, plan: Plan
) -> Iterator[VideoFrame]:
    """What a decoder gives for packets with their numbers; may leave out frames that nobody wants."""
    places = plan.places
    may_skip, skips = not plan.afresh and decoder.codec.canonical_name in _SKIPPING, None
    to_the_end: Iterable[tuple[int | None, Packet | None]] = chain(packets, [(None, None)])
    for number, packet in to_the_end:
        is_part = number is not None and places[number] < 0  # of the frame of the packet before, perhaps
        if may_skip and not is_part and skips != (number not in run.wanted):
            skips = not skips
            decoder.skip_frame = "NONREF" if skips else "DEFAULT"  # nothing leans on what this leaves out
        try:
            yield from decoder.decode(packet)
        except av.FFmpegError:
            if number is None or places[number] >= 0:
                raise
            # Else it holds no picture.
