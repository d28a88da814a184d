"""FILE.partial: what a scan that writes FILE has found so far, so that one that was stopped goes on."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from rspnet import console
from rspnet.data.rows import Row
from rspnet.data.verification import NO_FACTS
from rspnet.disk import writing_to
from rspnet.errors import ConfigError
from rspnet.running.lock import exclusive
from rspnet.running.pool import Ready

LOOKED_AT_AGAIN = ("timeout", "crashed", "error", "missing", "unreadable")
"""Statuses of rows that a scan which goes on does not take over: what was wrong may have gone by."""


class Journal:
    """The rows of a scan that is not complete: its settings, then a row per line. A context manager.

    Args:
        out: the index file that the scan writes; ``-``, stdout, has no journal.
        settings: what else the rows depend on, by name.

    Attributes:
        done: status and facts, by root and video, that an interrupted scan with the same settings left.

    Raises:
        ConfigError: an interrupted scan with other settings left it, or one is at work on it.
    """

    def __init__(self, out: str, settings: dict[str, Any]) -> None:
        self.done: dict[tuple[str, str], Row] = {}
        self._path = f"{out}.partial"
        self._file: BinaryIO | None = None
        self._stack = contextlib.ExitStack()
        if out == "-":
            return
        with writing_to(self._path):
            self._file = self._stack.enter_context(open(self._path, "a+b"))  # noqa: SIM115 - closed with the stack
        try:
            self._stack.enter_context(exclusive(self._file))
            good = self._read(self._file, settings)
        except BlockingIOError:
            self._file.close()
            raise ConfigError(f"{self._path}: another process is making {out}; wait for it") from None
        except ConfigError:
            self._stack.close()
            raise
        with writing_to(self._path):
            self._file.truncate(good)
        if not good:
            self._write(self._file, settings)
        elif self.done:
            console.say(f"going on after the {console.some(len(self.done), 'video')} in {self._path}")

    def _read(self, file: BinaryIO, settings: dict[str, Any]) -> int:
        """Take over the rows of an earlier scan; returns the bytes of the file that are good."""
        file.seek(0)
        expected, head = _line(settings), file.readline()
        if head != expected:
            if expected.startswith(head):  # empty, or stopped before there was a row
                return 0
            raise ConfigError(
                f"{self._path}: an interrupted scan left it{_differences(head, settings)}; give that command again to "
                "go on with it, or remove the file to start over"
            )
        good = len(head)
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break  # cut short when the scan was stopped
            self.done[_key(row)] = {name: row.get(name) for name in ("status", "reason", *NO_FACTS)}
            good += len(line)
        self.done = {name: facts for name, facts in self.done.items() if facts["status"] not in LOOKED_AT_AGAIN}
        return good

    def todo(self, rows: Iterable[Row]) -> Iterator[Row | Ready[Row, Row]]:
        """Yield the rows for `run_parallel`: those that were looked at need no worker, and have what was found then."""
        for row in rows:
            found = self.done.get(_key(row))
            yield row if found is None else Ready(row, row | found)

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that come from the workers, and keep those that are new."""
        for row in rows:
            if self._file and _key(row) not in self.done:
                self._write(self._file, row)
            yield row

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._file and error is None:  # FILE is written
            os.unlink(self._path)
        with contextlib.suppress(OSError):  # tries again what a full disk refused, which has been said
            self._stack.close()

    def _write(self, file: BinaryIO, content: dict[str, Any]) -> None:
        with writing_to(self._path):
            file.write(_line(content))
            file.flush()


def _key(row: Row) -> tuple[str, str]:
    """What a video is known by."""
    return row["root"], row["video"]


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _differences(head: bytes, settings: dict[str, Any]) -> str:
    """What a journal's first line says otherwise, in words; empty where it is not understood."""
    try:
        then = json.loads(head)
        told = [f"{name} {then[name]}" for name in settings if then[name] != settings[name]]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" with {', '.join(told)}"
