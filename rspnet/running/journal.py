"""FILE.partial: what a scan that writes FILE has found so far, so that an interrupted scan can continue."""

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from rspnet import console
from rspnet.data.remote import is_remote
from rspnet.data.rows import BAD_NAME, Row, fault
from rspnet.data.verification import NO_FACTS, STATUSES
from rspnet.errors import ConfigError
from rspnet.running.appended import AppendedLines, as_line
from rspnet.running.pool import Ready
from rspnet.signals import tell_what_is_kept
from rspnet.video.plan import Plan

LOOKED_AT_AGAIN = ("timeout", "crashed", "error", "missing", "unreadable")
"""Statuses of rows that a continued scan checks again: the cause may have been temporary."""


class Journal:
    """The rows of an unfinished scan: a line with its settings, then one row per line. A context manager.

    Args:
        out: the index file that the scan writes; ``-`` (stdout) has no journal.
        settings: what else the rows depend on, by name.
        known: rows that a scan with the same settings found before.

    Attributes:
        done: status and facts by root and video, from `known` and from an interrupted scan with the same settings.

    Raises:
        ConfigError: an interrupted scan with other settings left it, or another process is writing to it.
    """

    def __init__(self, out: str, settings: dict[str, Any], known: Iterable[Row] = ()) -> None:
        self.done: dict[tuple[str, str], Row] = {}
        for row in known:
            self._take(row)
        self._lines: AppendedLines | None = None
        if out == "-":
            return
        lines = AppendedLines(f"{out}.partial", busy=f"another process is making {out}; wait for it")
        try:
            good = self._read(lines, settings)
            lines.keep(good)
            if not good:
                lines.add(settings)
        except BaseException:
            lines.__exit__()
            raise
        self._lines = lines
        if self.done:
            console.say(f"going on after the {console.some(len(self.done), 'video')} in {lines.path}")

    def _read(self, lines: AppendedLines, settings: dict[str, Any]) -> int:
        """Load the rows of an interrupted scan; return the offset of the end of the last good one."""
        expected, head = as_line(settings), lines.head()
        if head != expected:
            if expected.startswith(head):  # empty, or cut off within its first line
                return 0
            raise ConfigError(f"{lines.path}: {_whose(head, settings)}")
        good = len(head)
        for number, (row, end) in enumerate(lines.read(), 1):
            if end > len(head):
                if _fault(row):
                    console.say(f"{lines.path}: line {number} is damaged; the videos from there on are checked again")
                    break
                self._take(row)
                good = end
        return good

    def _take(self, row: Row) -> None:
        if row["status"] in LOOKED_AT_AGAIN:
            self.done.pop(_key(row), None)
        else:
            self.done[_key(row)] = {name: row.get(name) for name in ("status", "reason", *NO_FACTS)}

    def todo(self, rows: Iterable[Row]) -> Iterator[Row | Ready[Row, Row]]:
        """Yield the rows for `run_parallel`: those already checked need no worker, and keep what was found then.

        A video that is gone, or whose size has changed, is checked again.
        """
        for row in rows:
            found = self.done.get(_key(row))
            if found is None or _has_changed(row, found):
                self.done.pop(_key(row), None)
                yield row
            else:
                yield Ready(row, row | found)

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that come from the workers, and append the new ones to the file."""
        for row in rows:
            if self._lines and _key(row) not in self.done:
                self._lines.add(row)
            yield row

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._lines:
            if error is None:  # FILE is written
                self._lines.remove()
            self._lines.__exit__()
            tell_what_is_kept(error, self._lines.path)


def _key(row: Row) -> tuple[str, str]:
    """Return the key of a video in `done`."""
    return row["root"], row["video"]


def _has_changed(row: Row, found: Row) -> bool:
    """Whether a video has changed since it was checked, judged by its size; behind a URL, by the size in a listing."""
    if found["bytes"] is None or found["status"] == BAD_NAME:  # a bad name may lead anywhere
        return False
    if is_remote(row["root"]):
        return row["bytes"] not in (None, found["bytes"])
    try:
        return os.stat(os.path.join(row["root"], row["video"])).st_size != int(found["bytes"])
    except OSError:
        return True


def _fault(row: object) -> str | None:
    """Return what is wrong with a line, None if nothing is: a damaged line may still be valid JSON."""
    if what := fault(row):
        return what
    if isinstance(row, dict) and row["status"] not in STATUSES:
        return f"status {row['status']}"
    try:
        if isinstance(row, dict) and row["plan"]:
            Plan.from_text(row["plan"])
    except ValueError as error:
        return str(error)
    return None


def _whose(head: bytes, settings: dict[str, Any]) -> str:
    """Return the message for a journal whose first line is not the settings of this scan."""
    try:
        then = json.loads(head)
        told = [f"{name} {then[name]}" for name in settings if then[name] != settings[name]]
    except (ValueError, KeyError, TypeError, RecursionError):
        told = []
    if not told:
        return (
            "its first line does not hold the settings of a scan: it is damaged, or not a scan's, and cannot be used; "
            "remove the file, or move it away, to scan anew"
        )
    return (
        f"was left by an interrupted scan with {', '.join(told)}; give that command again to continue the scan, or "
        "remove the file to start over"
    )
