"""Plan and count the copies of a data set's videos that stages/transcode.py makes."""

import itertools
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rspnet import console
from rspnet.data import layouts
from rspnet.data.copying import FAILED, Entry, Outcome, Task
from rspnet.data.remote import is_remote, mirrored, path_of
from rspnet.data.rows import USABLE, Row
from rspnet.data.verification import beside
from rspnet.disk import make_folder, megabytes, whole, writing_to
from rspnet.errors import ConfigError, DiskError
from rspnet.temporary import sweep

if TYPE_CHECKING:
    from rspnet.running.worker import Failure

NUM_NAMED = 10
"""Number of failures that the summary names."""

_LONGEST = 255 - len(".mp4")
"""Most bytes that file systems take for a name without its .mp4."""

NUMBERS = ("num_videos", "num_made", "num_kept", "num_larger", "num_skipped", "num_bad", "num_lost")
_STATUS_OF_FAILURES = {"timeout": "timeout", "crash": "crashed", "error": FAILED}


def begin(rows: Iterable[Row], dst: str) -> Iterator[Row]:
    """Make the folder of the copies, unless it overlaps with the first row's data set; returns all rows.

    Raises:
        ConfigError: as for `check_apart`, or the folder cannot be made.
        DiskError: the disk is full, read-only or broken.
    """
    rows = iter(rows)
    first = list(itertools.islice(rows, 1))  # before the folder is made: reading a wrong index raises here
    for row in first:
        check_apart(row["root"], dst)
    make_folder(dst, "give another folder to write to")
    return itertools.chain(first, rows)


def plan(rows: Iterable[Row], dst: str, layout: str, *, folders: set[str], made: dict[str, Entry]) -> Iterator[Task]:
    """Yield the task of each row; `made` holds the entries of copies made earlier.

    The list files of a data set are copied when its first row comes. Each folder that is to get a copy is cleared of
    unfinished files of interrupted runs, and added to `folders`.

    Raises:
        ConfigError: `dst` lies in a data set, or a data set in `dst`.
    """
    taken: dict[str, str] = {}
    roots: set[str] = set()
    for row in rows:
        if row["root"] not in roots:
            roots.add(row["root"])
            check_apart(row["root"], dst)
            copy_lists(row["root"], dst, layout)
        if row["status"] not in USABLE:
            yield Task(row)
            continue
        target = copy_name(row["video"])
        source = path_of(row["root"], row["video"])
        if (other := taken.setdefault(target, source)) != source:
            yield Task(row | {"status": FAILED, "reason": f"{other} becomes {target} as well; rename one"})
        else:
            if (folder := os.path.dirname(os.path.join(dst, target))) not in folders:
                folders.add(folder)
                sweep(folder)
            yield Task(row, target, made.get(target))


def copy_name(video: str) -> str:
    """Return the path of a video's copy: its own with suffix .mp4; a name too long for that is cut and gets a hash."""
    stem = os.path.splitext(video)[0]
    folder, name = os.path.split(stem)
    if len(os.fsencode(name)) > _LONGEST:
        mark = f"~{zlib.crc32(os.fsencode(name)):08x}"
        name = os.fsencode(name)[: _LONGEST - len(mark)].decode(errors="ignore") + mark
    return os.path.join(folder, f"{name}.mp4")


def check_apart(root: str, dst: str) -> None:
    """Check that a data set and the folder of the copies do not overlap.

    Raises:
        ConfigError: one folder is, or lies in, the other.
    """
    folders = os.path.realpath(root), os.path.realpath(dst)
    if is_remote(root):
        return
    if os.path.commonpath(folders) in folders:
        raise ConfigError(f"{dst}: lies in {root}, or that in it; give a folder beside it")


def copy_lists(root: str, dst: str, layout: str) -> None:
    """Copy the official lists of a data set, and other text files beside them (classInd.txt)."""
    if is_remote(root):
        with suppress(ConfigError), mirrored(root) as (mirror, _):  # the root of an index need not be listable
            copy_lists(str(mirror), dst, layout)
        return
    try:
        lists = layouts.list_files(root, layouts.detect(root) if layout == "auto" else layout)
    except ConfigError:
        return  # an index of videos in no known layout
    for folder in sorted({os.path.dirname(path) for path in lists}):
        make_folder(os.path.join(dst, folder), "give another folder to write to")
        with writing_to(os.path.join(dst, folder)):
            for entry in os.scandir(os.path.join(root, folder)):
                if os.path.isfile(entry.path) and entry.name.endswith((".txt", ".json", ".csv")):
                    with whole(os.path.join(dst, folder, entry.name)) as copy:
                        shutil.copy(entry.path, copy)


def copied(task: Task, result: "Outcome | DiskError | Failure") -> Outcome:
    """Return the outcome that a worker returned, or one with status and reason if the worker failed.

    Raises:
        DiskError: the worker returned one.
    """
    if isinstance(result, DiskError):
        raise result  # all further copies would fail too; the same command can be given again and goes on from here
    if isinstance(result, Outcome):
        return result
    return Outcome(task.row | {"status": _STATUS_OF_FAILURES[result.kind], "reason": result.text})


class Tally:
    """Counts the outcomes of tasks as they pass through."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(NUMBERS, 0)
        self.bytes = {"source": 0, "new": 0}
        self.bad: list[str] = []

    def __call__(self, ends: Iterable[tuple[Task, Outcome]]) -> Iterator[Row]:
        """Count each task and its outcome, and yield the outcome's row."""
        for task, (new, made, entry) in ends:
            old = task.row
            is_lost = new["status"] == FAILED or (old["status"] == "ok" and new["status"] != "ok")
            self.counts["num_videos"] += 1
            if entry:
                self.counts["num_made" if made else "num_kept"] += 1
                before = entry.source["bytes"]
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
        """Return the counts (see `report`), the bytes of sources and copies, and the first failures by name."""
        return self.counts | {"bytes": self.bytes, "bad": self.bad[:NUM_NAMED]}


def report(summary: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that report a `Tally.summary` with ``dst``, ``recipe`` and ``ignored`` (of a `Source`)."""
    source, new = (summary["bytes"][key] / 1e6 for key in ("source", "new"))
    made, kept = summary["num_made"], summary["num_kept"]
    counts = f"{console.some(made, 'video')} made, {kept} existed already"
    yield f"{summary['dst']}: {counts}; {new:.1f} MB in all, from {source:.1f} MB"
    if new > source:
        recipe, grown = summary["recipe"], console.some(summary["num_larger"], "file")
        yield (
            f"that is {new / source:.2f} times as much, and {grown} grew: the sources are small already, and a key "
            f"frame every {recipe['gop']} frames and crf {recipe['crf']:g} take more than their own settings; higher "
            "--crf (published: 23) or --gop, or a lower --short_side, make smaller files; or train from the sources"
        )
    yield from beside(summary["ignored"])
    others = {"not ok from the start": "num_skipped", "found to be bad": "num_bad", "good but not copied": "num_lost"}
    if text := ", ".join(f"{summary[key]} {what}" for what, key in others.items() if summary[key]):
        yield f"of {console.some(summary['num_videos'], 'video')}, {text}"
    yield from summary["bad"]
    if (more := summary["num_bad"] + summary["num_lost"] - len(summary["bad"])) > 0:
        yield f"... and {more} more"


def expected(outcomes: Sequence[Outcome], total: int, seconds: float) -> dict[str, Any]:
    """Estimate the time and disk space that all copies will take, from some that were made.

    Args:
        outcomes: of the videos that were tried.
        total: number of all videos.
        seconds: time per video.

    Returns:
        Entries of the result that `told` reports, without ``jobs``.

    Raises:
        ConfigError: none could be made.
    """
    tried, made = len(outcomes), [outcome.entry for outcome in outcomes if outcome.entry]
    if not made:
        reason = next((f", as {row['video']}: {row['reason']}" for row, *_ in outcomes), "")
        raise ConfigError(f"none of the {console.some(tried, 'video')} tried can be transcoded{reason}")
    before, after = sum(entry.source["bytes"] for entry in made), sum(entry.copy["bytes"] for entry in made)
    numbers = {"num_videos": total, "num_tried": tried, "num_bad": tried - len(made)}
    times = {"video_time": float(f"{seconds:.6g}"), "seconds": float(f"{total * seconds:.6g}")}
    return {**numbers, **times, "disk_bytes": total * after // tried, "ratio": float(f"{after / before:.6g}")}


def told(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that report what `expected` estimated; `found` also has ``jobs``."""
    bad = f", {found['num_bad']} of them bad" if found["num_bad"] else ""
    jobs = console.some(found["jobs"], "process", "processes")
    each = f"{console.figures(found['video_time'])} s each with {jobs}"
    yield f"{console.some(found['num_tried'], 'video')} tried{bad}: {each}"
    size = f"{megabytes(found['disk_bytes'])}, {console.figures(found['ratio'])} of the originals"
    yield f"all {found['num_videos']}: {console.duration(found['seconds'])}, {size}"
