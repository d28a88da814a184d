"""Parse packet headers: whether decoding can start at a packet, and in which order the pictures are shown.

Containers mark packets as key frames that are none, and give times from which the order cannot be told. For the codecs
below, the first bytes of a packet tell both. If they do not, or if anything is unusual, the answer is no, and only
decoding can find out.
"""

from abc import ABC, abstractmethod
from bisect import insort

PICTURE_OF_MPEG4 = b"\x00\x00\x01\xb6"
"""Start code of a picture (VOP, ISO/IEC 14496-2); two bits with its type follow: 0 for a key frame, 1 P, 2 B, 3 S."""

BLANK_OF_MPEG4 = 7
"""Largest size in bytes of a packet that is only a placeholder for a picture (libavcodec's bound)."""

START_CODE = b"\x00\x00\x01"
_HIDDEN = ()
"""The rank of a packet that shows no picture."""

Rank = tuple[int, ...]


class Headers(ABC):
    """Parses the packets of one stream, in their order. Each codec has a subclass.

    Args:
        config: the settings that the container stores once for all packets (extradata).

    Attributes:
        changes: whether settings changed within the stream; then no packet is a start, whatever `note` returned.
    """

    def __init__(self, config: bytes) -> None:
        self.config = config
        self.changes = False
        self._ranks: list[Rank | None] = []

    def note(self, data: bytes | memoryview) -> bool:
        """Parse the next packet, and return whether decoding that starts here gives the right frames.

        This concerns its own frame and those shown after it; frames shown before it may depend on earlier packets.
        """
        try:
            is_start, rank = self._read(data)
        except (IndexError, KeyError, ValueError):
            is_start, rank = False, None
        self._ranks.append(rank)
        return is_start

    def clear(self) -> list[int]:
        """Return the numbers of the packets whose headers say that their picture is shown."""
        return [number for number, rank in enumerate(self._ranks) if rank]

    def unclear(self) -> list[int]:
        """Return the numbers of the packets that do not say whether they show a picture; they may be damaged.

        Empty unless most packets say so.
        """
        found = [number for number, rank in enumerate(self._ranks) if rank is None]
        return found if 2 * len(found) < len(self._ranks) else []

    def shown(self, depth: int) -> list[int] | None:
        """Return the packets whose pictures are shown, in display order; None if the headers do not tell.

        Args:
            depth: number of pictures that the decoder holds back to put them in order; if it is too small for the
                stream, the decoder loses pictures, and the result is None.
        """
        if None in self._ranks or len(set(self._ranks) - {_HIDDEN}) < len(self._ranks) - self._ranks.count(_HIDDEN):
            return None
        ranks = {number: rank for number, rank in enumerate(self._ranks) if rank}
        shown = sorted(ranks, key=ranks.__getitem__)
        places = {number: place for place, number in enumerate(shown)}
        before: list[int] = []  # places of the pictures that come earlier in the file, in order
        for number in sorted(places):
            insort(before, places[number])
            if before[max(0, len(before) - depth - 1)] > places[number]:
                return None
        return shown

    @abstractmethod
    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        """Return whether decoding can start at a packet, and a rank that sorts pictures into display order.

        The rank is `_HIDDEN` for a packet that shows nothing, and None if it is not known.

        Raises:
            IndexError, KeyError, ValueError: the packet is malformed.
        """


class Bits:
    """Reads numbers from bytes, the highest bit first.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read a number of `count` bits.

        Raises:
            IndexError: fewer bits are left.
        """
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._bits >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """Read a number of variable length (ue(v); ITU-T H.264, 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """Read a signed number of variable length (se(v); ITU-T H.264, 9.1.1)."""
        number = self.golomb()
        return (number + 1) // 2 if number % 2 else -(number // 2)


class Mpeg12(Headers):
    """MPEG-1 and -2 (ISO/IEC 11172-2, 13818-2): B-pictures are shown at once, references when the next one comes."""

    _references = 0

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        before, *pictures = bytes(data).split(START_CODE + b"\x00")
        kinds = [picture[1] >> 3 & 7 for picture in pictures]
        is_start = kinds[0] == 1 and START_CODE + b"\xb3" in before
        # A picture coding extension gives the picture structure: 3 is a whole frame, others are fields.
        whole = all(part[2] & 3 == 3 for part in pictures[0].split(START_CODE + b"\xb5")[1:] if part[0] >> 4 == 8)
        return is_start, self._rank(kinds[0] == 3) if len(kinds) == 1 and kinds[0] <= 3 and whole else None

    def _rank(self, is_between: bool) -> Rank | None:
        """Return the rank of a picture: a B-picture is shown before the reference that precedes it in the file."""
        if is_between:
            return (self._references - 1, len(self._ranks)) if self._references > 1 else None
        self._references += 1
        return (self._references, -1)


class Mpeg4(Mpeg12):
    """MPEG-4 part 2 (ISO/IEC 14496-2; DivX, XviD): a start must carry the same settings as the first packet."""

    _settings: list[bytes] | None = None
    _clock_bits = 0

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        before, *pictures = bytes(data).split(PICTURE_OF_MPEG4)
        # All sections but the clock of a group of pictures. One may name the writer, from which decoders choose the
        # transform.
        settings = [part for part in before.split(START_CODE) if part[:1] != b"\xb3"]
        if self._settings is None:
            self._settings = settings
            layers = [part for part in [*self.config.split(START_CODE), *settings] if part and part[0] >> 4 == 2]
            self._clock_bits = self._bits_of_clock(Bits(layers[0][1:40]))
        bits = Bits(pictures[0][:40])
        kind = bits.take(2)
        is_start = kind == 0 and len(data) > BLANK_OF_MPEG4 and settings == self._settings
        while bits.take(1):
            pass
        bits.take(self._clock_bits + 2)
        is_coded = bits.take(1)  # otherwise it shows nothing
        return is_start, self._rank(kind == 2) if is_coded and len(pictures) == 1 else None

    @staticmethod
    def _bits_of_clock(bits: Bits) -> int:
        """Return how many bits the time of a picture has, from the settings of a layer (6.2.3)."""
        bits.take(9)
        bits.take(7 if bits.take(1) else 0)
        bits.take(16 if bits.take(4) == 15 else 0)  # pixel aspect ratio
        if bits.take(1):
            bits.take(3)
            bits.take(79 if bits.take(1) else 0)  # buffer sizes
        if bits.take(2):
            raise ValueError  # its shape is not a rectangle
        bits.take(1)
        return max(1, (bits.take(16) - 1).bit_length())


class Jpeg(Headers):
    """JPEG (ITU-T T.81): a picture that carries its own tables does not depend on others."""

    _has_codes: bool | None = None

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        head = bytes(data).split(b"\xff\xda", 1)[0]
        if head[:2] != b"\xff\xd8":
            raise ValueError
        has_codes = b"\xff\xc4" in head  # else it uses the default Huffman tables, or those of the picture before
        if self._has_codes is None:
            self._has_codes = has_codes
        return b"\xff\xdb" in head and has_codes == self._has_codes, (len(self._ranks),)


class Vp8(Headers):
    """VP8 (RFC 6386, 9.1)."""

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        is_start = not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"
        return is_start, (len(self._ranks),) if data[0] & 0x10 else _HIDDEN


class Vp9(Headers):
    """VP9 (bitstream specification, 6.2 and annex B): a packet may hold several frames, one of which is shown."""

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        frames = [self._frame(byte) for byte in self._first_bytes(data)]
        shown = sum(is_shown for _, is_shown in frames)
        return frames[0][0], {0: _HIDDEN, 1: (len(self._ranks),)}.get(shown)

    @staticmethod
    def _first_bytes(data: bytes | memoryview) -> list[int]:
        last = data[-1]
        count, width = (last & 7) + 1, (last >> 3 & 3) + 1
        index = 2 + count * width
        if last & 0xE0 != 0xC0 or data[-index] != last:
            return [data[0]]
        found, place = [], 0
        for number in range(count):
            start = len(data) - index + 1 + number * width
            found.append(data[place])
            place += int.from_bytes(data[start : start + width], "little")
        return found

    @staticmethod
    def _frame(byte: int) -> tuple[bool, bool]:
        """Return whether a frame is a key frame, and whether it is shown or shows an earlier one."""
        if byte >> 6 != 2:
            raise ValueError
        bits = byte << 1 if byte & 0x30 == 0x30 else byte  # profile 3 has one bit more
        is_repeat = bool(bits & 8)
        return not bits & 12, is_repeat or bool(bits & 2)


class Av1(Headers):
    """AV1 (bitstream specification, 5.3 to 5.9): a packet consists of units (OBU), with one shown frame."""

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        place, kinds, frames = 0, [], []
        while place < len(data):
            head, place = data[place], place + 1 + (data[place] >> 2 & 1)
            size, place = self._size(data, place) if head & 2 else (len(data) - place, place)
            kind = head >> 3 & 15
            kinds.append(kind)
            if kind == 1 and data[place] & 8:
                raise ValueError  # a still picture, whose headers differ
            if kind in (3, 6):
                frames.append(data[place])
            place += size
        # Bits of a frame header: show_existing_frame (1), frame_type (2; 0 is key), show_frame (1).
        shown = sum(byte & 0x80 > 0 or byte & 0x10 > 0 for byte in frames)
        is_start = 1 in kinds and frames[0] >> 4 == 1
        return is_start, {0: _HIDDEN, 1: (len(self._ranks),)}.get(shown)

    @staticmethod
    def _size(data: bytes | memoryview, place: int) -> tuple[int, int]:
        """Read a number of variable length (leb128); return it and where it ends."""
        number = shift = 0
        while True:
            byte, place = data[place], place + 1
            number |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return number, place
