"""Check the packet tables of an mp4 or avi before it is opened, because a few bytes can declare millions of packets."""

import os
import struct
from dataclasses import dataclass

from rspnet.video.limits import FEW_SAMPLES, MAX_SAMPLES

_BOXES = frozenset((b"moov", b"cmov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf"))
"""Boxes of mp4 that contain others (ISO/IEC 14496-12)."""

_LISTS = frozenset((b"LIST", b"RIFF"))
"""Chunks of avi that contain others."""

_DEEPEST = 8
_HAS_SIZES = 0x200  # flag of trun: each packet has an entry, which takes bytes in the file
_BYTES_OF_A_TIME = 8  # of an entry in a table of times: a number of packets, and their duration
_MOST_UNPACKED = 2**26  # bytes of a compressed header when it is decompressed
_MOST_BOXES = 2**21  # enough for more than a day in fragments of one frame each


def overdrawn(path: str, *, fragments: bool = True) -> str | None:
    """Return what is wrong with the tables of a file that declare more than it can hold; None if nothing is.

    Args:
        path: the file.
        fragments: check the tables of all fragments of an mp4, not only the one at its start.

    Raises:
        OSError: the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        tables = _Tables(descriptor, fragments)
        tables.read()
        return tables.verdict()
    finally:
        os.close(descriptor)


@dataclass
class _Track:
    """A track of an mp4.

    Attributes:
        kind: type of its handler, such as vide or soun.
        count: number of packets.
        is_even: whether all packets have the same size.
        edits: number of edits.
        steps: entries of its table of times, and the duration in the first one.
    """

    kind: bytes = b""
    count: int = 0
    is_even: bool = False
    edits: int = 0
    steps: tuple[int, int] = (0, 0)

    @property
    def is_in_chunks(self) -> bool:
        """Whether it is audio that libavformat reads chunk by chunk, as it does if each sample lasts one tick."""
        return self.kind == b"soun" and self.steps == (1, 1)


class _Tables:
    """Counts what the tables of an open file declare.

    Args:
        descriptor: descriptor of the file.
        fragments: see `overdrawn`.
    """

    def __init__(self, descriptor: int, fragments: bool) -> None:
        self._file = descriptor
        self._fragments = fragments
        self._size = os.fstat(descriptor).st_size
        self._declared = 0  # packets without an entry of their own in a table
        self._edited = 0  # packets, each counted as often as edits may show it
        self._lines = 0  # entries of the longest table of times
        self._unpacked = 0  # bytes of a compressed header when it is decompressed
        self._boxes = 0
        self._track = _Track()

    def read(self) -> None:
        """Read all tables."""
        head = os.pread(self._file, 8, 0)
        if head[:4] == b"RIFF":
            self._read_avi(0, self._size, 0)
        elif len(head) == 8 and head[4:].isalnum():
            self._read_mp4(0, self._size, 0)

    def verdict(self) -> str | None:
        """Return what is wrong with the tables that were read; None if nothing is."""
        if self._declared > min(max(self._size, FEW_SAMPLES), MAX_SAMPLES):
            return f"its tables declare {self._declared} packets in {self._size} bytes"
        if self._edited > max(self._size, MAX_SAMPLES // 8):
            return f"its edits show {self._edited} packets in {self._size} bytes"
        if self._lines > self._size // _BYTES_OF_A_TIME:
            return f"a table of its times declares {self._lines} entries in {self._size} bytes"
        if self._boxes >= _MOST_BOXES:
            return f"it consists of more than {_MOST_BOXES} parts"
        if self._unpacked > _MOST_UNPACKED:
            return f"its compressed header would expand to {self._unpacked} bytes"
        return None

    def _read_mp4(self, place: int, end: int, depth: int) -> None:
        while place + 8 <= end and self._boxes < _MOST_BOXES:
            self._boxes += 1
            length, kind = struct.unpack(">I4s", self._bytes(place, 8))
            start = place + 8
            if length == 1:
                length, start = self._numbers(start, ">Q")[0], start + 8
            stop = end if length == 0 else min(end, place + length)
            if stop < start or (kind == b"moof" and not self._fragments):
                return  # what follows cannot be found, or need not be checked
            self._take_box(kind, start, stop, depth=depth)
            place = stop

    def _take_box(self, kind: bytes, start: int, stop: int, *, depth: int) -> None:
        track = self._track
        if kind in _BOXES:
            if kind == b"trak":
                track = self._track = _Track()
            if depth < _DEEPEST:
                self._read_mp4(start, stop, depth + 1)
            if kind == b"trak":
                self._declared += track.count if track.is_even and not track.is_in_chunks else 0
                self._edited += track.count * track.edits if track.edits > 1 else 0
        elif kind == b"hdlr" and depth < 4:
            track.kind = self._bytes(start + 8, 4)
        elif kind == b"elst":
            (track.edits,) = self._numbers(start + 4, ">I")
        elif kind in (b"stts", b"ctts"):
            lines, _, step = self._numbers(start + 4, ">III")
            self._lines = max(self._lines, lines)
            if kind == b"stts":
                track.steps = lines, step
        elif kind in (b"stsz", b"stz2"):
            size, track.count = self._numbers(start + 4, ">II")
            track.is_even = kind == b"stsz" and size > 0
        elif kind == b"trun":
            flags, count = self._numbers(start, ">II")
            self._declared += 0 if flags & _HAS_SIZES else count
        elif kind == b"cmvd":
            (self._unpacked,) = self._numbers(start, ">I")

    def _read_avi(self, place: int, end: int, depth: int) -> None:
        while place + 8 <= end:
            kind, length = struct.unpack("<4sI", self._bytes(place, 8))
            start, stop = place + 8, min(end, place + 8 + length)
            if kind in _LISTS and depth < _DEEPEST and self._bytes(start, 4) != b"movi":
                self._read_avi(start + 4, stop, depth + 1)
            elif kind == b"indx":
                self._read_index(start, stop)
            place = stop + length % 2

    def _read_index(self, start: int, stop: int) -> None:
        """Read an index of indexes (OpenDML): each entry gives a place in the file, and many may give the same."""
        _, _, kind, lines = struct.unpack("<HBBI", self._bytes(start, 8))
        if kind:
            return  # it lists the packets itself
        for line in range(min(lines, (stop - start - 24) // 16)):
            (place,) = self._numbers(start + 24 + 16 * line, "<Q")
            if place < self._size:
                self._declared += min(self._numbers(place + 12, "<I")[0], self._size // 8)
            if self._declared > MAX_SAMPLES:
                return

    def _bytes(self, place: int, count: int) -> bytes:
        """Return bytes of the file, padded with zeros behind its end."""
        return os.pread(self._file, count, place).ljust(count, b"\0")

    def _numbers(self, place: int, kinds: str) -> tuple[int, ...]:
        return struct.unpack(kinds, self._bytes(place, struct.calcsize(kinds)))
