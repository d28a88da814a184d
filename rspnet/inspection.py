"""What a video file holds, and whether it can be used: the facts of an index row."""

import math
import os
from typing import Any, BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

from rspnet.errors import ConfigError, VideoError
from rspnet.orientation import orientation
from rspnet.packets import Clock, Damage, NoVideoError, TimeLimitError, decode_all, open_video
from rspnet.plan import Survey
from rspnet.times import Pace, pace_in_header

FACTS = ("status", "reason", "num_frames", "fps", "width", "height", "duration", "codec", "bytes", "plan")
"""The keys of what `inspect` returns."""


def inspect(
    path: str | os.PathLike, depth: str = "probe", min_frames: int = 1, time_limit: float = math.inf
) -> dict[str, Any]:
    """Say what a file holds and whether it can be used. A bad file is a result, never an exception.

    Args:
        path: the file.
        depth: "probe" reads the header and decodes the first frame; "decode" decodes all of them.
        min_frames: a video with fewer frames is "short".
        time_limit: seconds, looked at between packets.

    Returns:
        `status`: "ok", "empty" (no bytes), "broken" (cannot be opened, or nothing decodes), "no_video" (no moving
        pictures), "truncated" (the file ends before its container says), "corrupt" (packets that the decoder refuses
        or frames that it flags), "short" or "timeout"; `reason`: one sentence, None where ok; and, None where not
        known, `num_frames` (as decoded; at depth "probe" only where the header can be trusted), `fps` (average, by the
        frames' own times; at depth "probe" as the header says, where that can be), `width` and `height` (pixels, as
        shown), `duration` (seconds, the same way), `codec`, `bytes`, `plan` (at depth "decode", of a file that is ok:
        what makes reading it fast, see plan.py).

    Raises:
        ConfigError: no such depth.
    """
    if depth not in ("probe", "decode"):
        raise ConfigError(f"depth: {depth!r}; it is probe or decode")
    path = os.fspath(path)
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    try:
        facts["bytes"] = os.path.getsize(path)
        if not os.path.isfile(path):
            verdict = "broken", "not a regular file"
        elif not facts["bytes"]:
            verdict = "empty", "the file has no bytes"
        else:
            container, stream = open_video(path)
            with container:
                verdict = _look(container, stream, facts, depth, min_frames, Clock(path, time_limit))
    except OSError as error:
        verdict = "broken", f"cannot be read ({error.strerror})"
    except VideoError as error:
        kinds = {NoVideoError: "no_video", TimeLimitError: "timeout"}
        verdict = kinds.get(type(error), "broken"), str(error).removeprefix(f"{path}: ").split(";")[0]
    return facts | dict(zip(("status", "reason"), verdict))


def _look(
    container: InputContainer, stream: VideoStream, facts: dict[str, Any], depth: str, min_frames: int, clock: Clock
) -> tuple[str, str | None]:
    """Fill in the facts of an open file; returns its status and the reason."""
    facts["codec"] = stream.codec_context.codec.canonical_name
    trusted = "mp4" in container.format.name and stream.frames
    facts.update(_paced(pace_in_header(stream, container.format.name), container))
    damage = Damage()
    survey = Survey(container, stream)
    frames = decode_all(survey(clock.watch(container.demux(stream))), stream, damage)
    first = next(frames, None)
    if first is None:
        return "broken", f"none of its {damage.packets} packets decodes"
    facts["height"], facts["width"] = orientation(first).size(first.height, first.width)
    if depth == "decode":
        shown = [first.pts, *(frame.pts for frame in frames)]
        count = facts["num_frames"] = len(shown)
        facts.update(_paced(survey.timeline.pace(shown), container))
        status, reason = judge(clock.path, container, stream, count, damage)
        if status == "ok":
            facts["plan"] = survey.plan(shown, first=first).to_text()
    elif missing := _missing_bytes(clock.path):
        status, reason = "truncated", f"the file ends {missing} bytes before its container says"
    else:
        status, reason = "ok", None
        if trusted:  # the table of all packets comes with the header, and says what an edit list hides
            facts["num_frames"] = sum(not entry.is_discard for entry in stream.index_entries)
    if status == "ok" and facts["num_frames"] is not None and facts["num_frames"] < min_frames:
        return "short", f"{facts['num_frames']} frames, fewer than {min_frames}"
    return status, reason


def _paced(pace: Pace, container: InputContainer) -> dict[str, float | None]:
    """Frames per second and seconds, None where not known."""
    seconds = pace.seconds or (container.duration or 0) / 1e6
    return {"fps": float(pace.rate) or None, "duration": seconds or None}


def judge(
    path: str, container: InputContainer, stream: VideoStream, count: int, damage: Damage
) -> tuple[str, str | None]:
    """Status ("ok", "truncated" or "corrupt") and reason for a file that was decoded to its end.

    Args:
        path: the file.
        container: the same, open.
        stream: its video stream.
        count: frames that came out.
        damage: what was counted on the way.
    """
    promised, missing = stream.frames, _missing_bytes(path)
    # Not every difference is damage: avi headers count empty packets, and edit lists hide frames. But the table of an
    # mp4 lists the very packets that must come.
    lost = len(stream.index_entries) - damage.packets if "mp4" in container.format.name else 0
    if lost > 0 or (missing and (not promised or count < promised)):
        ending = (
            f"the file ends {missing} bytes before its container says" if missing else f"{lost} packets are missing"
        )
        return "truncated", f"{ending}: {count}{f' of {promised}' if promised else ''} frames decode"
    if damage.refused or damage.flagged:
        packets = f"{damage.refused} of {damage.packets} packets do not decode"
        return "corrupt", f"{packets}, {damage.flagged} of {count} frames are flagged as damaged"
    return "ok", None


def _missing_bytes(path: str) -> int:
    """How many bytes short of what its container declares a file is; 0 where it declares nothing."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == b"RIFF":
            # Some writers count the 8 bytes of the header in, or the padding; a cut takes more than that.
            missing = int.from_bytes(head[4:8], "little") + 8 - size
            return missing if missing > 64 else 0
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return max(0, _end_of_segment(file) - size)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
            return max(0, _end_of_boxes(file, size) - size)
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


def _end_of_segment(file: BinaryIO) -> int:
    """Where the segment of a Matroska file ends; 0 where its size is left open (RFC 8794, 6)."""

    def number(keep_marker: bool) -> tuple[int, bool]:
        first = (file.read(1) or b"\x80")[0]
        length = 9 - first.bit_length()
        rest = int.from_bytes(file.read(length - 1))
        value = (first if keep_marker else first & (0xFF >> length)) << 8 * (length - 1) | rest
        return value, not keep_marker and value == (1 << 7 * length) - 1

    file.seek(0)
    for _ in range(2):  # the EBML header, then the segment
        number(keep_marker=True)
        length, is_open = number(keep_marker=False)
        if is_open:
            return 0
        file.seek(length, os.SEEK_CUR)
    return file.tell()
