"""Decode a whole stream, and count what goes wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.shortage import blame_machine
from rspnet.video.packets import Packet
from rspnet.video.spoilt import spoilt_of


@dataclass
class Damage:
    """Counts of what went wrong in decoding.

    Attributes:
        packets: all packets given to the decoder.
        refused: packets that the decoder refused, or that could not be read.
        blank: packets that it refused because they hold parameters or messages but no picture, which is no damage.
        encrypted: packets that are marked as encrypted.
        flagged: frames that were decoded but flagged as corrupt.
        spoilt: packets with bytes that no encoder writes, see spoilt.py.
        hidden_loss: packets that gave no frame and no error, though each packet of their codec should give a frame.
    """

    packets: int = 0
    refused: int = 0
    blank: int = 0
    encrypted: int = 0
    flagged: int = 0
    spoilt: int = 0
    hidden_loss: int = 0


LENIENT = ("hevc", "mjpeg")
"""Codecs whose decoders ignore damage unless they are told to be strict."""


def be_strict(stream: VideoStream) -> None:
    """Let the decoder report damage that it ignores by default; decoders that are not `LENIENT` do so anyway."""
    if stream.codec_context.name in LENIENT:
        stream.codec_context.options |= {"err_detect": "crccheck+explode"}


def decode_all(packets: Iterator[Packet], stream: VideoStream, damage: Damage | None = None) -> Iterator[VideoFrame]:
    """Decode the packets; what this yields, in this order, are by definition the frames of the file.

    Bad packets are skipped.

    Args:
        packets: all packets of the stream, with an empty one at the end that flushes the decoder.
        stream: their stream.
        damage: its counts are increased.

    Raises:
        MachineError: the machine lacks files or memory.
    """
    counts = damage is not None
    damage = damage or Damage()
    # Read now, because av 19 crashes if they are read after the decoder could not be opened.
    kind, config = stream.codec_context.name, stream.codec_context.extradata or b""
    is_spoilt = spoilt_of(stream.codec_context.codec.canonical_name if counts else "", config)
    while True:
        try:
            packet: Packet | None = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:  # reading cannot go on, but the frames that the decoder still holds are good
            blame_machine(stream.container.name.removeprefix("file:"), error)
            damage.refused += 1
            packet = None
        if packet and not packet.size and packet.pts is not None:
            continue  # an empty packet repeats a picture; the decoder would take it for the end
        if packet and packet.size:
            damage.packets += 1
            damage.encrypted += packet.has_sidedata("encryption_info")
            damage.spoilt += is_spoilt(bytes(packet))
        try:
            frames = stream.codec_context.decode(packet)
        except (av.FFmpegError, ValueError) as error:  # ValueError: the decoder could not be opened
            blame_machine(stream.container.name.removeprefix("file:"), error)
            is_blank = packet is not None and not _holds_picture(bytes(packet), kind, config)
            damage.blank += is_blank
            damage.refused += not is_blank
            frames = []
        for frame in frames:
            damage.flagged += frame.is_corrupt
            yield frame
        if packet is None:
            return


def _holds_picture(data: bytes, kind: str, config: bytes) -> bool:
    """Whether a packet holds a coded picture; True also if the lengths in it do not add up."""
    place = {"h264": 4, "hevc": 21}.get(kind)
    if place is None:
        return True
    if len(config) > place and config[0] == 1:  # avcC, hvcC: each unit follows its length
        width, position, heads = (config[place] & 3) + 1, 0, []
        while position + width < len(data):
            heads.append(data[position + width])
            position += width + int.from_bytes(data[position : position + width])
        if position != len(data):
            return True
    else:
        heads = [unit[0] for unit in data.split(b"\x00\x00\x01")[1:] if unit]
    types = [head & 31 if kind == "h264" else head >> 1 & 63 for head in heads]
    return not types or any(1 <= number <= 5 if kind == "h264" else number < 32 for number in types)
