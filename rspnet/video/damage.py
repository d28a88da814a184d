"""What is wrong with a file that can be opened: cut, damaged, encrypted, or on a disk that cannot be read."""

import os
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

from rspnet.console import some
from rspnet.shortage import blame_machine
from rspnet.video.decoding import Damage
from rspnet.video.matroska import broken_at, end_of_segment, wrong_checksum

_OPEN_SIZES = (0, *range(0x7FFFFFF0, 0x80000000), *range(0xFFFFFFF0, 0x100000000))
"""Sizes in a RIFF header that only stand for one: a program that writes to a pipe cannot come back to fill it in."""

_NONSENSE = 2**40  # bytes; a size that is longer by that comes from damage


def judge(
    path: str, container: InputContainer, stream: VideoStream, *, count: int, damage: Damage
) -> tuple[str, str | None]:
    """Status ("ok", "encrypted", "broken", "truncated" or "corrupt") and reason for a file that was decoded to its end.

    Args:
        path: the file.
        container: the same, open.
        stream: its video stream.
        count: frames that came out.
        damage: what was counted on the way.
    """
    if is_encrypted(stream, damage):
        return "encrypted", "its pictures are encrypted, and the key is not in the file"
    if failure := reading_fails(path):
        return "broken", f"the disk cannot read all of it ({failure}); {_decoded(count)}"
    if not count:
        return "broken", f"none of its {damage.packets} packets decodes"
    promised, missing = stream.frames, missing_bytes(path)
    # Not every difference is damage: avi headers count empty packets, and edit lists hide frames. But the table of an
    # mp4 lists the very packets that must come; those without bytes, of pictures that stay, are not counted on the way.
    is_mp4 = "mp4" in container.format.name
    lost = sum(entry.size > 0 for entry in stream.index_entries) - damage.packets if is_mp4 else 0
    if lost > 0 or (missing and (not promised or count < promised)):
        ending = (
            f"the file ends {some(missing, 'byte')} before its container says"
            if missing
            else some(lost, "packet is missing", "packets are missing")
        )
        return "truncated", f"{ending}: {_decoded(count, promised)}"
    if damage.refused or damage.flagged:
        packets = f"{damage.refused} of {damage.packets} packets do not decode"
        return "corrupt", f"{packets}, {damage.flagged} of {count} frames are flagged as damaged"
    if damage.spoilt:
        return "corrupt", f"{damage.spoilt} of {damage.packets} packets hold what no encoder writes; {_decoded(count)}"
    if damage.hidden_loss:
        return "corrupt", f"{damage.hidden_loss} of {damage.packets} packets give no frame; {_decoded(count)}"
    if (place := wrong_checksum(path)) is not None:
        return "corrupt", f"the checksum at byte {place} is that of other bytes; {_decoded(count)}"
    if place := broken_at(path):
        return "corrupt", f"its structure is broken at byte {place}; {_decoded(count)}, and some may be missing"
    return "ok", None


def _decoded(count: int, promised: int = 0) -> str:
    """``1 frame decodes``, ``7 of 40 frames decode``."""
    return f"{count} of {promised} frames decode" if promised else some(count, "frame decodes", "frames decode")


def is_encrypted(stream: VideoStream, damage: Damage) -> bool:
    """Whether a stream says of itself that it is (Common Encryption in mp4, Matroska's own, FairPlay)."""
    tag = stream.codec_context.codec_tag
    return damage.encrypted > 0 or tag in ("encv", "drmi") or "enc_key_id" in stream.metadata


def reading_fails(path: str) -> str | None:
    """What the disk says, where it cannot read a file: libavformat may take it for the end."""
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(2**20):
                pass
    except OSError as error:
        blame_machine(path, error)
        return error.strerror
    return None


def missing_bytes(path: str) -> int:
    """How many bytes short of what its container declares a file is; 0 where it declares nothing, or nonsense."""
    size = os.path.getsize(path)
    missing = _declared_end(path, size) - size
    return missing if 0 < missing < _NONSENSE else 0


def _declared_end(path: str, size: int) -> int:
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            declared = int.from_bytes(head[4:8], "little")
            # Some writers count the 8 bytes of the header in, or the padding; a cut takes more than that.
            return 0 if declared in _OPEN_SIZES or declared + 8 - size <= 64 else declared + 8
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return end_of_segment(file)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
            return _end_of_boxes(file, size)
    return 0


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the last top-level box of an mp4 ends (ISO/IEC 14496-12, 4.2)."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length < 8 or not head[4:8].isalnum():
            return 0  # the last box may go on to the end, and bytes after it are nobody's
        end += length
    return end
