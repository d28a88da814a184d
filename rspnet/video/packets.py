"""The packets of a video file: opening it, decoding all of them, and finding those of a run."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, TypeAlias, TypeVar

import av
import numpy as np
from av.codec.context import CodecContext
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.errors import VideoError
from rspnet.video.bitstream import BLANK_OF_MPEG4, PICTURE_OF_MPEG4
from rspnet.video.plan import Numbers, Plan, Run

ODD_TEXT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""For `av.open`: metadata that is not UTF-8 is no mistake. From av 19 on it never is, and the argument is gone."""

Packet: TypeAlias = "av.Packet[Any]"
"""Of whichever stream: nothing here asks a packet for that."""

T = TypeVar("T")

_NO_PROBING = {"probesize": "32", "skip_frame": "all", "codec_whitelist": "none"}


def open_video(path: str, index: int | None = None, kind: str | None = None) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream.

    Args:
        path: the file.
        index: of the stream, where it is known; then nothing is guessed from the bytes, which is several times faster.
        kind: what libavformat calls the container; None to find out.

    Raises:
        VideoError: it cannot be opened.
        NoVideoError: it opens, but shows nothing that moves.
    """
    try:
        # As a file, whatever the name looks like (a colon makes a protocol), and nothing that it may refer to.
        options = {"protocol_whitelist": "file"} | ({} if index is None else _NO_PROBING)
        container = av.open(f"file:{path}", format=kind, options=options, **ODD_TEXT)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({_short(error)}); replace it or drop it") from None
    covers = av.stream.Disposition.attached_pic
    videos = [stream for stream in container.streams.video if not stream.disposition & covers]
    best = container.streams.best("video")
    if not videos:
        container.close()
        what = "only a cover picture" if best else "no video stream"
        raise NoVideoError(f"{path}: {what}; drop it")
    stream = next((video for video in videos if video is best), videos[0])
    stream = next((other for other in videos if other.index == index), stream)
    if stream.codec_context is None:
        container.close()
        raise VideoError(f"{path}: no decoder for its codec; transcode it elsewhere or drop it")
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all
    stream.codec_context.thread_count = 1  # one worker, one core: threads cost more in total
    return container, stream


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The stream's packets from where the file stands; the last one is empty and flushes the decoder."""
    with suppress(IndexError):  # av 18, after the last one, of a stream that turned up on the way
        yield from container.demux(stream)


def new_decoder(stream: VideoStream) -> VideoCodecContext:
    """A decoder for a stream that has seen nothing of it: flushing leaves some decoders with what they saw."""
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


class NoVideoError(VideoError):
    """A file without moving pictures."""


class TimeLimitError(VideoError):
    """A file that takes too long."""


class Clock:
    """A time limit, looked at between packets: what hangs inside the library only another process can end.

    Args:
        path: the file it is about.
        limit: seconds.
    """

    def __init__(self, path: str, limit: float) -> None:
        self.path = path
        self.limit = limit
        self.start()

    def start(self) -> None:
        """Begin anew."""
        self.deadline = time.monotonic() + self.limit

    def watch(self, packets: Iterable[T]) -> Iterator[T]:
        """Yield the packets, and raise TimeLimitError past the limit."""
        for packet in packets:
            if time.monotonic() > self.deadline:
                raise TimeLimitError(f"{self.path}: not done after {self.limit:g} s; raise the limit or drop the file")
            yield packet


def _short(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


@dataclass
class Damage:
    """What went wrong in a decode.

    Attributes:
        packets: all packets that were fed.
        refused: packets that the decoder refused, or that could not be read.
        blank: packets that it refused for want of a picture: they hold parameters or messages, which is no damage.
        encrypted: packets that say they are.
        flagged: frames that it gave but called corrupt.
    """

    packets: int = 0
    refused: int = 0
    blank: int = 0
    encrypted: int = 0
    flagged: int = 0


def be_strict(stream: VideoStream) -> None:
    """Let the decoder report what it otherwise passes over; those of other codecs say by themselves what they find."""
    if stream.codec_context.name in ("hevc", "mjpeg"):
        stream.codec_context.options = {"err_detect": "crccheck+explode"}


def decode_all(packets: Iterator[Packet], stream: VideoStream, damage: Damage | None = None) -> Iterator[VideoFrame]:
    """Decode the packets: what this yields, in this order, are the frames of the file. Bad packets are passed over.

    Args:
        packets: all packets of the stream, with the empty one at the end that flushes the decoder.
        stream: the stream they are from.
        damage: is counted up on the way.
    """
    damage = damage or Damage()
    # Asked for now: of a decoder that could not be opened, av 19 crashes when it is asked.
    kind, config = stream.codec_context.name, stream.codec_context.extradata or b""
    while True:
        try:
            packet: Packet | None = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:  # the file cannot be read on; what the decoder holds is still good
            damage.refused += 1
            packet = None
        if packet and not packet.size and packet.pts is not None:
            continue  # an empty packet stands for a repeated picture; the decoder would take it for the end
        if packet and packet.size:
            damage.packets += 1
            damage.encrypted += packet.has_sidedata("encryption_info")
        try:
            frames = stream.codec_context.decode(packet)
        except (av.FFmpegError, ValueError):  # the latter of a decoder that could not be opened
            is_blank = packet is not None and not _holds_picture(bytes(packet), kind, config)
            damage.blank += is_blank
            damage.refused += not is_blank
            frames = []
        for frame in frames:
            damage.flagged += frame.is_corrupt
            yield frame
        if packet is None:
            return


def _holds_picture(data: bytes, kind: str, config: bytes) -> bool:
    """Whether there is a coded picture in a packet; so it is taken where the packet does not add up."""
    place = {"h264": 4, "hevc": 21}.get(kind)
    if place is None:
        return True
    if len(config) > place and config[0] == 1:  # avcC, hvcC: units with their lengths in front
        width, position, heads = (config[place] & 3) + 1, 0, []
        while position + width < len(data):
            heads.append(data[position + width])
            position += width + int.from_bytes(data[position : position + width])
        if position != len(data):
            return True
    else:
        heads = [unit[0] for unit in data.split(b"\x00\x00\x01")[1:] if unit]
    types = [head & 31 if kind == "h264" else head >> 1 & 63 for head in heads]
    return not types or any(1 <= number <= 5 if kind == "h264" else number < 32 for number in types)


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
