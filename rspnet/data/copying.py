"""The copy of one video: whether it is there, whole, and made from this source by this recipe; else it is made.

A source is the same while its size and its time of change are, or its SHA-256. A copy is whole while its own SHA-256
is: a decoder passes over most damage.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from rspnet.data.fetched import fetched
from rspnet.data.remote import path_of
from rspnet.data.rows import Row
from rspnet.data.verification import inspect_row
from rspnet.disk import identity, sha256
from rspnet.errors import ConfigError, DiskError, VideoError
from rspnet.shortage import blame_machine
from rspnet.video.inspection import inspect
from rspnet.video.writer import read_comment, transcode

FAILED = "failed"
"""Status of a video that is good, as far as known, but has no copy."""

_OURS = '{"video": '  # how the comment in a copy begins


class Entry(NamedTuple):
    """What is kept of a copy, to know it again.

    Attributes:
        video: its path in the folder of the copies.
        source: ``video``, ``bytes``, ``modified`` (nanoseconds) and ``sha256`` of what it was made from.
        recipe: how.
        copy: its own ``bytes`` and ``sha256``.
        facts: what `inspect` says of it.
    """

    video: str
    source: dict[str, Any]
    recipe: dict[str, Any]
    copy: dict[str, Any]
    facts: dict[str, Any]


class Task(NamedTuple):
    """What is to be done for a row.

    Attributes:
        row: of the source.
        target: path of its copy in the new folder; "" where there is nothing to copy.
        known: what was kept of the copy when it was made.
    """

    row: Row
    target: str = ""
    known: Entry | None = None


class Outcome(NamedTuple):
    """What became of a task.

    Attributes:
        row: the new file's, or the old one with what is wrong.
        made: whether the file was made just now.
        entry: what to keep of it; None where there is no copy.
    """

    row: Row
    made: bool = False
    entry: Entry | None = None


def transcode_row(task: Task, dst: str, recipe: dict[str, Any]) -> Outcome | DiskError:
    """Make the copy, unless it is there already (called in a worker process).

    Args:
        task: one that has a path.
        dst: the new folder.
        recipe: from `rspnet.video.recipe.make_recipe`.

    Returns:
        What became of it, or that the disk takes no more.

    Raises:
        MachineError: it cannot be read, or the copy not be written, for want of files or memory.
    """
    row, source = task.row, path_of(task.row["root"], task.row["video"])
    try:
        with fetched(row) as file:
            return _copied(task, file, dst, recipe=recipe)
    except DiskError as error:
        return error
    except (VideoError, ConfigError, OSError) as error:
        blame_machine(source, error)
        found = inspect_row(row, depth="decode", min_frames=1)
        if found["status"] == "ok":  # then it is the writing that failed
            found |= {"status": FAILED, "reason": str(error)}
        return Outcome(found)


def _copied(task: Task, source: str, dst: str, *, recipe: dict[str, Any]) -> Outcome:
    """What becomes of a video whose file is here."""
    row, target, known = task
    path = os.path.join(dst, target)
    place = {"video": target, "root": dst, "source": path_of(row["root"], row["video"]), "recipe": recipe}
    facts = os.stat(source)
    if not stat.S_ISREG(facts.st_mode):  # to read a pipe would wait for ever
        raise VideoError(f"{source}: is no regular file; drop it")
    origin = {"video": row["video"], "bytes": facts.st_size, "modified": facts.st_mtime_ns}
    current = _still_of(known, source, origin=origin, recipe=recipe) if known else None
    if current and os.path.isfile(path) and identity(Path(path)) == current.copy:
        return Outcome(row | current.facts | place, False, current)
    _refuse_foreign(path, known)
    origin["sha256"] = sha256(Path(source))
    comment = json.dumps({name: origin[name] for name in ("video", "bytes", "sha256")} | {"recipe": recipe})
    there = None if current else _of_killed_run(path, comment)
    found = there or _made(source, path, recipe, comment=comment)
    entry = Entry(target, origin, recipe, identity(Path(path)), found)
    return Outcome(row | found | place, there is None, entry)


def _still_of(known: Entry, source: str, *, origin: dict[str, Any], recipe: dict[str, Any]) -> Entry | None:
    """What was kept of a copy, where its source and recipe are those of now, with the source's time of now."""
    now = {**known.source, **origin}
    if known.recipe != recipe or known.source["bytes"] != now["bytes"] or known.source.get("video") != now["video"]:
        return None
    # Else it was touched, or put back from elsewhere.
    is_same = known.source == now or sha256(Path(source)) == known.source["sha256"]
    return known._replace(source=now) if is_same else None


def _refuse_foreign(path: str, known: Entry | None) -> None:
    """See that what lies in a copy's place, if anything, is one, whole or damaged.

    Raises:
        VideoError: it is something else.
    """
    foreign = VideoError(f"{path}: is there already, and not from this stage; remove it")
    if not os.path.lexists(path):
        return
    if not os.path.isfile(path) or os.path.islink(path):
        raise foreign
    if os.path.getsize(path) in ((0, known.copy["bytes"]) if known else (0,)):
        return
    try:
        said = read_comment(path)
    except VideoError:
        if known:
            return
        raise foreign from None
    if not said.startswith(_OURS):
        raise foreign


def _of_killed_run(path: str, comment: str) -> dict[str, Any] | None:
    """The facts of a copy that was made, and the run ended before that was kept; None where there is no such."""
    try:
        found = inspect(path, "decode") if os.path.isfile(path) and read_comment(path) == comment else None
    except VideoError:
        return None
    return found if found and found["status"] == "ok" else None


def _made(source: str, path: str, recipe: dict[str, Any], *, comment: str) -> dict[str, Any]:
    """Make the copy; returns its facts."""
    options = {name: value for name, value in recipe.items() if name != "codec"}
    found = transcode(source, path, **options, comment=comment)
    if found["status"] != "ok":
        raise VideoError(f"{path}: the copy is {found['status']}: {found['reason']}")
    return found
