"""The structure of a Matroska file: where its elements end, and whether they are as they were written."""

import os
import zlib
from typing import BinaryIO

_MATROSKA = b"\x1a\x45\xdf\xa3"
_CLUSTER = 0x1F43B675
_CHECKSUM = 0xBF


def end_of_segment(file: BinaryIO) -> int:
    """Where the segment of a Matroska file ends; 0 where its size is left open (RFC 8794, 6)."""
    start = _segment(file)
    _, length, start = _element(file, start) if start else (0, None, 0)
    return 0 if length is None else start + length


def wrong_checksum(path: str) -> int | None:
    """Where the first cluster of a Matroska file starts whose bytes are not those that its checksum was made of.

    None where there is none, or where the file is something else. Many writers of .mkv put a checksum (CRC-32) into
    each cluster (RFC 8794, 11.3.1), and no reader looks at it.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if not (body := _body(file, size)):
            return None
        place, end, _ = body
        while place < end:
            kind, length, after = _element(file, place)
            if not kind or length is None or after + length > end:
                return None
            if kind == _CLUSTER and not _is_as_written(file, after, length):
                return place
            place = after + length
    return None


def _is_as_written(file: BinaryIO, place: int, length: int) -> bool:
    """Whether an element's content is that of the checksum at its start; without one it is."""
    kind, size, after = _element(file, place)
    if kind != _CHECKSUM or size != 4:
        return True
    said, left, found = int.from_bytes(file.read(4), "little"), place + length - after - 4, 0
    while left > 0 and (data := file.read(min(left, 2**20))):
        left, found = left - len(data), zlib.crc32(data, found)
    return found == said


def broken_at(path: str) -> int | None:
    """Where elements of a Matroska file do not follow each other; readers look for the next that they know, and go on.

    None where they do, as far as it goes, or where the file is something else.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if not (body := _body(file, size)):
            return None
        place, end, is_whole = body  # else what passes the end is cut, not broken
        cluster_end = None  # where the one ends that the place lies in, if that is said
        while place < end:
            kind, length, after = _element(file, place)
            limit = end if cluster_end is None else cluster_end
            if not kind or (length is None and kind != _CLUSTER) or (kind == _CLUSTER and cluster_end):
                return place
            if length is None:  # a cluster; its own elements come next
                cluster_end, place = None, after
                continue
            if after + length > limit:
                return place if is_whole or cluster_end else None
            if kind == _CLUSTER:
                cluster_end, place = length and after + length, after
            else:
                place = after + length
                cluster_end = None if place == cluster_end else cluster_end
    return None


def _body(file: BinaryIO, size: int) -> tuple[int, int, bool] | None:
    """Where a segment's content starts and ends in a file of `size` bytes, and whether it says so and all is there."""
    if file.read(4) != _MATROSKA or not (start := _segment(file)):
        return None
    _, length, place = _element(file, start)
    end = size if length is None else min(size, place + length)
    return place, end, length is not None and place + length <= size


def _segment(file: BinaryIO) -> int:
    """Where the segment of a Matroska file starts; 0 where its header makes no sense."""
    _, length, after = _element(file, 0)
    return 0 if length is None or length > 2**20 else after + length  # the header takes some tens of bytes


def _element(file: BinaryIO, place: int) -> tuple[int, int | None, int]:
    """An element's kind (0: there is none), its length (None: left open) and where its content starts."""

    def number() -> tuple[int, int]:
        first = (file.read(1) or b"\0")[0]
        width = 9 - first.bit_length()
        return first << 8 * (width - 1) | int.from_bytes(file.read(width - 1)) if first else 0, width

    file.seek(place)
    kind, _ = number()
    length, width = number()
    length &= (1 << 7 * width) - 1
    return kind, None if length == (1 << 7 * width) - 1 else length, file.tell()
