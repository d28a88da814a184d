"""Packets that no encoder wrote: bytes that a codec forbids, which decoders read as if they were a picture."""

import re
from collections.abc import Callable, Iterator

_FORBIDDEN = re.compile(rb"\x00\x00(?:[\x00-\x02]|\x03[\x04-\xff])")
"""Inside a unit (NAL) of H.264 and HEVC, where a 3 is put behind two zeros that one of 0 to 3 would follow."""

_FORBIDDEN_BETWEEN_CODES = re.compile(rb"\x00\x00(?:\x02|\x00+[\x02-\xff]|\x03[\x04-\xff])")
"""The same where start codes separate the units, and zeros may stand before them."""

_BLANK = re.compile(rb"\x00{64,}[^\x00]")
"""Zeros with something behind them: arithmetic coding leaves no such holes."""

_NO_MARKER = re.compile(rb"\xff[\x01-\xbf\xc3\xc5-\xc7\xcb-\xcf\xf0-\xfd]")
"""Behind the head of a JPEG: of the markers that exist none that a picture brings."""

_HAS_LENGTHS = {"h264": 4, "hevc": 21}
"""Codec -> byte of its settings (avcC, hvcC) that says how many bytes the length of a unit has."""


def spoilt_of(codec: str, config: bytes) -> Callable[[bytes], bool]:
    """What tells whether a packet is spoilt; of codecs that leave no trace it never is.

    Args:
        codec: its name, of libavcodec.
        config: what the container says once for all packets (extradata).
    """
    if codec in ("vp8", "vp9", "av1"):
        return lambda data: _BLANK.search(data) is not None
    if codec == "mjpeg":
        return _is_spoilt_jpeg
    place = _HAS_LENGTHS.get(codec)
    if place is None:
        return lambda data: False
    if len(config) > place and config[0] == 1:
        width = (config[place] & 3) + 1
        return lambda data: any(_FORBIDDEN.search(unit) for unit in _units(data, width))
    return lambda data: _FORBIDDEN_BETWEEN_CODES.search(data) is not None


def _is_spoilt_jpeg(data: bytes) -> bool:
    """Whether a picture (ITU-T T.81) holds forbidden markers, or a hole where no run of zeros can be."""
    head, _, scan = data.partition(b"\xff\xda")
    if _NO_MARKER.search(scan):
        return True
    return not _codes_blocks_by_zeros(head) and _BLANK.search(scan) is not None


def _codes_blocks_by_zeros(head: bytes) -> bool:
    """Whether the first code of a table for details, which is all zeros, ends a block: flat ones are zeros then."""
    place = 0
    while (place := head.find(b"\xff\xc4", place)) >= 0:
        end, place = place + 2 + int.from_bytes(head[place + 2 : place + 4]), place + 4
        while place + 17 < min(end, len(head)):
            if head[place] >= 16 and not head[place + 17]:
                return True
            place += 17 + sum(head[place + 1 : place + 17])
    return False


def _units(data: bytes, width: int) -> Iterator[bytes]:
    """The units behind their lengths, without zeros at their ends; none of a packet that does not add up."""
    units, place = [], 0
    while place + width < len(data):
        start = place + width
        place = start + int.from_bytes(data[place:start])
        units.append(data[start:place].rstrip(b"\0"))
    return iter(units if place == len(data) else ())
