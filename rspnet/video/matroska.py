"""Check the structure of a Matroska file: where its elements end, and whether their checksums match."""

import os
import zlib
from typing import BinaryIO

_MATROSKA = b"\x1a\x45\xdf\xa3"
_CLUSTER = 0x1F43B675
_CHECKSUM = 0xBF


def end_of_segment(file: BinaryIO) -> int:
    """Return where the segment of a Matroska file ends; 0 if its size is unknown (RFC 8794, 6)."""
    start = _segment(file)
    _, length, start = _element(file, start) if start else (0, None, 0)
    return 0 if length is None else start + length


def wrong_checksum(path: str) -> int | None:
    """Return where the first cluster with a wrong checksum starts in a Matroska file.

    None if there is none, or if it is not a Matroska file. Many writers of .mkv put a checksum (CRC-32) into each
    cluster (RFC 8794, 11.3.1), and no reader checks it.
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
    """Whether an element's content matches the checksum at its start; True if it has none."""
    kind, size, after = _element(file, place)
    if kind != _CHECKSUM or size != 4:
        return True
    said, left, found = int.from_bytes(file.read(4), "little"), place + length - after - 4, 0
    while left > 0 and (data := file.read(min(left, 2**20))):
        left, found = left - len(data), zlib.crc32(data, found)
    return found == said


def broken_at(path: str) -> int | None:
    """Return where the sequence of elements in a Matroska file is broken; readers skip to the next one that they know.

    None if it is not broken up to the end of the file, or if it is not a Matroska file.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if not (body := _body(file, size)):
            return None
        place, end, is_whole = body  # if not whole, an element that passes the end is truncated, not broken
        cluster_end = None  # the end of the current cluster, if its size is known
        while place < end:
            kind, length, after = _element(file, place)
            limit = end if cluster_end is None else cluster_end
            if not kind or (length is None and kind != _CLUSTER) or (kind == _CLUSTER and cluster_end):
                return place
            if length is None:  # a cluster of unknown size; its own elements come next
                cluster_end, place = None, after
                continue
            if after + length > limit:
                return place if is_whole or cluster_end else None
            if kind == _CLUSTER:
                cluster_end, place = after + length if length else None, after
            else:
                place = after + length
                cluster_end = None if place == cluster_end else cluster_end
    return None


def _body(file: BinaryIO, size: int) -> tuple[int, int, bool] | None:
    """Return where a segment's content starts and ends in a file of `size` bytes, and if it is known to be whole."""
    if file.read(4) != _MATROSKA or not (start := _segment(file)):
        return None
    _, length, place = _element(file, start)
    end = size if length is None else min(size, place + length)
    return place, end, length is not None and place + length <= size


def _segment(file: BinaryIO) -> int:
    """Return where the segment of a Matroska file starts; 0 if its header makes no sense."""
    _, length, after = _element(file, 0)
    return 0 if length is None or length > 2**20 else after + length  # the header takes some tens of bytes


def _element(file: BinaryIO, place: int) -> tuple[int, int | None, int]:
    """Return an element's kind (0: there is none), its length (None: unknown) and where its content starts."""

    def number() -> tuple[int, int]:
        first = (file.read(1) or b"\0")[0]
        width = 9 - first.bit_length()
        return first << 8 * (width - 1) | int.from_bytes(file.read(width - 1)) if first else 0, width

    file.seek(place)
    kind, _ = number()
    length, width = number()
    length &= (1 << 7 * width) - 1
    return kind, None if length == (1 << 7 * width) - 1 else length, file.tell()
