"""What is known of a video file once and for all: which packet gives which frame, and where decoding can start.

A packet's number is its place in the file. Timestamps are not trusted to name a frame: they repeat, are missing, or are
off by one in avi. A plan says it with packet numbers, and the decoder hands each frame out with the number of the
packet that it came from. It is made while the file is decoded once, by `Survey`, or from the packets alone where the
container keeps their presentation times. As text it takes some tens of characters.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.orientation import UPRIGHT, Orientation, orientation
from rspnet.times import Timeline

TIMED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers whose packets carry presentation times from the encoder and that can be searched by them. avi has none and
makes them up, a program stream may have few, and a transport stream cannot be searched exactly."""

TABLE_HEADERS = {"mov,mp4,m4a,3gp,3g2,mj2": 0, "avi": 8}
"""Containers with a table of all packets at hand once they are open, and the bytes from where it points to the data."""

_VERSION = 4  # of the text

PICTURE_OF_MPEG4 = b"\x00\x00\x01\xb6"
"""The start code of a picture (VOP, ISO/IEC 14496-2); two bits of its type follow: 0 a key frame, 1 P, 2 B, 3 S."""

BLANK_OF_MPEG4 = 7
"""Bytes, at most, of a packet that only stands for a picture (libavcodec's bound)."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How to read one file. P packets, N frames.

    Attributes:
        file_size: bytes; a file of another size is another file.
        stream: index of the video stream.
        rate: average frames per second, 0 where the file does not say.
        height: pixels, as shown; 0 where it is not known.
        width: the same.
        orientation: how a stored frame becomes the shown one, where the size is known.
        depth: frames that the decoder holds back to put them in order.
        num_packets: P.
        shown: int64 (N,), the packets in display order: frame n comes from packet shown[n].
        keys: int64, packets to start from, ascending; empty where frames must be counted from the start.
        header: see `TABLE_HEADERS`; -1 where packets are searched for by time.
        packed: whether MPEG-4 packets hold two pictures, see `rspnet.packets.unpacked`.
        times: int64 (P,), presentation times in the stream's unit; None with a table.
        moments: int64 (N + 1,), milliseconds, when each frame is shown and when the last one ends; None where frame n
            is shown at n / rate, give or take a frame.
    """

    file_size: int
    stream: int
    rate: Fraction
    height: int
    width: int
    orientation: Orientation
    depth: int
    num_packets: int
    shown: np.ndarray
    keys: np.ndarray
    header: int = -1
    packed: bool = False
    times: np.ndarray | None = None
    moments: np.ndarray | None = None

    def __post_init__(self) -> None:
        places = np.full(self.num_packets, -1)
        places[self.shown] = np.arange(len(self.shown))
        object.__setattr__(self, "places", places)  # packet -> its frame; -1: it shows none

    @property
    def can_jump(self) -> bool:
        """Whether decoding can start elsewhere than at the start of the file."""
        return len(self.keys) > 0

    @property
    def container(self) -> str | None:
        """What libavformat calls the file's container; None without a table of packets, where it may be one of two."""
        return next((names.split(",")[0] for names, header in TABLE_HEADERS.items() if header == self.header), None)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width; None where they are not known."""
        return (self.height, self.width) if self.height else None

    def to_text(self) -> str:
        """A short text that `from_text` reads."""
        facts = [_VERSION, self.file_size, self.stream, self.rate.numerator, self.rate.denominator]
        facts += [self.height, self.width, *self.orientation, self.depth]
        facts += [self.num_packets, len(self.shown), len(self.keys), self.header, self.packed]
        facts.append(self.moments is not None)
        lists = [np.diff(self.shown, prepend=-1) - 1, np.diff(self.keys, n=2, prepend=[0, 0])]
        if self.times is not None:
            lists.append(np.diff(self.times[self._order()], n=2, prepend=[0, 0]))
        if self.moments is not None:
            lists.append(np.diff(self.moments, n=2, prepend=[0, 0]))
        numbers = np.concatenate([facts, *lists]).tolist()
        squeezer = zlib.compressobj(9, wbits=-15)
        return base64.b64encode(squeezer.compress(_pack(numbers)) + squeezer.flush()).decode()

    @classmethod
    def from_text(cls, text: str) -> "Plan":
        """Read what `to_text` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            numbers = _unpack(zlib.decompress(base64.b64decode(text, validate=True), wbits=-15))
            if numbers[0] != _VERSION:
                raise ValueError(f"version {numbers[0]}")
            *facts, header, packed, varies = numbers[1:17].tolist()
            size, stream, above, below, height, width, *turn, depth, count, length, num_keys = facts
            *lists, moments = np.split(numbers[17:], np.cumsum([length, num_keys, count * (header < 0 < num_keys)]))
            shown = np.cumsum(lists[0] + 1) - 1
            times = np.empty(count, np.int64) if header < 0 and num_keys else None
            keys = np.cumsum(np.cumsum(lists[1]))
            turn = Orientation(*map(bool, turn))
            facts = (size, stream, Fraction(above, below), height, width, turn, depth, count, shown, keys)
            moments = np.cumsum(np.cumsum(moments)) if varies else None
            plan = cls(*facts, header, bool(packed), times, moments)
            if times is not None:
                times[plan._order()] = np.cumsum(np.cumsum(lists[2]))
            return plan
        except (ValueError, IndexError, zlib.error, ZeroDivisionError) as error:
            raise ValueError(f"{text[:40]!r} is no plan of a video ({error})") from None

    def _order(self) -> np.ndarray:
        """All packets: those that are shown, in display order, then the others."""
        return np.concatenate([self.shown, np.flatnonzero(self.places < 0)])

    def runs(self, wanted: Iterable[int]) -> "list[Run]":
        """The runs of packets that give the wanted frames; no packet is in two runs."""
        runs: list[Run] = []
        frames = np.fromiter(wanted, np.int64)
        numbers = self.shown[frames]
        starts = np.searchsorted(self.keys, numbers, side="right") - 1
        # A frame that comes after a key packet but is shown before it leans on the pictures before it (open GOP).
        while (too_late := self.places[self.keys[starts]] > frames).any():
            starts -= too_late
        for first, number, frame in sorted(zip(self.keys[starts].tolist(), numbers.tolist(), frames.tolist())):
            if not runs or first > runs[-1].last + 1:
                runs.append(Run(first, number, {}))
            runs[-1].last = max(runs[-1].last, number)
            runs[-1].wanted[number] = frame
        return runs


@dataclass
class Run:
    """Packets to feed in one go.

    Attributes:
        first: number of the key packet to start from.
        last: number of the packet to stop after.
        wanted: packet number -> index of the frame.
    """

    first: int
    last: int
    wanted: dict[int, int]


class Survey:
    """Takes note of the packets of a stream as they go by, each of which it gives its number as its time.

    Args:
        container: the file, just opened.
        stream: its video stream.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._format = container.format.name
        self._entries = len(stream.index_entries)  # a fragmented mp4 finds the rest on its way
        self._times: list[int | None] = []
        self._keys: list[int] = []
        self.timeline = Timeline(stream, container.format.name)
        self._hidden: set[int] = set()
        self._spans: list[tuple[int | None, int]] = []
        self._is_mpeg4 = stream.codec_context.name == "mpeg4"
        self._framed = _has_length_prefixes(stream)
        self._sane = True
        self._packed = False

    def __call__(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Yield the packets."""
        for packet in packets:
            if packet.size or packet.pts is not None:  # else it is the flush at the end
                self._note(packet)
            yield packet

    def _note(self, packet: av.Packet) -> None:
        number = len(self._times)
        self._times.append(packet.pts)
        self.timeline.note(packet.pts, packet.dts, packet.duration, packet.size)
        self._spans.append((packet.pos, packet.size))
        pictures = bytes(packet).split(PICTURE_OF_MPEG4)[1:] if self._is_mpeg4 else []
        self._packed |= len(pictures) > 1
        # Some writers mark what only stands for a picture that came before: nothing can be decoded from there.
        is_blank = pictures and (packet.size <= BLANK_OF_MPEG4 or pictures[0][:1] >= b"\x40")
        if packet.is_keyframe and not is_blank:
            self._keys.append(number)
        if packet.is_discard:
            self._hidden.add(number)
        whole = packet.size and not packet.is_corrupt and not packet.has_sidedata("new_extradata")
        if not whole or (self._framed and not _is_well_framed(packet)):
            self._sane = False
        packet.pts = packet.dts = number

    def shown_by_time(self) -> list[int] | None:
        """The packets in display order, from their times alone; None where those do not tell."""
        if self._format not in TIMED_FORMATS or not self._sane or self._packed or not self._has_times():
            return None
        order = sorted(range(len(self._times)), key=self._times.__getitem__)
        shown = [number for number in order if number not in self._hidden]
        return shown if shown and self._keys[:1] == [0] and self._times[0] <= self._times[shown[0]] else None

    def plan(self, shown: list[int | None], damaged: bool = False, first: VideoFrame | None = None) -> Plan:
        """The plan of the file, all of whose packets went by.

        Args:
            shown: the number of the packet that each frame came from, in display order.
            damaged: whether decoding it went wrong somewhere; then it is always done from the start.
            first: the first frame, where it is at hand.
        """
        stream, length = self._stream, len(shown)
        pace = self.timeline.pace(shown)
        turn = orientation(first) if first else UPRIGHT
        size = turn.size(first.height, first.width) if first else (0, 0)
        facts = (self._container.size, stream.index, pace.rate, *size, turn, stream.codec_context.reorder_depth)
        ordered = shown and None not in shown and len(set(shown)) == length
        if ordered and self._sane and not damaged and self._keys[:1] == [0]:
            # A start that shows nothing could not be told from one that failed; but nothing goes before the first.
            starts = sorted({0, *self._keys} & {0, *shown})
            facts = (*facts, len(self._times), np.array(shown), np.array(starts))
            if self._is_in_table():
                return Plan(*facts, TABLE_HEADERS[self._format], self._packed, moments=pace.moments)
            if self._format in TIMED_FORMATS and self._has_times():
                return Plan(*facts, -1, self._packed, np.array(self._times), pace.moments)
        return Plan(*facts[:7], length, np.arange(length), np.empty(0, np.int64), moments=pace.moments)

    def _has_times(self) -> bool:
        return None not in self._times and len(set(self._times)) == len(self._times)

    def _is_in_table(self) -> bool:
        """Whether the container's table gives every packet, byte for byte."""
        header = TABLE_HEADERS.get(self._format)
        if header is None or self._entries != len(self._spans):
            return False
        return self._spans == [(entry.pos + header, entry.size) for entry in self._stream.index_entries]


def _pack(numbers: Iterable[int]) -> bytes:
    """Integers, seven bits to a byte, the sign in the lowest."""
    packed = bytearray()
    for number in numbers:
        number = number << 1 if number >= 0 else ~number << 1 | 1
        while number > 127:
            packed.append(number & 127 | 128)
            number >>= 7
        packed.append(number)
    return bytes(packed)


def _unpack(packed: bytes) -> np.ndarray:
    digits = np.frombuffer(packed, np.uint8).astype(np.int64)
    ends = np.flatnonzero(digits < 128)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = 7 * (np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((digits[: ends[-1] + 1] & 127) << shifts, starts)
    return numbers >> 1 ^ -(numbers & 1)


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
