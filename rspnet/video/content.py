"""What a video holds, as a hash that stays the same when its packets are put into another container."""

import hashlib
from collections.abc import Iterable, Iterator

from av.video.stream import VideoStream

from rspnet.video.bitstream import PICTURE_OF_MPEG4
from rspnet.video.packets import Packet

_LENGTH_PLACE = {"h264": 4, "hevc": 21}  # in avcC and hvcC: the byte that says how long a unit's length is


class Content:
    """Takes the hash of a stream's packets as they go by.

    Of H.264 and HEVC the coded pictures count, without the parameters, messages and marks that containers keep
    elsewhere; of MPEG-4 what follows the headers, which avi has before the first picture.

    Args:
        stream: the video stream.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context.name
        config, place = stream.codec_context.extradata or b"", _LENGTH_PLACE.get(self._codec)
        self._width = 0  # bytes of a unit's length; 0: start codes part the units
        if place is not None and len(config) > place and config[0] == 1:
            self._width = (config[place] & 3) + 1
        self._hash = hashlib.sha256()
        self._is_complete = self._has_any = False

    def __call__(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets."""
        for packet in packets:
            if packet.size:
                self._has_any = True
                for part in self._parts(bytes(packet)):
                    self._hash.update(part)
            yield packet
        self._is_complete = True

    @property
    def digest(self) -> str | None:
        """32 hexadecimal digits; None until all packets went by."""
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
