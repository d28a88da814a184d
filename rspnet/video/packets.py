"""Read the packets of a video file: all of them, or those of a run."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, BinaryIO, TypeAlias

import av
import numpy as np
from av.codec.context import CodecContext
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from rspnet.video.bitstream import BLANK_OF_MPEG4, PICTURE_OF_MPEG4
from rspnet.video.limits import Limits
from rspnet.video.plan import Numbers, Plan, Run

Packet: TypeAlias = "av.Packet[Any]"
"""A packet of any stream."""


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """Yield the stream's packets from the current position; the last one is empty and flushes the decoder."""
    packet: Packet = av.Packet()
    with suppress(IndexError):  # av 18 raises it after the last packet if another stream turned up within the file
        for packet in container.demux(stream):
            yield packet
    if packet.size or packet.pts is not None:
        yield av.Packet()


def new_decoder(stream: VideoStream, limits: Limits) -> VideoCodecContext:
    """Return a new decoder for a stream: flushing a used one leaves some decoders with a state.

    Args:
        stream: the stream of an open file.
        limits: limits for decoding.

    Raises:
        ValueError: the stream's codec is no video codec.
    """
    known = stream.codec_context
    decoder = CodecContext.create(known.codec, "r")
    if not isinstance(decoder, VideoCodecContext):
        raise ValueError(f"{known.name}: no codec of videos")
    for fact in ("extradata", "codec_tag", "width", "height", "pix_fmt", "bits_per_coded_sample"):
        with suppress(UnicodeDecodeError):  # a tag that is not text; if it matters, the trials of starts.py fail
            if value := getattr(known, fact):
                setattr(decoder, fact, value)
    for fact in ("color_range", "color_primaries", "color_trc", "colorspace"):
        setattr(decoder, fact, getattr(known, fact))
    decoder.thread_count = 1
    decoder.options = limits.for_decoders
    return decoder


def packet_of(data: "bytes | memoryview | Packet", number: int, is_key: bool) -> Packet:
    """Make a packet for a decoder: the file's bytes and key frame mark, with the packet's number as its time.

    The mark matters: PNG's decoder adds an unmarked picture to the one before.
    """
    packet: Packet = av.Packet(len(data) if isinstance(data, bytes | memoryview) else data.size)
    packet.update(data)  # type: ignore[arg-type]  # it takes any buffer, though av's types do not say so
    packet.pts = packet.dts = number
    packet.is_keyframe = is_key
    return packet


class UnexpectedError(Exception):
    """A read, a seek or a decode did not do as planned."""


def packets_in_table(file: BinaryIO, stream: VideoStream, plan: Plan, *, run: Run) -> Iterator[tuple[int, Packet]]:
    """Yield the run's packets with their numbers, read from the places in the container's table.

    Raises:
        UnexpectedError: the file ends before the last of them.
    """
    entries = stream.index_entries[run.first : run.last + 1]
    spans = [(entry.pos + plan.header, entry.size) for entry in entries]
    marks = [entry.is_keyframe for entry in entries]
    start, end = min(spans)[0], max(place + size for place, size in spans)
    together = end - start < 2 * sum(size for _, size in spans) + 2**20  # else too much other data lies between them
    block = memoryview(os.pread(file.fileno(), end - start, start)) if together else None
    for number, (place, size) in enumerate(spans, run.first):
        if size:  # an empty packet repeats a picture; the decoder would take it for the end of the stream
            data = os.pread(file.fileno(), size, place) if block is None else block[place - start :][:size]
            if len(data) < size:
                raise UnexpectedError
            yield number, packet_of(data, number, marks[number - run.first])


def packets_by_time(
    container: InputContainer, stream: VideoStream, times: Numbers, *, run: Run
) -> Iterator[tuple[int, Packet]]:
    """Yield the run's packets with their numbers, after a seek to the first one's time; `times` are the plan's.

    Raises:
        UnexpectedError, FFmpegError: the seek did not lead to the run.
    """
    for target in dict.fromkeys((run.first, 0)):
        with suppress(av.FFmpegError):
            container.seek(int(times[target]), stream=stream)
            packets = read_packets(container, stream)
            landed = next(packets)
            numbers = np.flatnonzero(times == landed.pts)
            if len(numbers) and numbers[0] <= run.first:
                break
    else:
        raise UnexpectedError
    for number, packet in enumerate(chain([landed], packets), int(numbers[0])):
        if packet.pts != times[number]:
            raise UnexpectedError
        if number >= run.first:
            yield number, packet_of(packet, number, packet.is_keyframe)
        if number == run.last:
            return


def unpacked(packets: Iterable[tuple[int, Packet]]) -> Iterator[tuple[int, Packet]]:
    """Yield packets with one picture each, where DivX and XviD put a B-frame into the packet of its reference.

    The decoder puts the second picture of such a packet aside until the next packet, and that one's picture until the
    one after; a packet of a few bytes ends the row. Skipping a B-frame upsets this. Here each packet holds the picture
    that the decoder would decode at it, so that B-frames can be skipped.
    """
    aside = b""
    for number, packet in packets:
        data = bytes(packet)
        first = data.find(PICTURE_OF_MPEG4)
        # Where the picture to put aside starts: the packet's first one if another one waits, else its second one.
        start = first if aside else data.find(PICTURE_OF_MPEG4, first + 1)
        # libavcodec's rule: any picture but P and S pictures is put aside.
        waits = len(data) > BLANK_OF_MPEG4 and 0 <= start < len(data) - 4 and not data[start + 4] & 0x40
        if aside:
            data, aside = aside, data if waits else b""
        elif waits and start > first:
            data, aside = data[:start], data[start:]
        yield number, packet_of(data, number, packet.is_keyframe)
