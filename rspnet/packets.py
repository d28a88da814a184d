"""The packets of a video file: opening it, decoding all of them, and which of them give a wanted frame."""

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.errors import VideoError

INDEXED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers whose packets carry presentation times from the encoder and that can be searched by them. avi has none and
makes them up, a program stream may have few, and a transport stream cannot be searched exactly."""


def open_video(path: str) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream.

    Raises:
        VideoError: it cannot be opened.
        NoVideoError: it opens, but shows nothing that moves.
    """
    try:
        # As a file, whatever the name looks like (a colon makes a protocol), and nothing that it may refer to.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({_short(error)}); replace it or drop it") from None
    covers = av.stream.Disposition.attached_pic
    videos = [stream for stream in container.streams.video if not stream.disposition & covers]
    best = container.streams.best("video")
    if not videos:
        container.close()
        what = "only a cover picture" if best else "no video stream"
        raise NoVideoError(f"{path}: {what}; drop it")
    stream = best if best in videos else videos[0]
    if stream.codec_context is None:
        container.close()
        raise VideoError(f"{path}: no decoder for its codec; transcode it elsewhere or drop it")
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all
    stream.codec_context.thread_count = 1  # one worker, one core: threads cost more in total
    return container, stream


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

    def watch(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Yield the packets, and raise TimeLimitError past the limit."""
        for packet in packets:
            if time.monotonic() > self.deadline:
                raise TimeLimitError(f"{self.path}: not done after {self.limit:g} s; raise the limit or drop the file")
            yield packet


def quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns, counter-clockwise as `numpy.rot90`, that bring a frame upright (0 to 3)."""
    return round(frame.rotation / 90) % 4


def displayed_size(frame: VideoFrame) -> tuple[int, int]:
    """Height and width after rotation, pixels."""
    size = frame.height, frame.width
    return size[::-1] if quarter_turns(frame) % 2 else size


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


@dataclass
class Damage:
    """What went wrong in a decode.

    Attributes:
        packets: all packets that were fed.
        refused: packets that the decoder refused, or that could not be read.
        flagged: frames that it gave but called corrupt.
    """

    packets: int = 0
    refused: int = 0
    flagged: int = 0


def decode_all(packets: Iterator[av.Packet], stream: VideoStream, damage: Damage | None = None) -> Iterator[VideoFrame]:
    """Decode the packets: what this yields, in this order, are the frames of the file. Bad packets are passed over.

    Args:
        packets: all packets of the stream, with the empty one at the end that flushes the decoder.
        stream: the stream they are from.
        damage: is counted up on the way.
    """
    damage = damage or Damage()
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:  # the file cannot be read on; what the decoder holds is still good
            damage.refused += 1
            packet = None
        if packet and not packet.size and packet.pts is not None:
            continue  # an empty packet stands for a repeated picture; the decoder would take it for the end
        damage.packets += bool(packet and packet.size)
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            damage.refused += 1
            frames = []
        for frame in frames:
            damage.flagged += frame.is_corrupt
            yield frame
        if packet is None:
            return


@dataclass(frozen=True)
class Order:
    """What the packets say. A packet's number is its place in the file.

    Attributes:
        times: presentation time of each packet, in the stream's unit; all different.
        keys: numbers of the key packets.
        shown: numbers of the packets in display order, those left out that an edit list hides. Frame n is shown[n].
        number: time -> number.
    """

    times: list[int]
    keys: list[int]
    shown: list[int]
    number: dict[int, int]

    @classmethod
    def read(cls, packets: Iterator[av.Packet], stream: VideoStream) -> "Order | None":
        """From all packets of a file; None where they do not tell the order, or one of them is damaged."""
        times, keys, hidden = [], [], set()
        framed = _has_length_prefixes(stream)
        try:
            for number, packet in enumerate(packets):
                if not packet.size and packet.pts is None:
                    break  # the flush at the end
                if not packet.size or packet.pts is None or packet.is_corrupt or packet.has_sidedata("new_extradata"):
                    return None
                if framed and not _is_well_framed(packet):
                    return None
                times.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(number)
                if packet.is_discard:
                    hidden.add(number)
        except av.FFmpegError:
            return None
        number = {time: number for number, time in enumerate(times)}
        shown = [number[time] for time in sorted(number) if number[time] not in hidden]
        starts_clean = shown and keys and keys[0] == 0 and times[0] <= times[shown[0]]
        return cls(times, keys, shown, number) if starts_clean and len(number) == len(times) else None


@dataclass
class Run:
    """Packets to feed in one go.

    Attributes:
        first: number of the key packet to start from.
        last: number of the packet to stop after.
        wanted: packet number -> index of the frame.
        expected: the numbers that must come out from the key frame on, in this order.
    """

    first: int
    last: int
    wanted: dict[int, int]
    expected: Sequence[int] = ()


def plan_runs(order: Order, wanted: Iterable[int]) -> list[Run]:
    """The runs of packets that give the wanted frames; no packet is in two runs."""
    runs: list[Run] = []
    for first, number, index in sorted(
        (_start(order, order.shown[index]), order.shown[index], index) for index in wanted
    ):
        if not runs or first > runs[-1].last + 1:
            runs.append(Run(first, number, {}))
        runs[-1].last = max(runs[-1].last, number)
        runs[-1].wanted[number] = index
    hidden = set(range(len(order.times))) - set(order.shown)
    for run in runs:
        times = sorted(order.times[number] for number in range(run.first, run.last + 1) if number not in hidden)
        run.expected = [order.number[time] for time in times if time >= order.times[run.first]]
    return runs


def _start(order: Order, number: int) -> int:
    """The key packet to start from for a frame."""
    place = bisect_right(order.keys, number) - 1
    # A frame that comes after a key packet but is shown before it leans on the pictures before it (open GOP).
    while order.times[order.keys[place]] > order.times[number]:
        place -= 1
    return order.keys[place]


def _has_length_prefixes(stream: VideoStream) -> bool:
    """Whether the packets are NAL units behind 4-byte lengths (H.264 and HEVC in mp4 and mkv: avcC, hvcC)."""
    header, place = stream.codec_context.extradata or b"", {"h264": 4, "hevc": 21}.get(stream.codec_context.name)
    return place is not None and len(header) > place and header[0] == 1 and header[place] & 3 == 3


def _is_well_framed(packet: av.Packet) -> bool:
    """Whether the lengths add up: overwritten packets, which give no frame, are found without decoding."""
    data, position = memoryview(packet), 0
    while position + 4 < len(data):
        if data[position + 4] & 0x80:  # a NAL unit starts with a zero bit
            return False
        position += 4 + int.from_bytes(data[position : position + 4])
    return position == len(data)
