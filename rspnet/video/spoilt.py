"""Recognise packets with bytes that no encoder writes: the codec forbids them, but decoders take them for pictures."""

import re
from collections.abc import Callable, Iterator

_FORBIDDEN = re.compile(rb"\x00\x00(?:[\x00-\x02]|\x03[\x04-\xff])")
"""Forbidden bytes in a NAL unit of H.264 and HEVC, where a 3 is inserted between two zeros and a byte of 0 to 3."""

_FORBIDDEN_BETWEEN_CODES = re.compile(rb"\x00\x00(?:\x02|\x00+[\x02-\xff]|\x03[\x04-\xff])")
"""The same for units that are separated by start codes, which zeros may precede."""

_BLANK = re.compile(rb"\x00{64,}[^\x00]")
"""A run of zeros with something behind it, which arithmetic coding does not produce."""

_NO_MARKER = re.compile(rb"\xff[\x01-\xbf\xc3\xc5-\xc7\xcb-\xcf\xf0-\xfd]")
"""Markers of JPEG that cannot occur behind the head of a picture."""

_HAS_LENGTHS = {"h264": 4, "hevc": 21}
"""Codec -> place of the byte in its settings (avcC, hvcC) that holds the size of a unit's length."""


def spoilt_of(codec: str, config: bytes) -> Callable[[bytes], bool]:
    """Return a function that tells whether a packet is spoilt; always False for codecs where it cannot be seen.

    Args:
        codec: libavcodec's name of the codec.
        config: the settings that the container stores once for all packets (extradata).
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
    """Whether a JPEG (ITU-T T.81) holds forbidden markers, or a run of zeros that its Huffman codes cannot produce."""
    head, _, scan = data.partition(b"\xff\xda")
    if _NO_MARKER.search(scan):
        return True
    return not _codes_blocks_by_zeros(head) and _BLANK.search(scan) is not None


def _codes_blocks_by_zeros(head: bytes) -> bool:
    """Whether the first code of an AC table, all zeros, is the end of a block: flat blocks then give runs of zeros."""
    place = 0
    while (place := head.find(b"\xff\xc4", place)) >= 0:
        end, place = place + 2 + int.from_bytes(head[place + 2 : place + 4]), place + 4
        while place + 17 < min(end, len(head)):
            if head[place] >= 16 and not head[place + 17]:
                return True
            place += 17 + sum(head[place + 1 : place + 17])
    return False


def _units(data: bytes, width: int) -> Iterator[bytes]:
    """Yield the units of a packet without zeros at their ends; none if their lengths do not add up."""
    units, place = [], 0
    while place + width < len(data):
        start = place + width
        place = start + int.from_bytes(data[place:start])
        units.append(data[start:place].rstrip(b"\0"))
    return iter(units if place == len(data) else ())
