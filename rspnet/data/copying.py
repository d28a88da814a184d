"""Make the copy of one video, unless there is an intact one made from the same source by the same recipe.

A source counts as unchanged if its name and size are the same, and its modification time or its SHA-256. A copy counts
as intact if its own SHA-256 is the same, because a decoder passes over most damage.
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
"""Status of a video that is good, as far as known, but could not be copied."""

_OURS = '{"video": '  # start of the comment that each copy holds


class Entry(NamedTuple):
    """What is recorded of a copy, to recognise it later.

    Attributes:
        video: its path in the folder of the copies.
        source: ``video``, ``bytes``, ``modified`` (nanoseconds) and ``sha256`` of the file it was made from.
        recipe: how it was made.
        copy: its own ``bytes`` and ``sha256``.
        facts: what `inspect` found in it.
    """

    video: str
    source: dict[str, Any]
    recipe: dict[str, Any]
    copy: dict[str, Any]
    facts: dict[str, Any]


class Task(NamedTuple):
    """The copy to make for a row.

    Attributes:
        row: of the source.
        target: path of its copy in the new folder; "" if there is nothing to copy.
        known: the entry recorded when the copy was made earlier; None if there is none.
    """

    row: Row
    target: str = ""
    known: Entry | None = None


class Outcome(NamedTuple):
    """The result of a task.

    Attributes:
        row: of the copy; or of the source, with what is wrong, if there is no copy.
        made: whether the copy was made just now.
        entry: what to record of the copy; None if there is none.
    """

    row: Row
    made: bool = False
    entry: Entry | None = None


def transcode_row(task: Task, dst: str, recipe: dict[str, Any]) -> Outcome | DiskError:
    """Make the copy, unless it is there already (called in a worker process).

    Args:
        task: one with a target.
        dst: the new folder.
        recipe: from `rspnet.video.recipe.make_recipe`.

    Returns:
        The outcome, or a `DiskError` if the disk is full, read-only or broken.

    Raises:
        MachineError: the source cannot be read, or the copy not written, for lack of open files or memory.
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
        if found["status"] == "ok":  # so it was the writing that failed
            found |= {"status": FAILED, "reason": str(error)}
        return Outcome(found)


def _copied(task: Task, source: str, dst: str, *, recipe: dict[str, Any]) -> Outcome:
    """Return the outcome of a task whose source is a local file."""
    row, target, known = task
    path = os.path.join(dst, target)
    place = {"video": target, "root": dst, "source": path_of(row["root"], row["video"]), "recipe": recipe}
    facts = os.stat(source)
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe would wait for ever
        raise VideoError(f"{source}: is not a regular file; drop it")
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
    """Return the entry with its source's present modification time, or None if source or recipe have changed."""
    now = {**known.source, **origin}
    if known.recipe != recipe or known.source["bytes"] != now["bytes"] or known.source.get("video") != now["video"]:
        return None
    # With another modification time, it may have been touched or restored: then its SHA-256 decides.
    is_same = known.source == now or sha256(Path(source)) == known.source["sha256"]
    return known._replace(source=now) if is_same else None


def _refuse_foreign(path: str, known: Entry | None) -> None:
    """Check that a file in a copy's place, if there is one, is a copy of this stage, whole or damaged.

    Raises:
        VideoError: it is something else.
    """
    foreign = VideoError(f"{path}: exists already, and was not made by this stage; remove it")
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
    """Return the facts of a copy whose run was killed before recording it, or None if there is no such copy."""
    try:
        found = inspect(path, "decode") if os.path.isfile(path) and read_comment(path) == comment else None
    except VideoError:
        return None
    return found if found and found["status"] == "ok" else None


def _made(source: str, path: str, recipe: dict[str, Any], *, comment: str) -> dict[str, Any]:
    """Make the copy and return its facts."""
    options = {name: value for name, value in recipe.items() if name != "codec"}
    found = transcode(source, path, **options, comment=comment)
    if found["status"] != "ok":
        raise VideoError(f"{path}: the copy is {found['status']}: {found['reason']}")
    return found
