"""Parse packet headers of H.264 and HEVC; see bitstream.py."""

import re
from abc import abstractmethod
from collections.abc import Iterator

from rspnet.video.bitstream import START_CODE, Bits, Headers, Rank


class Units(Headers):
    """The common part of H.264 and HEVC: a packet consists of NAL units, which follow their lengths or start codes."""

    length_place: int  # place of the byte in `config` that holds the size of a unit's length
    lists: frozenset[int]  # types of units that are parameter sets

    def __init__(self, config: bytes) -> None:
        super().__init__(config)
        has_lengths = len(config) > self.length_place and config[0] == 1
        self._length = (config[self.length_place] & 3) + 1 if has_lengths else 0
        self._sets: dict[int, set[bytes]] = {kind: set() for kind in self.lists}
        self._is_configured = False
        for unit in self._configured(config) if has_lengths else config.split(START_CODE)[1:]:
            self._learn(unit)
        self._is_configured = all(self._sets.values())
        # How often a key frame has restarted the order numbers, and the order number of the last reference picture.
        self._epoch = self._last = 0

    def units(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """Yield the units of a packet, without lengths or start codes.

        Raises:
            ValueError: the lengths do not add up.
        """
        if not self._length:
            yield from bytes(data).split(START_CODE)[1:]
            return
        place = 0
        while place < len(data):
            start = place + self._length
            place = start + int.from_bytes(data[place:start])
            if place > len(data) or start == place:
                raise ValueError
            yield data[start:place]

    @abstractmethod
    def kind(self, unit: bytes | memoryview) -> int:
        """Return the type of a unit."""

    @abstractmethod
    def _configured(self, config: bytes) -> Iterator[bytes]:
        """Yield the units in `config`."""

    def _learn(self, unit: bytes | memoryview) -> None:
        """Remember a parameter set; a new one after the start of the stream sets `changes`."""
        known, content = self._sets.get(self.kind(unit)), bytes(unit).rstrip(b"\x00")
        if known is not None and content not in known:
            self.changes |= self._is_configured or bool(self._ranks)
            known.add(content)

    def _only(self, kind: int) -> bytes:
        """Return the only parameter set of a type.

        Raises:
            ValueError: there are several, or none.
        """
        (unit,) = self._sets[kind]
        return unit

    def _unwrapped(self, low: int, bits: int) -> int:
        """Return a picture's order number from its lowest bits: the value nearest to that of the last reference."""
        size = 1 << bits
        return self._last + (low - self._last + size // 2) % size - size // 2


class H264(Units):
    """ITU-T H.264: 7.3.2 parameter sets, 7.3.3 slices, 8.2.1 order, D.1.8 recovery points."""

    length_place = 4
    lists = frozenset((7, 8))
    _frame = 0  # frame_num of the last reference
    _writer: re.Match[bytes] | None = None

    def kind(self, unit: bytes | memoryview) -> int:
        """Return the type of a unit."""
        return unit[0] & 31

    def _configured(self, config: bytes) -> Iterator[bytes]:
        place, count = 6, config[5] & 31
        for _ in range(2):
            for _ in range(count):
                size = int.from_bytes(config[place : place + 2])
                yield config[place + 2 : place + 2 + size]
                place += 2 + size
            count, place = config[place : place + 1][0] if place < len(config) else 0, place + 1

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        heads, kinds, recovers = [], set(), False
        for unit in self.units(data):
            kind = self.kind(unit)
            kinds.add(kind)
            if kind in self.lists:
                self._learn(unit)
            elif kind == 6:
                recovers |= _recovers(bytes(unit[1:]))
                self._writer = self._writer or re.search(rb"x264 - core (\d+)", unit)
            elif kind in (1, 5) and unit[1] & 0x80:  # a slice that begins with the first macroblock
                heads.append(bytes(unit[:40]))
        if kinds & {2, 3, 4} or not heads:
            raise ValueError
        # Old versions of x264 have bugs that decoders work around, if they see the version in the first packet.
        newest = 150 if any(unit[1] == 244 for unit in self._sets[7]) else 33
        usual = not self._writer or int(self._writer[1]) > newest
        begins = heads[0][0] & 31 == 5 or (recovers and _slice_type(heads[0]) == 2)
        is_start = usual and begins and (self._is_configured or self.lists <= kinds)
        try:
            return is_start, self._rank(heads)
        except (IndexError, ValueError):
            return is_start, None

    def _rank(self, heads: list[bytes]) -> Rank | None:
        (head,) = heads  # fails on two, which are the fields of a picture
        frame_bits, kind_of_order, order_bits, is_progressive = _h264_settings(self._only(7))
        bits = _bits(head[1:])
        bits.golomb(), bits.golomb(), bits.golomb()  # first macroblock, type, parameter set
        frame = bits.take(frame_bits)
        if not is_progressive and bits.take(1):
            return None  # a field
        if head[0] & 31 == 5:
            bits.golomb()
            self._epoch, self._last, self._frame = self._epoch + 1, 0, 0
        if (frame - self._frame) % (1 << frame_bits) > 1:
            return None  # a reference is missing
        order = len(self._ranks) if kind_of_order == 2 else self._unwrapped(bits.take(order_bits), order_bits)
        if head[0] & 0x60:  # a reference
            self._last, self._frame = order, frame
        return self._epoch, order


def _slice_type(head: bytes) -> int:
    bits = _bits(head[1:])
    bits.golomb()
    return bits.golomb() % 5


def _recovers(messages: bytes) -> bool:
    """Whether messages (SEI) hold a recovery point that promises exact pictures from here on, without a delay."""
    place = 0
    while place + 2 < len(messages):
        numbers = []
        for _ in range(2):  # type and size; a byte of 255 is continued by the next one
            numbers.append(0)
            while messages[place] == 255:
                numbers[-1], place = numbers[-1] + 255, place + 1
            numbers[-1], place = numbers[-1] + messages[place], place + 1
        if numbers[0] == 6:
            return messages[place] & 0xE0 == 0xC0  # recovery_frame_cnt 0, exact_match 1, broken_link 0
        place += numbers[1]
    return False


def _h264_settings(unit: bytes) -> tuple[int, int, int, bool]:
    """Return the bits of a frame number, the type of order numbers, their bits, and whether there are no fields."""
    profile, bits = unit[1], _bits(unit[4:])
    bits.golomb()
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        colour = bits.golomb()
        if colour == 3 and bits.take(1):
            raise ValueError  # the colour planes are coded as separate pictures
        bits.golomb(), bits.golomb(), bits.take(1)
        for size in [16] * 6 + [64] * (6 if colour == 3 else 2) if bits.take(1) else []:
            _skip_scaling(bits, size)
    frame_bits = bits.golomb() + 4
    kind_of_order = bits.golomb()
    order_bits = bits.golomb() + 4 if kind_of_order == 0 else 0
    if kind_of_order == 1:
        raise ValueError
    bits.golomb()
    if bits.take(1):
        raise ValueError  # frames may be missing on purpose
    bits.golomb(), bits.golomb()
    return frame_bits, kind_of_order, order_bits, bool(bits.take(1))


def _skip_scaling(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size if bits.take(1) else 0):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class Hevc(Units):
    """ITU-T H.265: 7.3.2 parameter sets, 7.3.6 slices, 8.3.1 order."""

    length_place = 21
    lists = frozenset((32, 33, 34))
    _loses = False  # whether pictures that depend on packets before the last key frame are dropped

    def kind(self, unit: bytes | memoryview) -> int:
        """Return the type of a unit."""
        return unit[0] >> 1 & 63

    def _configured(self, config: bytes) -> Iterator[bytes]:
        place = 23
        for _ in range(config[22]):
            count, place = int.from_bytes(config[place + 1 : place + 3]), place + 3
            for _ in range(count):
                size = int.from_bytes(config[place : place + 2])
                yield config[place + 2 : place + 2 + size]
                place += 2 + size

    def _read(self, data: bytes | memoryview) -> tuple[bool, Rank | None]:
        heads, kinds = [], set()
        for unit in self.units(data):
            kind = self.kind(unit)
            if (unit[0] & 1) << 5 | unit[1] >> 3:
                continue  # a unit of another layer
            kinds.add(kind)
            if kind in self.lists:
                self._learn(unit)
            elif kind < 32 and unit[2] & 0x80:  # the first slice of a picture
                heads.append(bytes(unit[:40]))
        if not heads:
            raise ValueError
        is_start = 16 <= heads[0][0] >> 1 & 63 <= 21 and (self._is_configured or self.lists <= kinds)
        try:
            return is_start, None if kinds & {36, 37} else self._rank(heads)
        except (IndexError, ValueError):
            return is_start, None

    def _rank(self, heads: list[bytes]) -> Rank | None:
        (head,) = heads
        kind, is_base = self.kind(head), head[1] & 7 == 1
        order_bits, has_planes = _hevc_settings(self._only(33))
        bits = _bits(self._only(34)[2:])
        bits.golomb(), bits.golomb(), bits.take(1)
        has_output_flag, extra = bits.take(1), bits.take(3)
        bits = _bits(head[2:])
        bits.take(1)
        if 16 <= kind <= 23:
            bits.take(1)
        bits.golomb(), bits.take(extra), bits.golomb()
        if has_output_flag and not bits.take(1):
            return None
        if has_planes:
            bits.take(2)
        if kind in (8, 9) and self._loses:
            return None
        if 16 <= kind <= 21:
            self._loses = kind <= 18 or not self._ranks
        if 16 <= kind <= 20 or not self._ranks:
            self._epoch, self._last = self._epoch + 1, 0
        order = 0 if kind in (19, 20) else self._unwrapped(bits.take(order_bits), order_bits)
        if is_base and not (6 <= kind <= 9 or (kind < 16 and kind % 2 == 0)):
            self._last = order
        return self._epoch, order


def _hevc_settings(unit: bytes) -> tuple[int, bool]:
    """Return the bits of an order number, and whether the colour planes are coded as separate pictures."""
    bits = _bits(unit[2:])
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)  # profile, tier, level
    below = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in below:
        bits.take(88 * has_profile + 8 * has_level)
    bits.golomb()
    has_planes = bits.golomb() == 3 and bool(bits.take(1))
    bits.golomb(), bits.golomb()
    for _ in range(4 if bits.take(1) else 0):
        bits.golomb()
    bits.golomb(), bits.golomb()
    return bits.golomb() + 4, has_planes


def _bits(unit: bytes) -> Bits:
    """Return the bits of a unit, without its emulation prevention bytes."""
    return Bits(unit.replace(b"\x00\x00\x03", b"\x00\x00"))
