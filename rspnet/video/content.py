"""A hash of a video's content that stays the same when its packets are put into another container."""

import hashlib
from collections.abc import Iterable, Iterator

from av.video.stream import VideoStream

from rspnet.video.bitstream import PICTURE_OF_MPEG4
from rspnet.video.packets import Packet

_LENGTH_PLACE = {"h264": 4, "hevc": 21}  # byte of avcC or hvcC that holds the size of a unit's length


class Content:
    """Computes a hash of a stream's packets as they pass through.

    For H.264 and HEVC only the coded pictures are hashed, without the parameters, messages and delimiters that some
    containers keep elsewhere; for MPEG-4 what follows the headers, which avi stores before the first picture.

    Args:
        stream: the video stream.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context.name
        config, place = stream.codec_context.extradata or b"", _LENGTH_PLACE.get(self._codec)
        self._width = 0  # bytes of a unit's length; 0: the units are separated by start codes
        if place is not None and len(config) > place and config[0] == 1:
            self._width = (config[place] & 3) + 1
        self._hash = hashlib.sha256()
        self._is_complete = self._has_any = False

    def __call__(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets, and hash them on the way."""
        for packet in packets:
            if packet.size:
                self._has_any = True
                for part in self._parts(bytes(packet)):
                    self._hash.update(part)
            yield packet
        self._is_complete = True

    @property
    def digest(self) -> str | None:
        """The hash, 32 hexadecimal digits; None before all packets have passed, or if none has any bytes."""
        return self._hash.hexdigest()[:32] if self._is_complete and self._has_any else None

    def _parts(self, data: bytes) -> Iterable[bytes]:
        if self._codec == "mpeg4":
            return [data[max(data.find(PICTURE_OF_MPEG4), 0) :]]
        if self._codec not in _LENGTH_PLACE:
            return [data]
        units = _units(data, self._width) if self._width else data.split(b"\x00\x00\x01")[1:]
        return [unit.rstrip(b"\x00") for unit in units if unit and self._is_picture(unit[0])]

    def _is_picture(self, head: int) -> bool:
        return 1 <= head & 31 <= 5 if self._codec == "h264" else head >> 1 & 63 < 32


def _units(data: bytes, width: int) -> Iterator[bytes]:
    position = 0
    while position + width <= len(data):
        end = position + width + int.from_bytes(data[position : position + width])
        yield data[position + width : end]
        position = end
