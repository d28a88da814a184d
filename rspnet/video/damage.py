"""Find out what is wrong with a file that can be opened: truncated, damaged, encrypted, or on a disk that fails."""

import os
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

from rspnet.console import some
from rspnet.shortage import blame_machine
from rspnet.video.decoding import Damage
from rspnet.video.matroska import broken_at, end_of_segment, wrong_checksum

_OPEN_SIZES = (0, *range(0x7FFFFFF0, 0x80000000), *range(0xFFFFFFF0, 0x100000000))
"""Placeholders for the size in a RIFF header: a program that writes to a pipe cannot go back to fill it in."""

_NONSENSE = 2**40  # bytes; a declared size that exceeds the file's by so much is itself damaged


def judge(
    path: str, container: InputContainer, stream: VideoStream, *, count: int, damage: Damage
) -> tuple[str, str | None]:
    """Return the status and the reason, one sentence or None, of a file that was decoded to its end.

    The status is "ok", "encrypted", "broken", "truncated" or "corrupt".

    Args:
        path: the file.
        container: the same, open.
        stream: its video stream.
        count: number of decoded frames.
        damage: what went wrong in decoding.
    """
    if is_encrypted(stream, damage):
        return "encrypted", "its pictures are encrypted, and the key is not in the file"
    if failure := reading_fails(path):
        return "broken", f"the disk cannot read all of it ({failure}); {_decoded(count)}"
    if not count:
        return "broken", f"none of its {damage.packets} packets decodes"
    promised, missing = stream.frames, missing_bytes(path)
    # Not every difference is damage: avi headers count empty packets, and edit lists hide frames. But the table of an
    # mp4 lists exactly the packets that must come. Those without bytes repeat a picture, and `damage` does not count
    # them.
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
        return "corrupt", f"the checksum at byte {place} does not match its data; {_decoded(count)}"
    if place := broken_at(path):
        return "corrupt", f"its structure is broken at byte {place}; {_decoded(count)}, and some may be missing"
    return "ok", None


def _decoded(count: int, promised: int = 0) -> str:
    """``1 frame decodes``, ``7 of 40 frames decode``."""
    return f"{count} of {promised} frames decode" if promised else some(count, "frame decodes", "frames decode")


def is_encrypted(stream: VideoStream, damage: Damage) -> bool:
    """Whether a stream is marked as encrypted (Common Encryption in mp4, Matroska's own, FairPlay)."""
    tag = stream.codec_context.codec_tag
    return damage.encrypted > 0 or tag in ("encv", "drmi") or "enc_key_id" in stream.metadata


def reading_fails(path: str) -> str | None:
    """Return the system's error if a file cannot be read to its end, else None; libavformat may take it for the end."""
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(2**20):
                pass
    except OSError as error:
        blame_machine(path, error)
        return error.strerror
    return None


def missing_bytes(path: str) -> int:
    """Return how many bytes a file lacks of what its container declares; 0 if it declares nothing, or nonsense."""
    size = os.path.getsize(path)
    missing = _declared_end(path, size) - size
    return missing if 0 < missing < _NONSENSE else 0


def _declared_end(path: str, size: int) -> int:
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            declared = int.from_bytes(head[4:8], "little")
            # Some writers include the 8 bytes of the header, or padding; a truncated file lacks more than that.
            return 0 if declared in _OPEN_SIZES or declared + 8 - size <= 64 else declared + 8
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return end_of_segment(file)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
            return _end_of_boxes(file, size)
    return 0


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Return where the last top-level box of an mp4 ends (ISO/IEC 14496-12, 4.2); 0 if the boxes do not tell."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length < 8 or not head[4:8].isalnum():
            return 0  # a last box without a length goes on to the end; bytes that are no box may follow the last one
        end += length
    return end
