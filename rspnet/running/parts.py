"""OUT.parts: the results of several processes that share the work on one OUT, and how they are joined.

A folder on a disk that all of them see. The processes need not run at the same time and do not communicate: each writes
its own part, and the one that finds all parts there joins them.
"""

import contextlib
import hashlib
import json
import marshal
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rspnet.console import say, some
from rspnet.data.rows import Row
from rspnet.disk import make_folder, reading, whole
from rspnet.errors import ConfigError, LostError
from rspnet.lock import locked
from rspnet.running.share import Share
from rspnet.temporary import sweep, temporary

Item = TypeVar("Item")

_PLAN = "shares.json"
_NAMED = 5  # most shares that a message lists


@dataclass
class Seal:
    """The last line of a part, which describes the lines before it.

    Attributes:
        listing: SHA-256 of all rows that the share was taken from.
        total: number of all these rows.
        rows: number of rows in the part.
        sha256: of the lines of the part.
        told: the share's summary.
    """

    listing: str
    total: int
    rows: int
    sha256: str
    told: dict[str, Any]


class Parts:
    """The folder of one job that is done in shares.

    Args:
        out: path of the job's output.

    Attributes:
        folder: its path.
        out: as given.
    """

    def __init__(self, out: str) -> None:
        self.out = out
        self.folder = Path(f"{out}.parts")

    def claim(self, share: Share, stage: str, settings: dict[str, Any]) -> None:
        """Begin a share of a new job, or of the job that is in the folder already.

        Raises:
            ConfigError: the folder holds shares of another job or another number of shares; or it cannot be made.
            DiskError: its disk is full, or read-only.
        """
        make_folder(self.folder, "choose another --out")
        mine = json.loads(json.dumps({"stage": stage, "count": share.count, "settings": settings}))
        with contextlib.suppress(FileExistsError), whole(self.folder / _PLAN, replace=False) as new:
            new.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
        sweep(self.folder)
        try:
            plan = self.plan()
        except FileNotFoundError:  # the shares of the job before have just been joined: this is a new one
            return self.claim(share, stage, settings)
        then, now = ({"stage": each["stage"], "of": each["count"], **each["settings"]} for each in (plan, mine))
        if told := [f"{name} {then.get(name)} (now {now[name]})" for name in now if then.get(name) != now[name]]:
            raise ConfigError(
                f"{self.folder}: holds shares of another job: {', '.join(told)}; give all shares the same command and "
                "count, or remove the folder to start over"
            )

    def are_there(self) -> bool:
        """Return whether a job has begun whose shares are not joined yet."""
        return (self.folder / _PLAN).exists()

    def plan(self) -> dict[str, Any]:
        """Return the plan of the job: its ``stage``, the ``count`` of its shares and its ``settings``.

        Raises:
            ConfigError: the plan is damaged.
            FileNotFoundError: there is no job, or its shares have been joined.
        """
        path = self.folder / _PLAN
        os.stat(path)
        with reading(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        try:
            plan: dict[str, Any] = json.loads(text)
            if {"stage": str, "count": int, "settings": dict} == {name: type(plan[name]) for name in plan}:
                return plan
        except (ValueError, TypeError, RecursionError):
            pass
        raise ConfigError(f"{path}: is damaged; remove the folder to start over")

    def path(self, share: Share) -> Path:
        """Return the path of a share's part."""
        return self.folder / f"{share.number}-of-{share.count}.jsonl"

    def missing(self) -> list[Share]:
        """Return the shares that are not done."""
        count = self.plan()["count"]
        there = set(os.listdir(self.folder))
        shares = (Share(number, count) for number in range(1, count + 1))
        return [share for share in shares if self.path(share).name not in there]

    def write(
        self, share: Share, rows: Iterable[tuple[int, Row]], told: Callable[[], dict[str, Any]], *, listing: "Listing"
    ) -> dict[str, Any]:
        """Write a part, whole or not at all, and return the share's summary.

        Args:
            share: the share.
            rows: each with its position among all rows.
            told: returns the share's summary; called when all rows are written.
            listing: of all rows.

        Raises:
            LostError: the folder was removed.
        """
        digest, number = hashlib.sha256(), 0
        if not self.are_there():  # the other shares were joined with an earlier part of this one
            raise LostError.of(self.folder)
        with whole(self.path(share)) as new, open(new, "wb") as file:
            for placed in rows:
                number += 1
                line = json.dumps(placed).encode() + b"\n"
                digest.update(line)
                file.write(line)
            seal = Seal(listing.digest, listing.total, number, digest.hexdigest(), told())
            file.write(json.dumps(seal.__dict__).encode() + b"\n")
            if not self.are_there():
                raise LostError.of(self.folder)
        return seal.told

    def read(self, share: Share) -> tuple[Seal, list[tuple[int, Row]]]:
        """Return the seal of a part, and its rows with their positions among all rows.

        Raises:
            FileNotFoundError: there is no part of this share.
            ConfigError: it is damaged or cannot be read.
        """
        path = self.path(share)
        path.stat()  # a missing part is no mistake: another process may just have joined them
        with reading(path):
            content = path.read_bytes()
        try:
            *lines, last = content.splitlines(keepends=True)
            seal = Seal(**json.loads(last))
            if hashlib.sha256(b"".join(lines)).hexdigest() != seal.sha256:
                raise ValueError
            rows = [(int(place), row) for place, row in map(json.loads, lines)]
        except (ValueError, TypeError, RecursionError):
            raise ConfigError(f"{path}: is damaged; remove it, and do share {share} again") from None
        return seal, rows

    def joined(self, newest: Share | None = None) -> tuple[list[Row], list[dict[str, Any]]]:
        """Return all rows, in the order in which a single process would have them, and the summaries of the shares.

        Args:
            newest: the share that has just been compared with the videos; None: the one that was written last.

        Raises:
            ConfigError: shares are missing, damaged or were made from different videos; the message names them.
            FileNotFoundError: another process has just joined them.
        """
        count = self.plan()["count"]
        if missing := self.missing():
            raise ConfigError(
                f"{self.folder}: not done: {named(missing)}; run what is missing (--share {missing[0]}), then "
                f"stages/merge.py {self.out}"
            )
        shares = [Share(number, count) for number in range(1, count + 1)]
        newest = newest or max(shares, key=lambda share: self.path(share).stat().st_mtime_ns)
        seals, placed = list[Seal](), list[tuple[int, Row]]()
        for share in shares:
            seal, rows = self.read(share)
            seals.append(seal)
            placed += rows
        now = seals[newest.number - 1]
        if others := [share for share, seal in zip(shares, seals) if seal.listing != now.listing]:
            then = seals[others[0].number - 1]
            raise ConfigError(
                f"{self.folder}: {named(others)} had other videos than share {newest}, the newest ("
                f"{some(then.total, 'video')} then and {now.total} now, or the same with other facts); run the older "
                f"again (--share {others[0]})"
            )
        placed.sort(key=lambda each: each[0])
        if [place for place, _ in placed] != list(range(now.total)):
            raise ConfigError(
                f"{self.folder}: its parts do not contain each video exactly once; remove the folder to start over"
            )
        return [row for _, row in placed], [seal.told for seal in seals]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the process that joins the parts.

        Raises:
            BlockingIOError: another process is joining them.
            FileNotFoundError: another process has joined them.
        """
        with locked(self.folder / _PLAN):
            if not self.are_there():
                raise FileNotFoundError(self.folder)
            yield

    def remove(self) -> None:
        """Remove the folder in one move: half of it would look like an unfinished job."""
        aside = self.folder.rename(temporary(self.folder))
        shutil.rmtree(aside, ignore_errors=True)  # another process that sweeps here may be removing it, too


def named(shares: list[Share]) -> str:
    """``share 3/64``, ``shares 3, 4 of 64``."""
    if len(shares) == 1:
        return f"share {shares[0]}"
    numbers = ", ".join(str(share.number) for share in shares[:_NAMED])
    more = f" and {len(shares) - _NAMED} more" if len(shares) > _NAMED else ""
    return f"shares {numbers}{more} of {shares[0].count}"


class Listing:
    """A digest of all rows that a share is taken from, and how many there are.

    Args:
        rows: all of them.
        share: the share whose rows are counted.

    Attributes:
        digest: SHA-256 of the rows.
        total: number of rows.
        own: number of the rows that are in the share.
    """

    def __init__(self, rows: Iterable[Row], share: Share) -> None:
        digest = hashlib.sha256()
        self.total = self.own = 0
        for row in rows:
            digest.update(marshal.dumps(row, 2))
            self.total += 1
            self.own += share.has(row["video"])
        self.digest = digest.hexdigest()


class Part:
    """This process's share of a job that is begun or continued.

    Args:
        parts: the job's folder, claimed.
        share: the share.
        rows: all rows; read to their end here, so the caller needs them anew.

    Attributes:
        parts: as given.
        share: likewise.
        place: prefix of the paths of what the share writes beside its part.
        total: number of its rows.
        known: rows of the part that is there already, if any, even if the list of videos has changed since.
        is_done: whether that part was made from exactly these rows.
        told: its summary, if there is a part.
    """

    def __init__(self, parts: Parts, share: Share, rows: Iterable[Row]) -> None:
        self.parts, self.share = parts, share
        self.place = str(parts.path(share).with_suffix(""))
        self._listing = Listing(rows, share)
        self.total = self._listing.own
        self._places: list[int] = []
        self.known: list[Row] = []
        self.is_done = False
        self.told: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            try:
                seal, placed = parts.read(share)
            except ConfigError:
                say(f"{parts.path(share)}: is damaged; share {share} is done again", everywhere=True)
            else:
                self.is_done = seal.listing == self._listing.digest
                self.known, self.told = [row for _, row in placed], seal.told

    def mine(self, items: Iterable[Item], row_of: Callable[[Item], Row]) -> Iterator[Item]:
        """Yield the items of this share, in order; `write` expects one row for each."""
        for place, item in enumerate(items):
            if self.share.has(row_of(item)["video"]):
                self._places.append(place)
                yield item

    def write(self, rows: Iterable[Row], told: Callable[[], dict[str, Any]]) -> None:
        """Write the part; see `Parts.write`.

        Args:
            rows: one for each item that `mine` yielded, in that order.
            told: returns the summary.
        """
        placed = ((self._places[number], row) for number, row in enumerate(rows))
        self.told = self.parts.write(self.share, placed, told, listing=self._listing)
