"""Verification of a data set's videos: rows with their files' status and facts, and a summary of all rows."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rspnet import console
from rspnet.data.fetched import MissingError, fetched, told
from rspnet.data.remote import is_remote, size_of
from rspnet.data.rows import BAD_NAME, Row
from rspnet.errors import VideoError
from rspnet.shortage import blame_machine
from rspnet.video.inspection import FACTS, inspect
from rspnet.video.limits import MAX_PIXELS
from rspnet.video.plan import Plan

if TYPE_CHECKING:
    from rspnet.running.worker import Failure

NUM_NAMED = 10
"""How many bad videos the summary names, and how many without a label."""

NO_FACTS: Row = dict.fromkeys(fact for fact in FACTS if fact not in ("status", "reason"))
"""The facts of a row whose file could not be inspected: all None."""

STATUSES = {"ok", "empty", "broken", "no_video", "encrypted", "truncated", "corrupt", "short", "timeout", "missing"}
STATUSES |= {"unreadable", BAD_NAME, "crashed", "error"}
"""Statuses that verification may set."""

_STATUS_OF_FAILURES = {"timeout": "timeout", "crash": "crashed", "error": "error"}


def inspect_row(row: Row, depth: str, min_frames: int, *, max_pixels: int = MAX_PIXELS) -> Row:
    """Return the row with the current status and facts of its file (called in a worker process).

    Args:
        row: of one video.
        depth: as for `inspect`.
        min_frames: as for `inspect`.
        max_pixels: as for `inspect`.

    Raises:
        MachineError: as `inspect`.
    """
    if row["status"] == BAD_NAME:
        return row
    if is_remote(row["root"]):
        return _inspect_remote(row, depth, min_frames, max_pixels=max_pixels)
    path = os.path.join(row["root"], row["video"])
    if absent := _absence(row, path):
        return row | NO_FACTS | absent
    found = inspect(path, depth=depth, min_frames=min_frames, max_pixels=max_pixels)
    if found["status"] not in ("ok", "short") and (absent := _absence(row, path)):  # removed meanwhile
        return row | NO_FACTS | absent
    return row | found


def _inspect_remote(row: Row, depth: str, min_frames: int, *, max_pixels: int) -> Row:
    """Do the same for a row whose video has to be fetched first."""
    try:
        now = row | {"bytes": size_of(row["root"], row["video"])}
        with fetched(now) as path:
            found = inspect(path, depth=depth, min_frames=min_frames, max_pixels=max_pixels)
    except MissingError:
        return row | NO_FACTS | _missing(row)
    except VideoError as error:
        return row | NO_FACTS | {"status": "unreadable", "reason": str(error)}
    return row | found | {"reason": found["reason"] and told(found["reason"], now)}


def _absence(row: Row, path: str) -> dict[str, Any] | None:
    """Return status and reason of a row whose file this user cannot access, None if it is accessible."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _missing(row)
    except OSError as error:  # its folder is not accessible, or a link leads to itself
        blame_machine(path, error)
        return {"status": "unreadable", "reason": error.strerror}
    if not os.access(path, os.R_OK):
        return {"status": "unreadable", "reason": "this user may not read the file"}
    return None


def _missing(row: Row) -> dict[str, Any]:
    """Return status and reason of a row whose file does not exist; the reason is kept if it was missing before."""
    before = row["reason"] if row["status"] == "missing" else None
    return {"status": "missing", "reason": before or "no such file"}


def looked_at(row: Row, result: "Row | Failure") -> Row:
    """Return a worker's row, or if it failed, a row that says why."""
    if isinstance(result, dict):
        return result
    return row | NO_FACTS | {"status": _STATUS_OF_FAILURES[result.kind], "reason": result.text}


class Tally:
    """Counts rows as they pass through."""

    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.classes: Counter[str | None] = Counter()
        self.seconds = 0.0
        self.bad: list[str] = []
        self.unlabelled: list[str] = []
        self.slow: Counter[str] = Counter()

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows."""
        for row in rows:
            self.status[row["status"]] += 1
            if row["status"] == "ok":
                self._count_good(row)
            elif len(self.bad) < NUM_NAMED:
                self.bad.append(f"{row['video']}: {row['status']}: {row['reason']}")
            yield row

    def _count_good(self, row: Row) -> None:
        self.splits[row["split"] or "no split"] += 1
        self.classes[row["label"]] += 1
        if row["label"] is None and len(self.unlabelled) < NUM_NAMED:
            self.unlabelled.append(row["video"])
        self.seconds += row["num_frames"] / row["fps"] if row["num_frames"] and row["fps"] else row["duration"] or 0.0
        if row["plan"] and not len(Plan.from_text(row["plan"]).keys):
            self.slow[os.path.splitext(row["video"])[1].lower()] += 1

    def summary(self) -> dict[str, Any]:
        """Return the counts; splits, classes and hours are those of the videos that are ok."""
        classes = sorted((count, name) for name, count in self.classes.items() if name is not None)
        return {
            "num_videos": self.status.total(),
            "num_bad": self.status.total() - self.status["ok"],
            "hours": round(self.seconds / 3600, 3),
            "status": dict(self.status.most_common()),
            "splits": dict(self.splits),
            "num_classes": len(classes),
            "smallest_class": classes[0][::-1] if classes else None,
            "largest_class": classes[-1][::-1] if classes else None,
            "num_unlabelled": self.classes[None],
            "unlabelled": self.unlabelled if classes else [],
            "slow": dict(self.slow.most_common()),
            "bad": self.bad,
        }


def report(summary: dict[str, Any]) -> Iterator[str]:
    """Yield a `Tally.summary`, with ``ignored`` (of a `Source`) and ``out`` (the index file) added, as a few lines."""
    counts = ", ".join(f"{count} {status}" for status, count in summary["status"].items())
    yield f"{console.some(summary['num_videos'], 'video')} ({counts}); {summary['hours']:.2f} hours are ok"
    if summary["splits"].keys() - {"no split"}:
        yield "of these " + ", ".join(f"{count} {split}" for split, count in summary["splits"].items())
    if summary["num_classes"]:
        yield _classes(summary)
    yield from beside(summary["ignored"])
    if summary["slow"]:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in summary["slow"].items())
        yield f"can only be read from the beginning, which is slow: {kinds}; stages/transcode.py mends that"
    yield from summary["bad"]
    if summary["num_bad"] > len(summary["bad"]):
        yield f"... and {summary['num_bad'] - len(summary['bad'])} more that are not ok"
    if summary["out"] != "-":
        yield f"index written to {summary['out']}"


def beside(ignored: Mapping[str, int]) -> Iterator[str]:
    """Yield a line or two about the files besides a folder's videos, as counted in `Source.ignored`."""
    others = dict(ignored)
    if lists := others.pop("lists", 0):
        yield f"official lists of the data set, which define the splits: {console.some(lists, 'file')}"
    if others:
        # In quotes if a suffix only looks like that of a video: "film.mp4 ".
        names = {suffix: suffix if suffix == suffix.strip() else repr(suffix) for suffix in others}
        kinds = ", ".join(f"{count} {names[suffix] or 'without suffix'}" for suffix, count in others.items())
        yield f"files that are not named like videos: {kinds}"


def _classes(summary: dict[str, Any]) -> str:
    classes = console.some(summary["num_classes"], "class", "classes")
    (small, least), (large, most) = summary["smallest_class"], summary["largest_class"]
    text = f"{classes}, from {console.some(least, 'video')} ({small}) to {most} ({large})"
    if summary["num_unlabelled"]:
        text += f"; {console.some(summary['num_unlabelled'], 'video')} of no class, e.g. {summary['unlabelled'][0]}"
    return text
