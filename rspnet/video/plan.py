"""What is known of a video file once and for all: which packet gives which frame, and where decoding can start.

A packet's number is its place in the file. Timestamps are not trusted to name a frame: they repeat, are missing, or are
off by one in avi. A plan says it with packet numbers, and the decoder hands each frame out with the number of the
packet that it came from. survey.py makes it while the file is decoded once, or from the packets alone where they tell
all. As text it takes some tens of characters.
"""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rspnet.video.orientation import Orientation

Numbers = npt.NDArray[np.int64]
"""Numbers of packets or frames, or times."""

TIMED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers whose packets carry presentation times from the encoder and that can be searched by them. avi has none and
makes them up, a program stream may have few, and a transport stream cannot be searched exactly."""

TABLE_HEADERS = {"mov,mp4,m4a,3gp,3g2,mj2": 0, "avi": 8}
"""Containers with a table of all packets at hand once they are open, and the bytes from where it points to the data."""

_VERSION = 5  # of the text


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
        keys: int64, packets to start from, the first one among them, ascending; empty where frames must be counted from
            the start.
        header: see `TABLE_HEADERS`; -1 where packets are searched for by time.
        packed: whether MPEG-4 packets hold two pictures, see `rspnet.video.packets.unpacked`.
        afresh: whether each start needs a decoder that has seen nothing, as those had by which starts were tried out.
        times: int64 (P,), presentation times in the stream's unit; None with a table.
        moments: int64 (N + 1,), milliseconds, when each frame is shown and when the last one ends; None where frame n
            is shown at n / rate, give or take a frame.
        places: int64 (P,), the frame that each packet shows, -1 where it shows none.
    """

    file_size: int
    stream: int
    rate: Fraction
    height: int
    width: int
    orientation: Orientation
    depth: int
    num_packets: int
    shown: Numbers
    keys: Numbers
    header: int = -1
    packed: bool = False
    afresh: bool = False
    times: Numbers | None = None
    moments: Numbers | None = None
    places: Numbers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places = np.full(self.num_packets, -1)
        places[self.shown] = np.arange(len(self.shown))
        object.__setattr__(self, "places", places)

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
        flags = (*self.orientation, self.packed, self.afresh, self.moments is not None)
        facts += [self.height, self.width, sum(flag << bit for bit, flag in enumerate(flags)), self.depth]
        facts += [self.num_packets, len(self.shown), len(self.keys), self.header]
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
            facts, numbers = numbers[1:13].tolist(), numbers[13:]
            size, stream, above, below, height, width, flags, depth, count, length, num_keys, header = facts
            *turn, packed, afresh, varies = (bool(flags >> bit & 1) for bit in range(6))
            *lists, stays = np.split(numbers, np.cumsum([length, num_keys, count * (header < 0 < num_keys)]))
            shown = np.cumsum(lists[0] + 1) - 1
            times = np.empty(count, np.int64) if header < 0 and num_keys else None
            keys = np.cumsum(np.cumsum(lists[1]))
            facts = (size, stream, Fraction(above, below), height, width, Orientation(*turn), depth, count, shown, keys)
            moments = np.cumsum(np.cumsum(stays)) if varies else None
            plan = cls(*facts, header, packed, afresh, times, moments)
            if times is not None:
                times[plan._order()] = np.cumsum(np.cumsum(lists[2]))
            return plan
        except (ValueError, ArithmeticError, IndexError, MemoryError, zlib.error) as error:
            raise ValueError(f"{text[:40]!r} is no plan of a video ({error})") from None

    def _order(self) -> Numbers:
        """All packets: those that are shown, in display order, then the others."""
        return np.concatenate([self.shown, np.flatnonzero(self.places < 0)])

    def runs(self, wanted: Iterable[int]) -> "list[Run]":
        """The runs of packets that give the wanted frames; no packet is in two runs unless each start is afresh."""
        runs: list[Run] = []
        frames = np.fromiter(wanted, np.int64)
        numbers = self.shown[frames]
        starts = np.searchsorted(self.keys, numbers, side="right") - 1
        # A frame that comes after a key packet but is shown before it leans on the pictures before it (open GOP). From
        # the start of the file all are right.
        while (too_late := (starts > 0) & (self.places[self.keys[starts]] > frames)).any():
            starts -= too_late
        for first, number, frame in sorted(zip(self.keys[starts].tolist(), numbers.tolist(), frames.tolist())):
            if not runs or (first > runs[-1].first if self.afresh else first > runs[-1].last + 1):
                runs.append(Run(first, number, {}))
            runs[-1].last = max(runs[-1].last, number)
            runs[-1].wanted[number] = frame
        for run in runs:
            # A packet that shows nothing may belong to the frame of the one before, as its second field does.
            while run.last + 1 < self.num_packets and self.places[run.last + 1] < 0:
                run.last += 1
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


def _unpack(packed: bytes) -> Numbers:
    digits = np.frombuffer(packed, np.uint8).astype(np.int64)
    ends = np.flatnonzero(digits < 128)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = 7 * (np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((digits[: ends[-1] + 1] & 127) << shifts, starts)
    return numbers >> 1 ^ -(numbers & 1)
