"""Inspect a video file: what it holds, and whether it can be used. These are the facts of an index row."""

import contextlib
import itertools
import math
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rspnet.console import some
from rspnet.errors import ConfigError, MachineError, VideoError
from rspnet.shortage import blame_machine
from rspnet.video.content import Content
from rspnet.video.damage import is_encrypted, judge, missing_bytes, reading_fails
from rspnet.video.decoding import Damage, be_strict, decode_all
from rspnet.video.limits import MAX_PACKETS, MAX_PIXELS, Limits
from rspnet.video.opening import Clock, NoVideoError, TimeLimitError, open_video
from rspnet.video.orientation import orientation
from rspnet.video.packets import Packet, read_packets
from rspnet.video.starts import Starts
from rspnet.video.survey import Survey
from rspnet.video.times import Pace, pace_in_header

FACTS = ("status", "reason", "num_frames", "fps", "width", "height", "duration", "codec", "bytes", "content", "plan")
"""The keys of what `inspect` returns."""

READ_AT_PROBE = 8 * 2**20
"""Largest size in bytes of a file whose packets a probe reads all, without decoding them; takes some milliseconds."""

NUM_PROBED = 24
"""Packets that a probe reads beyond the first frame, to see whether they come as fast as the header says."""


def inspect(
    path: str | os.PathLike[str],
    depth: str = "probe",
    min_frames: int = 1,
    *,
    time_limit: float = math.inf,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Any]:
    """Find out what a file holds and whether it can be used. A bad file gives a result, never an exception.

    Args:
        path: the file.
        depth: "probe" reads the header and decodes the first frame; "decode" decodes all frames.
        min_frames: a video with fewer frames is "short".
        time_limit: seconds, checked between packets.
        max_pixels: a video with more pixels per frame is "broken".

    Returns:
        A dict with the keys of `FACTS`; a fact that is not known is None.

        `status`: "ok", "empty" (no bytes), "broken" (cannot be opened or read, or nothing decodes), "no_video" (no
        moving pictures), "encrypted", "truncated" (the file ends before its container says, or packets are missing),
        "corrupt" (the decoder refuses packets or flags frames, or other damage is found), "short" or "timeout".
        `reason`: one sentence; None if the status is "ok".
        `num_frames`: as decoded; at depth "probe" only of small files whose packets leave no doubt.
        `fps`: average, by the frames' own times; at depth "probe" by the header, unless that is doubtful.
        `width`, `height`: pixels, as shown.
        `duration`: seconds, from the same source as `fps`.
        `codec`: libavcodec's name.
        `bytes`: size of the file.
        `content`: hash of the packets, see content.py; at depth "probe" only of small files.
        `plan`: makes reading fast, see plan.py; only at depth "decode", if the status is "ok" or "short". If key frame
        marks are doubtful, they are tried out, which takes about as long again.

    Raises:
        ConfigError: no such depth.
        MachineError: the file cannot be read because the machine lacks files or memory.
    """
    if depth not in ("probe", "decode"):
        raise ConfigError(f"depth: {depth!r}; it is probe or decode")
    path = os.fspath(path)
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    verdict: tuple[str, str | None]
    try:
        facts["bytes"] = os.path.getsize(path)
        if not os.path.isfile(path):
            verdict = "broken", "not a regular file"
        elif not facts["bytes"]:
            verdict = "empty", "the file has no bytes"
        else:
            limits = Limits(max_pixels, time_limit)
            clock = Clock(path, time_limit)
            container, stream = open_video(path, limits=limits)
            with container, Starts(path, container, stream, limits=limits) as starts:
                survey = Survey(container, stream, starts if depth == "decode" else None)
                verdict = _look(
                    container,
                    stream,
                    facts,
                    survey=survey,
                    depth=depth,
                    min_frames=min_frames,
                    clock=clock,
                )
    except MachineError:  # not the file's fault
        raise
    except OSError as error:
        blame_machine(path, error)
        verdict = "broken", f"cannot be read ({error.strerror})"
    except VideoError as error:
        kinds = {NoVideoError: "no_video", TimeLimitError: "timeout"}
        verdict = kinds.get(type(error), "broken"), str(error).removeprefix(f"{path}: ").split(";")[0]
        if verdict[0] == "broken" and (failure := reading_fails(path)):
            verdict = "broken", f"cannot be read ({failure})"
    except Exception as error:  # no file, wherever it is from, is a reason to stop
        blame_machine(path, error)
        verdict = "broken", f"cannot be read ({type(error).__name__}: {error})"
    return facts | dict(zip(("status", "reason"), verdict))


def _look(
    container: InputContainer,
    stream: VideoStream,
    facts: dict[str, Any],
    *,
    survey: Survey,
    depth: str,
    min_frames: int,
    clock: Clock,
) -> tuple[str, str | None]:
    """Fill in the facts of an open file; return its status and the reason."""
    facts["codec"] = stream.codec_context.codec.canonical_name
    trusted = "mp4" in container.format.name and stream.frames
    facts.update(_paced(pace_in_header(container, stream)))
    damage = Damage()
    if depth == "decode":
        be_strict(stream)
    content = Content(stream)
    packets = survey(content(clock.watch(read_packets(container, stream))))
    frames = survey.compared(decode_all(packets, stream, damage))
    first = next(frames, None)
    if first is None:
        return judge(clock.path, container, stream, count=0, damage=damage)
    facts["height"], facts["width"] = orientation(first).size(first.height, first.width)
    if depth == "decode":
        shown = [first.pts, *(frame.pts for frame in frames)]
        facts["num_frames"] = len(shown)
        facts.update(_paced(survey.timeline.pace(shown)))
        damage.hidden_loss = survey.lost(shown)
        status, reason = judge(clock.path, container, stream, count=len(shown), damage=damage)
        if status == "ok":
            plan = survey.plan(shown, first=first)
            facts["plan"] = plan.to_text() if plan.num_packets <= MAX_PACKETS else None
    elif is_encrypted(stream, damage):
        status, reason = judge(clock.path, container, stream, count=1, damage=damage)
    elif missing := missing_bytes(clock.path):
        status, reason = "truncated", f"the file ends {some(missing, 'byte')} before its container says"
    else:
        status, reason = "ok", None
        if damage.blank or not (
            trusted or container.format.name == "avi" or _goes_on(packets, first, survey, container=container)
        ):
            facts["fps"] = None
        if facts["bytes"] <= READ_AT_PROBE:
            with suppress(av.FFmpegError):
                deque(packets, maxlen=0)
                facts["num_frames"] = len(survey.shown_by_headers() or ()) or None
    facts["content"] = content.digest
    count, about = facts["num_frames"], ""
    if count is None and stream.frames:  # the header's count, which may include packets that are never shown
        count, about = stream.frames, "about "
    if status == "ok" and count is not None and count < min_frames:
        return "short", f"{about}{some(count, 'frame')}, fewer than {min_frames}"
    return status, reason


def _goes_on(packets: Iterator[Packet], first: VideoFrame, survey: Survey, *, container: InputContainer) -> bool:
    """Whether the next packets come as fast as the header says, and seem to be whole frames and not fields."""
    with contextlib.suppress(av.FFmpegError):
        deque(itertools.islice(packets, NUM_PROBED), maxlen=0)
    may_be_fields = first.interlaced_frame and "matroska" in container.format.name
    return survey.timeline.keeps_promise() and not may_be_fields


def _paced(pace: Pace) -> dict[str, float | None]:
    """Return the facts `fps` and `duration`; None if not known."""
    return {"fps": float(pace.rate) or None, "duration": pace.seconds or None}
