"""Copies of a data set's videos that are quick to read: where each goes, how it is made, and how many there are."""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rspnet import console
from rspnet.data import layouts
from rspnet.data.rows import USABLE, Row
from rspnet.disk import FAULTS, refusal, sweep, whole, writing_to
from rspnet.errors import ConfigError, DiskError, VideoError
from rspnet.video.inspection import inspect
from rspnet.video.writer import read_comment, transcode

if TYPE_CHECKING:
    from rspnet.running.worker import Failure

NUM_NAMED = 10
"""Failures that the summary names."""

FAILED = "failed"
"""Status of a video that is good, as far as known, but has no copy."""

Task = tuple[Row, str]
"""A row, and the path of its copy in the new folder; "" where there is nothing to copy."""

Outcome = tuple[Row, bool] | DiskError
"""The new file's row, or the old one with what is wrong, and whether the file was made just now; or that the disk takes
no more."""

_NUMBERS = ("num_videos", "num_made", "num_kept", "num_larger", "num_skipped", "num_bad", "num_lost")
_STATUS_OF_FAILURES = {"timeout": "timeout", "crash": "crashed", "error": FAILED}


def begin(rows: Iterable[Row], dst: str) -> Iterator[Row]:
    """Make the folder of the copies, unless the first row's data set lies in it or around it; returns all rows.

    Raises:
        ConfigError: as for `check_apart`, or the folder cannot be made.
        DiskError: the disk takes no more.
    """
    rows = iter(rows)
    first = list(itertools.islice(rows, 1))  # before anything is made: a wrong index, or DST among the sources
    for row in first:
        check_apart(row["root"], dst)
    try:
        os.makedirs(dst, exist_ok=True)
    except OSError as error:
        if error.errno in FAULTS:
            raise refusal(dst, error) from None
        raise ConfigError(f"{dst}: cannot be made ({error.strerror}); give another folder to write to") from None
    return itertools.chain(first, rows)


def plan(rows: Iterable[Row], dst: str, layout: str, *, folders: set[str]) -> Iterator[Task]:
    """Yield what is to be done for each row.

    List files of a data set are copied when its first row comes. A folder that is to get a file is cleared of what an
    interrupted run left there, and added to `folders`.

    Raises:
        ConfigError: `dst` lies in a data set, or the other way round.
    """
    taken: dict[str, str] = {}
    roots: set[str] = set()
    for row in rows:
        if row["root"] not in roots:
            roots.add(row["root"])
            check_apart(row["root"], dst)
            copy_lists(row["root"], dst, layout)
        if row["status"] not in USABLE:
            yield row, ""
            continue
        target = os.path.splitext(os.path.normpath(row["video"]))[0] + ".mp4"
        source = os.path.join(row["root"], row["video"])
        if os.path.isabs(target) or target.startswith(".."):
            yield row | {"status": FAILED, "reason": "its path leads out of its root"}, ""
        elif (other := taken.setdefault(target, source)) != source:
            yield row | {"status": FAILED, "reason": f"{other} becomes {target} as well; rename one"}, ""
        else:
            if (folder := os.path.dirname(os.path.join(dst, target))) not in folders:
                folders.add(folder)
                sweep(folder)
            yield row, target


def check_apart(root: str, dst: str) -> None:
    """Refuse to write among the sources.

    Raises:
        ConfigError: one folder holds the other.
    """
    folders = os.path.realpath(root), os.path.realpath(dst)
    if os.path.commonpath(folders) in folders:
        raise ConfigError(f"{dst}: lies in {root}, or that in it; give a folder beside it")


def copy_lists(root: str, dst: str, layout: str) -> None:
    """Copy the official lists of a data set, with what text lies beside them (classInd.txt)."""
    try:
        lists = layouts.list_files(root, layouts.detect(root) if layout == "auto" else layout)
    except ConfigError:
        return  # an index of videos that are in no known order
    for folder in sorted({os.path.dirname(path) for path in lists}):
        with writing_to(os.path.join(dst, folder)):
            os.makedirs(os.path.join(dst, folder), exist_ok=True)
            for entry in os.scandir(os.path.join(root, folder)):
                if entry.is_file() and entry.name.endswith((".txt", ".json", ".csv")):
                    with whole(os.path.join(dst, folder, entry.name)) as copy:
                        shutil.copy(entry.path, copy)


def transcode_row(task: Task, dst: str, recipe: dict[str, Any]) -> Outcome:
    """Make the copy, unless it is there already (called in a worker process).

    Args:
        task: one that has a path.
        dst: the new folder.
        recipe: from `rspnet.video.recipe.make_recipe`.
    """
    row, target = task
    source, path = os.path.join(row["root"], row["video"]), os.path.join(dst, target)
    new = {"video": target, "root": dst, "status": "ok", "reason": None, "source": source, "recipe": recipe}
    try:
        comment = json.dumps({"video": row["video"], "bytes": os.path.getsize(source), "recipe": recipe})
        if os.path.exists(path):
            made = read_comment(path)
            if made == comment and (kept := inspect(path, "decode"))["status"] == "ok":
                return row | kept | new, False
            if not made.startswith('{"video": '):
                raise VideoError(f"{path}: is there already, and not from this stage; remove it")
        options = {name: value for name, value in recipe.items() if name != "codec"}
        return row | transcode(source, path, **options, comment=comment) | new, True
    except DiskError as error:
        return error
    except (VideoError, ConfigError, OSError) as error:
        found = inspect(source, depth="decode")
        if found["status"] == "ok":  # then it is the writing that failed
            found |= {"status": FAILED, "reason": str(error)}
        return row | found, False


def copied(task: Task, result: "Outcome | Failure") -> tuple[Row, bool]:
    """What a worker returned, or the row with why it could not."""
    if isinstance(result, DiskError):
        raise result  # all that follow would fail as well, and the same command goes on from here
    if isinstance(result, tuple):
        return result
    row, _ = task
    return row | {"status": _STATUS_OF_FAILURES[result.kind], "reason": result.text}, False


class Tally:
    """Counts rows as they pass through."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(_NUMBERS, 0)
        self.bytes = {"source": 0, "new": 0}
        self.bad: list[str] = []

    def __call__(self, ends: Iterable[tuple[Row, Row, bool]]) -> Iterator[Row]:
        """Yield the new rows; comes with the old ones, and whether the file was made just now."""
        for old, new, made in ends:
            is_lost = new["status"] == FAILED or (old["status"] == "ok" and new["status"] != "ok")
            self.counts["num_videos"] += 1
            if new["status"] == "ok":
                self.counts["num_made" if made else "num_kept"] += 1
                before = os.path.getsize(new["source"])
                self.bytes["source"] += before
                self.bytes["new"] += new["bytes"]
                self.counts["num_larger"] += new["bytes"] > before
            elif new is old and not is_lost:
                self.counts["num_skipped"] += 1
            else:
                self.counts["num_lost" if is_lost else "num_bad"] += 1
                self.bad.append(f"{new['video']}: {new['status']}: {new['reason']}")
            yield new

    def summary(self) -> dict[str, Any]:
        """How many were made now, kept, grew, skipped as their row says, found bad, good but lost; bytes; names."""
        return self.counts | {"bytes": self.bytes, "bad": self.bad[:NUM_NAMED]}


def report(summary: dict[str, Any]) -> Iterator[str]:
    """The summary in a few lines."""
    source, new = (summary["bytes"][key] / 1e6 for key in ("source", "new"))
    made, kept = summary["num_made"], summary["num_kept"]
    counts = f"{console.some(made, 'video')} made, {kept} were there"
    yield f"{summary['dst']}: {counts}; {new:.1f} MB in all, from {source:.1f} MB"
    if new > source:
        recipe, grown = summary["recipe"], console.some(summary["num_larger"], "file")
        yield (
            f"that is {new / source:.2f} times as much, and {grown} grew: the sources are small already, and a key "
            f"frame every {recipe['gop']} frames and crf {recipe['crf']:g} cost more than what they had; higher "
            "--crf (published: 23) or --gop, or a lower --short_side, make smaller files; or train from the sources"
        )
    others = {"not ok from the start": "num_skipped", "found to be bad": "num_bad", "good but lost": "num_lost"}
    if text := ", ".join(f"{summary[key]} {what}" for what, key in others.items() if summary[key]):
        yield f"of {console.some(summary['num_videos'], 'video')}, {text}"
    yield from summary["bad"]
    if (more := summary["num_bad"] + summary["num_lost"] - len(summary["bad"])) > 0:
        yield f"... and {more} more"
