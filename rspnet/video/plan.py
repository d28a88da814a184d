"""The plan of a video file, made once: which packet gives which frame, and where decoding can start.

A packet's number is its place in the file. Timestamps cannot identify a frame: they repeat, are missing, or are off by
one in avi. So a plan uses packet numbers, and the decoder returns each frame with the number of the packet that it came
from. survey.py makes the plan while the file is decoded once, or from the packets alone if they tell enough. As text it
takes some tens of characters.
"""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rspnet.video.limits import MAX_PACKETS, plausible_count, plausible_rate, plausible_seconds
from rspnet.video.orientation import Orientation

Numbers = npt.NDArray[np.int64]
"""Numbers of packets or frames, or times."""

TIMED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers whose packets carry presentation times from the encoder, and which can be searched by these. avi has no
times, so that libavformat makes them up, a program stream may have few, and a transport stream cannot be searched
exactly."""

TABLE_HEADERS = {"mov,mp4,m4a,3gp,3g2,mj2": 0, "avi": 8}
"""Containers with a table of all packets as soon as they are open -> bytes from the place it gives to the data."""

_VERSION = 6  # of the text format
_NUM_FACTS = 13
_WIDEST = 10  # bytes of a number
_DEEPEST = 16  # frames that a decoder may hold back (H.264, HEVC); with more, some decoders fail badly


class OtherFileError(ValueError):
    """The plan belongs to another file."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How to read one file. P packets, N frames.

    Attributes:
        file_size: bytes; a file of another size is another file.
        stream: index of the video stream.
        rate: average frames per second; 0 if not known.
        height: pixels, as shown; 0 if not known.
        width: the same.
        orientation: how a stored frame becomes the shown one, if the size is known.
        depth: number of frames that the decoder holds back to put them in order.
        num_packets: P.
        shown: int64 (N,), the packets in display order: frame n comes from packet shown[n].
        keys: int64, packets at which decoding can start, ascending, beginning with packet 0; empty if frames must be
            counted from the start.
        header: see `TABLE_HEADERS`; -1 if there is no table, and packets are searched for by time.
        packed: whether MPEG-4 packets may hold two pictures, see `rspnet.video.packets.unpacked`.
        afresh: whether each start needs a new decoder, because starts were tried out with new ones.
        times: int64 (P,), presentation times in the stream's unit; None with a table, or without `keys`.
        moments: int64 (N + 1,), milliseconds, when each frame is shown and when the last one ends; None if frame n is
            shown at n / rate, give or take a frame.
        places: int64 (P,), the frame that each packet shows; -1 if it shows none.
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
        """Libavformat's name of the container; None without a table of packets, as it may be one of several then."""
        return next((names.split(",")[0] for names, header in TABLE_HEADERS.items() if header == self.header), None)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width; None if they are not known."""
        return (self.height, self.width) if self.height else None

    def to_text(self) -> str:
        """Return the plan as a short text, which `from_text` reads."""
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
        packed = _pack(numbers)
        squeezer = zlib.compressobj(9, wbits=-15)
        return base64.b64encode(squeezer.compress(packed + _checksum(packed)) + squeezer.flush()).decode()

    @classmethod
    def from_text(cls, text: str, file_size: int | None = None) -> "Plan":
        """Read what `to_text` wrote; no text makes it use more memory than a plan of `MAX_PACKETS` packets does.

        Args:
            text: the text.
            file_size: size in bytes of the file that the plan should belong to; None to accept any.

        Raises:
            OtherFileError: it is the plan of another file.
            ValueError: it is not a plan.
        """
        try:
            return cls._read(_Text(text), file_size)
        except OtherFileError:
            raise
        except (ValueError, ArithmeticError, IndexError, MemoryError, zlib.error) as error:
            raise ValueError(f"{text[:40]!r} is not the plan of a video ({error})") from None

    @classmethod
    def _read(cls, text: "_Text", file_size: int | None) -> "Plan":
        facts = text.facts()
        size, stream, above, below, height, width, flags, depth, count, length, num_keys, header = facts
        if file_size not in (None, size):
            raise OtherFileError(f"it is of a file of {size} bytes")
        *turn, packed, afresh, varies = (bool(flags >> bit & 1) for bit in range(6))
        is_timed = header < 0 < num_keys
        parts = [length, num_keys, count * is_timed, (length + 1) * varies]
        _check_facts(facts)
        lists = np.split(text.numbers(sum(parts)), np.cumsum(parts)[:-1])
        shown, keys = np.cumsum(lists[0] + 1) - 1, np.cumsum(np.cumsum(lists[1]))
        _check_numbers(shown, keys, count)
        times = np.empty(count, np.int64) if is_timed else None
        moments = np.cumsum(np.cumsum(lists[3])) if varies else None
        rate, turned = Fraction(above, below), Orientation(*turn)
        known = (size, stream, rate, height, width, turned, depth, count, shown, keys, header, packed, afresh)
        plan = cls(*known, times, moments)
        if times is not None:
            times[plan._order()] = np.cumsum(np.cumsum(lists[2]))
            _check(len(np.unique(times)) == count, "times")
        if moments is not None:
            _check(moments[0] == 0 and (np.diff(moments) >= 0).all(), "moments")
            _check(plausible_seconds(max(int(moments[-1]), 1) / 1000, length), "moments")
        return plan

    def _order(self) -> Numbers:
        """Return the numbers of all packets: those that are shown, in display order, then the others."""
        return np.concatenate([self.shown, np.flatnonzero(self.places < 0)])

    def runs(self, wanted: Iterable[int]) -> "list[Run]":
        """Return the runs of packets that give the wanted frames; runs overlap only if the plan is `afresh`."""
        runs: list[Run] = []
        frames = np.fromiter(wanted, np.int64)
        numbers = self.shown[frames]
        starts = np.searchsorted(self.keys, numbers, side="right") - 1
        # A frame that follows a key packet but is shown before it may depend on the pictures before it (open GOP), and
        # needs an earlier start. From the start of the file all frames are right.
        while (too_late := (starts > 0) & (self.places[self.keys[starts]] > frames)).any():
            starts -= too_late
        for first, number, frame in sorted(zip(self.keys[starts].tolist(), numbers.tolist(), frames.tolist())):
            if not runs or (first > runs[-1].first if self.afresh else first > runs[-1].last + 1):
                runs.append(Run(first, number, {}))
            runs[-1].last = max(runs[-1].last, number)
            runs[-1].wanted[number] = frame
        for run in runs:
            # A packet that shows nothing may belong to the frame of the one before, as its second field.
            while run.last + 1 < self.num_packets and self.places[run.last + 1] < 0:
                run.last += 1
        return runs


@dataclass
class Run:
    """Packets to decode in one go.

    Attributes:
        first: number of the key packet to start from.
        last: number of the packet to stop after.
        wanted: number of a packet -> index of the frame that it gives.
    """

    first: int
    last: int
    wanted: dict[int, int]


def _pack(numbers: Iterable[int]) -> bytes:
    """Pack integers with seven bits per byte, lowest first; the sign is the lowest bit."""
    packed = bytearray()
    for number in numbers:
        number = number << 1 if number >= 0 else ~number << 1 | 1
        while number > 127:
            packed.append(number & 127 | 128)
            number >>= 7
        packed.append(number)
    return bytes(packed)


def _unpack(packed: bytes) -> Numbers:
    digits = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(digits < 128)
    starts = np.concatenate([[0], ends[:-1] + 1])
    widths = ends - starts + 1
    if not len(ends) or ends[-1] != len(digits) - 1 or widths.max() > 10:
        raise ValueError("cut")
    numbers = np.zeros(len(ends), np.int64)
    for place in range(widths.max()):  # digit by digit, for all numbers that have it
        there = np.flatnonzero(widths > place)
        numbers[there] |= (digits[starts[there] + place] & 127).astype(np.int64) << 7 * place
    return numbers >> 1 ^ -(numbers & 1)


def _checksum(packed: bytes) -> bytes:
    return zlib.crc32(packed).to_bytes(4)


class _Text:
    """The numbers in the text of a plan: first the facts, which say how many others follow, then those.

    Args:
        text: the text, of any length.

    Raises:
        ValueError, zlib.error: it is not the text of a plan; raised by the constructor and the methods.
    """

    def __init__(self, text: str) -> None:
        self._squeezed = base64.b64decode(text, validate=True)
        self._inflater = zlib.decompressobj(wbits=-15)
        self._start = self._inflater.decompress(self._squeezed, _NUM_FACTS * _WIDEST)

    def facts(self) -> list[int]:
        """Return the facts, in the order of `Plan._read`."""
        ends = [place for place, digit in enumerate(self._start) if digit < 128][:_NUM_FACTS]
        version, *facts = map(int, _unpack(self._start[: ends[-1] + 1]))
        if version != _VERSION or len(ends) < _NUM_FACTS:
            raise ValueError(f"version {version}")
        return facts

    def numbers(self, count: int) -> Numbers:
        """Return the numbers after the facts, of which there must be exactly `count`."""
        most = (_NUM_FACTS + count) * _WIDEST + 4
        packed = self._start + self._inflater.decompress(self._inflater.unconsumed_tail, most)
        if not self._inflater.eof or self._inflater.unused_data or _checksum(packed[:-4]) != packed[-4:]:
            raise ValueError("damaged")
        numbers = _unpack(packed[:-4])[_NUM_FACTS:]
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} numbers instead of {count}")
        return numbers


def _check(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise ValueError(f"impossible {what}")


def _check_facts(facts: list[int]) -> None:
    """Check the facts, before memory is allocated for the numbers that they announce."""
    size, stream, above, below, height, width, flags, depth, count, length, num_keys, header = facts
    _check(size >= 0 and 0 <= stream < 2**16, "file")
    _check(below > 0 and (above == 0 or plausible_rate(above / below)), "rate")
    _check(min(height, width) >= 0 and (height > 0) == (width > 0) and height * width < 2**31, "size")
    _check(0 <= flags < 64 and 0 <= depth <= _DEEPEST, "flags")
    _check(plausible_count(count, min(size, MAX_PACKETS)) and 0 <= length <= count, "number of frames")
    _check(0 <= num_keys <= count and header in (-1, *TABLE_HEADERS.values()), "number of starts")


def _check_numbers(shown: Numbers, keys: Numbers, count: int) -> None:
    """Check that packets exist and occur once, and that starts ascend from packet 0 and, but for that, are shown."""
    _check(not len(shown) or (shown.min() >= 0 and shown.max() < count), "frames")
    places = np.zeros(count, bool)
    places[shown] = True
    _check(places.sum() == len(shown), "frames")
    if len(keys):
        _check(keys[0] == 0 and keys[-1] < count and (np.diff(keys) > 0).all(), "starts")
        _check(places[keys[1:]].all(), "starts")
