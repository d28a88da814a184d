"""Videos that could not be read, and those that took longest to read in training, or else for this page."""

import math
from typing import NamedTuple

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
_SLOW = 0.5  # seconds; videos that are read faster do not matter


class Slow(NamedTuple):
    """How long videos took to read.

    Attributes:
        seconds: Seconds by video.
        epochs: Number of epochs in which a video was among the slowest, by video; empty if nothing was trained.
        number: Number of videos that were read; 0 if not known.
    """

    seconds: dict[str, float]
    epochs: dict[str, int]
    number: int = 0

    @property
    def ranked(self) -> list[str]:
        """The `_SLOWEST` videos that took at least `_SLOW` seconds, by seconds times epochs, largest first."""
        slow = [name for name, seconds in self.seconds.items() if seconds >= _SLOW]
        return sorted(slow, key=lambda name: -self.seconds[name] * self.epochs.get(name, 1))[:_SLOWEST]


def unread(record: Record) -> Section | None:
    """List the failed and the slowest videos; None if the run has neither an index nor features to tell."""
    name, title = "unread", "Failed and slow videos"
    failed, slow = failures(record), slowest(record)
    number, logged = (record.result or {}).get("num_failed"), failed_in_an_epoch(record)
    number = number if isinstance(number, int) else 0
    more = f"{some(number, 'video')} could not be read in this run, by its result." if number > len(failed) else ""
    if logged > max(number, len(failed)):
        more = f"{more} At least {some(logged, 'video')} could not be read in an epoch of this run, by its log.".strip()
    note = _timed(slow)
    if not failed and not slow.ranked and not more:
        known = record.index is not None or record.features is not None
        return Section(name, title, Markup(""), f"No video failed. {note}".strip()) if known else None
    parts = [Markup("<p>{}</p>").format(" ".join(filter(None, (more, note))))] if more or note else []
    if failed:
        parts.append(_table(failed))
    if slow.ranked:
        parts.append(_slow(slow, record))
    return Section(name, title, Markup("\n").join(parts))


def _timed(slow: Slow) -> str:
    """Say that no video was slow; empty if one was, or if that is not known."""
    if not slow.seconds or slow.ranked:
        return ""
    if slow.epochs:
        return f"In training none took {_SLOW:g} s to read."
    return f"Read for this page, eight frames of each: {some(slow.number, 'video')}, none of which took {_SLOW:g} s."


def failures(record: Record) -> list[tuple[str, str, str]]:
    """Return name, status and reason of each video that failed by the index or the features, each once."""
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


def failed_in_an_epoch(record: Record) -> int:
    """Return how many videos at least could not be read in the worst epoch of a training, by its log.

    The log counts a training video once in each pass and a validation video once, without telling them apart.
    """
    passes = record.options("optim").get("passes")
    counted = [number for line in record.metrics if isinstance(number := line.get("failed_videos"), int)]
    most = max(counted, default=0)
    return math.ceil(most / passes) if isinstance(passes, int) and passes > 0 else most


def slowest(record: Record) -> Slow:
    """Return how long videos took to read: the slowest of each epoch of a training, else those read for this page."""
    seconds, epochs = dict[str, float](), dict[str, int]()
    for line in record.metrics:
        found = line.get("slowest_videos")
        for name, took in found.items() if isinstance(found, dict) else ():
            if isinstance(took, int | float) and math.isfinite(took):
                seconds[name] = max(took, seconds.get(name, 0.0))
                epochs[name] = epochs.get(name, 0) + 1
    if seconds:
        return Slow(seconds, epochs)
    read = record.thumbnails.seconds
    return Slow({str(row["video"]): took for row, took in read}, {}, len(read))


def _table(failed: list[tuple[str, str, str]]) -> Markup:
    left = f", the first {_LISTED} of them" if len(failed) > _LISTED else ""
    said = f"{some(len(failed), 'video')} without a result{left}:"
    rows = [tuple(map(visible, facts)) for facts in failed[:_LISTED]]
    return Markup("<p>{}</p>{}").format(said, table(["video", "status", "why"], rows, label="Failed videos"))


def _slow(slow: Slow, record: Record) -> Markup:
    facts = dict[str, str]()
    if record.index is not None:
        rows = columns(record.index, ["video", "width", "height", "codec"]).to_pydict()
        facts = {name: _size(*each) for name, *each in zip(*rows.values()) if name in slow.ranked}
    if slow.epochs:
        said = "Slowest to read in training: the longest that each took, and in how many epochs it was "
        said += "among the five slowest:"
        head = ["video", "seconds", "epochs", "what it is"]
    else:
        said = f"Slowest of the {some(slow.number, 'video')} that were read for this page, eight frames of each:"
        head = ["video", "seconds", "what it is"]
    shown = []
    for name in slow.ranked:
        epochs = (str(slow.epochs[name]),) if slow.epochs else ()
        shown.append((visible(name), f"{slow.seconds[name]:.1f}", *epochs, facts.get(name, "")))
    return Markup("<p>{}</p>{}").format(said, table(head, shown, label="Slowest videos"))


def _size(width: int | None, height: int | None, codec: str | None) -> str:
    return ", ".join(filter(None, (f"{width} x {height}" if width and height else None, codec)))
