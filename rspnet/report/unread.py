"""Videos that could not be read, and those that took longest to read for this page."""

from typing import Any

from markupsafe import Markup

from rspnet.console import some
from rspnet.data.index import columns
from rspnet.data.rows import USABLE
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.tables import table
from rspnet.terminal import visible

_LISTED = 50
_SLOWEST = 5
_SLOW = 0.5  # seconds; what is read faster is no trouble to anybody


def unread(record: Record) -> Section | None:
    """The failed videos, with what is known of each, and the slowest."""
    name, title = "unread", "Failed and slow videos"
    failed, slow = failures(record), slowest(record)
    number = (record.result or {}).get("num_failed")
    if isinstance(number, int) and number > len(failed):
        more = f"{some(number, 'video')} could not be read in this run, by its result."
    else:
        more = ""
    note = _timed(record)
    if not failed and not slow and not more:
        known = record.index is not None or record.features is not None
        return Section(name, title, Markup(""), f"No video failed. {note}") if known else None
    parts = [Markup("<p>{}</p>").format(" ".join(filter(None, (more, note))))]
    if failed:
        parts.append(_table(failed))
    if slow:
        parts.append(_slow(slow, len(record.thumbnails.seconds)))
    return Section(name, title, Markup("\n").join(parts))


def _timed(record: Record) -> str:
    """How long videos took to read, as far as that is known."""
    told = "How long each video takes to read is not recorded in a run."
    seconds = [each for _, each in record.thumbnails.seconds]
    if seconds and max(seconds) < _SLOW:
        videos = some(len(seconds), "video")
        told += f" Read for this page, eight frames of each: {videos}, none of which took {_SLOW:g} s."
    return told


def failures(record: Record) -> list[tuple[str, str, str]]:
    """Name, status and reason of each video that failed, by the index and by the features; each once."""
    found: dict[str, tuple[str, str, str]] = {}
    if record.index is not None:
        rows = columns(record.index, ["video", "status", "reason"]).to_pydict()
        for video, status, reason in zip(rows["video"], rows["status"], rows["reason"]):
            if status not in USABLE:
                found[video] = (video, status, reason or "")
    if record.features is not None:
        rows = record.features.rows.select(["video", "status"]).to_pydict()
        for video, status in zip(rows["video"], rows["status"]):
            if status != "ok":
                found.setdefault(video, (video, str(status), "has no feature"))
    return list(found.values())


def slowest(record: Record) -> list[tuple[dict[str, Any], float]]:
    """The rows of the videos that took longest to read for their pictures, with the seconds; the longest first."""
    ranked = sorted(record.thumbnails.seconds, key=lambda each: -each[1])
    return [(row, seconds) for row, seconds in ranked[:_SLOWEST] if seconds >= _SLOW]


def _table(failed: list[tuple[str, str, str]]) -> Markup:
    left = f", the first {_LISTED} of them" if len(failed) > _LISTED else ""
    said = f"{some(len(failed), 'video')} without a result{left}:"
    rows = [tuple(map(visible, facts)) for facts in failed[:_LISTED]]
    return Markup("<p>{}</p>{}").format(said, table(["video", "status", "why"], rows, label="Failed videos"))


def _slow(slow: list[tuple[dict[str, Any], float]], number: int) -> Markup:
    said = f"Slowest of the {some(number, 'video')} that were read for this page, eight frames of each:"
    rows = [(visible(row["video"]), f"{seconds:.1f}", _size(row)) for row, seconds in slow]
    head = ["video", "seconds", "what it is"]
    return Markup("<p>{}</p>{}").format(said, table(head, rows, label="Slowest videos"))


def _size(row: dict[str, Any]) -> str:
    size = f"{row['width']} x {row['height']}" if row["width"] and row["height"] else None
    return ", ".join(filter(None, (size, row["codec"])))
