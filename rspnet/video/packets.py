"""The packets of a video file: all of them, and those of a run."""

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
"""Of whichever stream: nothing here asks a packet for that."""


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The stream's packets from where the file stands; the last one is empty and flushes the decoder."""
    packet: Packet = av.Packet()
    with suppress(IndexError):  # av 18, after the last one, of a stream that turned up on the way
        for packet in container.demux(stream):
            yield packet
    if packet.size or packet.pts is not None:
        yield av.Packet()


def new_decoder(stream: VideoStream, limits: Limits) -> VideoCodecContext:
    """A decoder for a stream that has seen nothing of it: flushing leaves some decoders with what they saw.

    Args:
        stream: that of a file.
        limits: of what decoding may take.
    """
    known = stream.codec_context
    decoder = CodecContext.create(known.codec, "r")
    if not isinstance(decoder, VideoCodecContext):
        raise ValueError(f"{known.name}: no codec of videos")
    for fact in ("extradata", "codec_tag", "width", "height", "pix_fmt", "bits_per_coded_sample"):
        with suppress(UnicodeDecodeError):  # a tag that is no text; where it matters, trials fail
            if value := getattr(known, fact):
                setattr(decoder, fact, value)
    for fact in ("color_range", "color_primaries", "color_trc", "colorspace"):
        setattr(decoder, fact, getattr(known, fact))
    decoder.thread_count = 1
    decoder.options = limits.for_decoders
    return decoder


def packet_of(data: "bytes | memoryview | Packet", number: int, is_key: bool) -> Packet:
    """A packet as decoders get it here: the file's bytes and the file's own mark, its number for a time.

    The mark matters: the decoder of PNG adds the picture before where there is none.
    """
    packet: Packet = av.Packet(len(data) if isinstance(data, bytes | memoryview) else data.size)
    packet.update(data)  # type: ignore[arg-type]  # any buffer will do, which av does not say
    packet.pts = packet.dts = number
    packet.is_keyframe = is_key
    return packet


class UnexpectedError(Exception):
    """A read, a seek or a decode that went otherwise than planned."""


def packets_in_table(file: BinaryIO, stream: VideoStream, plan: Plan, *, run: Run) -> Iterator[tuple[int, Packet]]:
    """The run's packets with their numbers, from where the container's table says that they are.

    Raises:
        UnexpectedError: the file ends before.
    """
    entries = stream.index_entries[run.first : run.last + 1]
    spans = [(entry.pos + plan.header, entry.size) for entry in entries]
    marks = [entry.is_keyframe for entry in entries]
    start, end = min(spans)[0], max(place + size for place, size in spans)
    together = end - start < 2 * sum(size for _, size in spans) + 2**20  # else too much of others lies between
    block = memoryview(os.pread(file.fileno(), end - start, start)) if together else None
    for number, (place, size) in enumerate(spans, run.first):
        if size:  # an empty packet repeats a picture; the decoder would take it for the end
            data = os.pread(file.fileno(), size, place) if block is None else block[place - start :][:size]
            if len(data) < size:
                raise UnexpectedError
            yield number, packet_of(data, number, marks[number - run.first])


def packets_by_time(
    container: InputContainer, stream: VideoStream, times: Numbers, *, run: Run
) -> Iterator[tuple[int, Packet]]:
    """The run's packets with their numbers, from a search for the first one's time; `times` are the plan's.

    Raises:
        UnexpectedError, FFmpegError: the search did not lead to the run.
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
    """One picture to a packet, where DivX and XviD put the first of a row of B-frames behind the frame it leans on.

    The decoder puts such a picture aside until the next packet, and that one's picture until the one after; a packet
    with a few bytes ends the row. Leaving out a B-frame upsets this. Here each packet holds what the decoder would
    take it for, so that it may.
    """
    aside = b""
    for number, packet in packets:
        data = bytes(packet)
        first = data.find(PICTURE_OF_MPEG4)
        # Where the picture starts that is put aside: this one, while another one waits, or a second one behind it.
        start = first if aside else data.find(PICTURE_OF_MPEG4, first + 1)
        # libavcodec's rule: something that is neither a P nor an S picture.
        waits = len(data) > BLANK_OF_MPEG4 and 0 <= start < len(data) - 4 and not data[start + 4] & 0x40
        if aside:
            data, aside = aside, data if waits else b""
        elif waits and start > first:
            data, aside = data[:start], data[start:]
        yield number, packet_of(data, number, packet.is_keyframe)
