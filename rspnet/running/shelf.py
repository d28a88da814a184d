"""OUT.partial: the windows that a stage which writes OUT has done so far, so that an interrupted one goes on.

A folder of Arrow files, each whole and named after its content. Any number of processes add to it, and what they added
is mapped rather than read into memory. The processes of one run work together; runs that have a share of the videos
each write side by side, and the last one has the folder to itself.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from rspnet.console import say, some
from rspnet.disk import make_folder, reading, whole, write_json
from rspnet.errors import ConfigError, LostError
from rspnet.evaluation.made import differing
from rspnet.running.hold import LOCK, Hold
from rspnet.running.parts import named
from rspnet.running.seen import Seen
from rspnet.running.share import ALL, Share
from rspnet.signals import tell_what_is_kept
from rspnet.temporary import names_in, sweep, temporary

if TYPE_CHECKING:
    from rspnet.evaluation.forward import Window
    from rspnet.running.team import Team

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the list of videos
        ("number", pa.int64()),  # of the window
        ("total", pa.int64()),  # windows of the video
        ("status", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("start_frame", pa.int64()),
        ("end_frame", pa.int64()),
        ("value", pa.list_(pa.float32())),
    ]
)
"""Columns of the kept windows."""

_BEHIND_NAMES = {"videos": "videos", "weights_sha256": "weights"}
"""Settings that may change although the command is the same, and what they stand for."""

_SETTINGS, _DONE = "settings.json", ".done"
_SECONDS, _MOST = 20.0, 4096  # between two files: seconds, and windows
_AT_ONCE = 1024  # windows in a table of `in_order`


class Shelf:
    """The folder, held by a run of the stage; a context manager, to be created in all processes of the run.

    Args:
        out: what the stage writes.
        settings: what the windows depend on, by name.
        team: the processes.
        share: the share of the videos that they have.
        known: returns windows (tables of `SCHEMA`) that a new folder begins with.

    Attributes:
        share: as given.
        missing: row -> ranges (first, stop) of its windows that are not kept, for rows of which some window is.

    Raises:
        ConfigError: another process holds it, it was begun with other settings, or it cannot be written to.
        DiskError: its disk is full, or read-only.
    """

    def __init__(
        self,
        out: str,
        settings: dict[str, Any],
        team: "Team",
        *,
        share: Share = ALL,
        known: Callable[[], Iterable[pa.Table]] = tuple,
    ) -> None:
        self.folder = Path(f"{out.rstrip('/')}.partial")
        self.share = share
        self.missing: dict[int, list[tuple[int, int]]] = {}
        self._team = team
        self._rows: list[dict[str, Any]] = []
        self._written = time.monotonic()
        self._hold = Hold(self.folder)
        try:
            team.by_main(lambda: self._claim(settings, known))
            seen = self.folder.is_dir()
            team.check(
                None if seen else ConfigError(f"{self.folder}: this process cannot see it; put --out on a shared disk")
            )
            kept = self._look()
        except BaseException:
            self._hold.release()
            raise
        if kept:
            say(f"going on after the {some(kept, 'window')} in {self.folder}")

    def _claim(self, settings: dict[str, Any], known: Callable[[], Iterable[pa.Table]]) -> None:
        """Hold the folder, and check that it was begun with these settings."""
        told = self.folder / _SETTINGS
        settings = json.loads(json.dumps(settings))
        if self.share != ALL:
            self._hold.beside(lambda: self._begin(settings, known), told.exists)
        else:
            make_folder(self.folder, "choose another --out")
            try:
                self._hold.alone()
            except BlockingIOError:
                raise ConfigError(f"{self.folder}: another process is at it; wait for it") from None
            if not told.exists():
                self._begin(settings, known)
        sweep(self.folder, self.folder.parent, self.folder.with_suffix(""))  # also in OUT, which may be a folder
        try:
            then = json.loads(told.read_text(encoding="utf-8"))
            others = differing({name: then[name] for name in settings}, settings)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise ConfigError(f"{told}: is damaged; remove {self.folder} to start over") from None
        if others:
            name = others[0]
            if name in _BEHIND_NAMES:
                raise ConfigError(
                    f"{self.folder}: was left by an interrupted run, and the {_BEHIND_NAMES[name]} have changed since; "
                    "put them back to continue it, or remove the folder to start over"
                )
            raise ConfigError(
                f"{self.folder}: was left by an interrupted run with another {name} ({_short(then[name])}, now "
                f"{_short(settings[name])}); give that command again to continue it, or remove the folder to start over"
            )

    def _begin(self, settings: dict[str, Any], known: Callable[[], Iterable[pa.Table]]) -> None:
        ours = {".arrow", _DONE}
        strange = {name for name in names_in(self.folder) - {LOCK} if Path(name).suffix not in ours}
        if strange:
            raise ConfigError(f"{self.folder}: holds {min(strange)}, which is not from rspnet; choose another --out")
        for path in self.folder.iterdir():
            if path.name != LOCK:
                path.unlink()
        for table in known():
            self._put(table)
        write_json(self.folder / _SETTINGS, settings)

    def _look(self) -> int:
        """Find the `missing` windows, and return how many are kept; a video that could not be read is tried again."""
        table = self._table(complain=True).select(["row", "number", "total", "status"])
        good = table.filter(pc.equal(table["status"], "ok")).sort_by([("row", "ascending"), ("number", "ascending")])
        seen: dict[int, tuple[int, int]] = {}  # row -> number after its last window so far, and its total
        kept = 0
        for row, number, total in zip(*(good[name].to_pylist() for name in ("row", "number", "total"))):
            expected, _ = seen.setdefault(row, (0, total))
            if number > expected:
                self.missing.setdefault(row, []).append((expected, number))
            kept += number >= expected
            seen[row] = number + 1, total
        for row, span in seen.items():
            self.missing.setdefault(row, []).extend([span] if span[0] < span[1] else [])
        return kept

    def add(self, window: "Window") -> None:
        """Add a window; from time to time those added are written."""
        span = window.span
        fields = {} if span is None else {**span._asdict(), "value": window.value.numpy()}
        known = {"row": window.row, "number": window.number, "total": window.total, "status": window.status}
        self._rows.append(known | fields)
        if len(self._rows) >= _MOST or time.monotonic() - self._written > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the windows that were added since the last time.

        Raises:
            LostError: the folder is gone.
        """
        self._written = time.monotonic()
        if not self._rows:
            return
        self._check_there()
        columns = [pa.array([row.get(field.name) for row in self._rows], field.type) for field in SCHEMA]
        self._put(pa.table(columns, schema=SCHEMA))
        self._rows.clear()

    def _put(self, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_table(table)
        content = sink.getvalue()
        with whole(self.folder / f"{hashlib.sha256(content).hexdigest()[:16]}.arrow") as part:
            part.write_bytes(content)

    def is_last(self) -> bool:
        """Return whether all shares are done and this process holds the folder alone; if not, print why.

        Main process only. A share that is run again holds the folder until it is done.
        """
        if self.share == ALL:
            return True
        self._check_there()
        self._mark(self.share).touch()
        # Released first: a process that has yet to look must not hold off another one that sees that all are done.
        self._hold.release()
        shares = (Share(number, self.share.count) for number in range(1, self.share.count + 1))
        if missing := [share for share in shares if not self._mark(share).exists()]:
            say(f"share {self.share} is done; to come: {named(missing)}", everywhere=True)
            return False
        try:
            self._hold.alone()
        except BlockingIOError:
            say(f"share {self.share} is done; another process writes the output", everywhere=True)
            return False
        return True

    def _mark(self, share: Share) -> Path:
        return self.folder / f"{share.number}-of-{share.count}{_DONE}"

    def lacking(self, rows: Iterable[int]) -> list[int]:
        """Return those of the rows that lack windows by now, except videos that could not be read."""
        self.missing.clear()
        self._look()
        table = self._table().select(["row", "status"])
        failed = set(table.filter(pc.not_equal(table["status"], "ok"))["row"].to_pylist())
        return [row for row in rows if self.missing.get(row) != [] and row not in failed]

    def in_order(self, videos: Iterable[tuple[int, str]]) -> Iterator[pa.Table]:
        """Yield all windows in the order of rows and numbers, some at a time; main process only.

        Args:
            videos: row and status of videos that were not tried; each gives a window without a span.
        """
        self._check_there()
        columns = [list(column) for column in zip(*videos)] or [[], []]
        number = len(columns[0])
        untried = {"row": columns[0], "number": [0] * number, "total": [0] * number, "status": columns[1]}
        blank = {name: [None] * number for name in SCHEMA.names if name not in untried}
        table = pa.concat_tables([self._table(), pa.table(untried | blank, schema=SCHEMA)])
        ends = table.select(["row", "number", "status"]).append_column("place", pa.array(range(len(table)), pa.int64()))
        ends = ends.sort_by([(name, "ascending") for name in ("row", "number", "status")])
        kept = list[int]()
        for _, windows in groupby(zip(*(column.to_pylist() for column in ends.columns)), itemgetter(0)):
            seen = Seen[int]()
            for _, number, status, place in windows:
                seen.add(number, place, failed=status != "ok")
            kept += seen
        for start in range(0, len(kept), _AT_ONCE):
            yield table.take(pa.array(kept[start : start + _AT_ONCE], pa.int64()))

    def _check_there(self) -> None:
        """Check that the folder is still there: windows that were lost with it would be missing in OUT."""
        if not (self.folder / _SETTINGS).is_file():
            raise LostError.of(self.folder)

    def _table(self, complain: bool = False) -> pa.Table:
        """Return what is kept as a mapped table; damaged files are left out, and removed by the main process.

        Raises:
            ConfigError, MachineError: a file cannot be opened now, which does not mean that it is damaged.
        """
        parts = []
        with reading(self.folder):
            for path in sorted(self.folder.glob("*.arrow")):
                try:
                    content = pa.memory_map(str(path)).read_buffer()
                    if hashlib.sha256(content).hexdigest()[:16] != path.stem:
                        raise ValueError
                    parts.append(pa.ipc.open_file(content).read_all())
                except FileNotFoundError:  # damaged, and removed by the main process meanwhile
                    continue
                except (ValueError, pa.ArrowException):
                    if complain:
                        say(f"{path}: is damaged; its windows are computed again")
                    if self._team.rank == 0:
                        path.unlink(missing_ok=True)
        return pa.concat_tables(parts) if parts else SCHEMA.empty_table()

    def remove(self) -> None:
        """Remove the folder once OUT is written; main process only."""
        aside = self.folder.rename(temporary(self.folder))  # in one move: what is half removed would look unfinished
        self._hold.release()
        shutil.rmtree(aside, ignore_errors=True)  # NFS keeps names of files that are still open or mapped

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):  # the folder was removed: OUT is written
                self.flush()
        finally:
            self._hold.release()
        tell_what_is_kept(error, self.folder)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
