"""OUT.parts: what each of several processes found out for one OUT, and OUT made of it.

A folder on a disk that all of them see. The processes need not run at one time and do not talk to each other: each
writes its own part, and whoever finds all of them there joins them.
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
from rspnet.errors import ConfigError
from rspnet.lock import locked
from rspnet.running.share import Share
from rspnet.temporary import put, sweep, temporary

Item = TypeVar("Item")

_PLAN = "shares.json"
_NAMED = 5  # shares that a message names


@dataclass
class Seal:
    """What a part says of itself.

    Attributes:
        listing: SHA-256 of all rows that the share was taken from.
        total: their number.
        rows: number of those that are in the part.
        sha256: of these.
        told: the share's summary.
    """

    listing: str
    total: int
    rows: int
    sha256: str
    told: dict[str, Any]


class Parts:
    """The folder of one work.

    Args:
        out: what the work makes.

    Attributes:
        folder: its path.
        out: as given.
    """

    def __init__(self, out: str) -> None:
        self.out = out
        self.folder = Path(f"{out}.parts")

    def claim(self, share: Share, stage: str, settings: dict[str, Any]) -> None:
        """Begin a share of a work, which is the first or of the same work as the others.

        Raises:
            ConfigError: the shares that are there are of another number, or of another work; or the folder cannot be
                made.
            DiskError: its disk is full, or read-only.
        """
        make_folder(self.folder, "choose another --out")
        mine = json.loads(json.dumps({"stage": stage, "count": share.count, "settings": settings}))
        with contextlib.suppress(FileExistsError), whole(self.folder / _PLAN, replace=False) as new:
            new.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
        sweep(self.folder)
        try:
            plan = self.plan()
        except FileNotFoundError:  # others have just joined theirs: this is a new work
            return self.claim(share, stage, settings)
        then, now = ({"stage": each["stage"], "of": each["count"], **each["settings"]} for each in (plan, mine))
        if told := [f"{name} {then.get(name)} (now {now[name]})" for name in now if then.get(name) != now[name]]:
            raise ConfigError(
                f"{self.folder}: holds shares of another work: {', '.join(told)}; give all shares the same command and "
                "number, or remove the folder to start over"
            )

    def are_there(self) -> bool:
        """Whether a work has begun and is not joined."""
        return (self.folder / _PLAN).exists()

    def plan(self) -> dict[str, Any]:
        """What the work is: ``stage``, ``count`` of the shares, ``settings``.

        Raises:
            ConfigError: it is not told.
            FileNotFoundError: there is no work, or not any more.
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
        """The name of a part."""
        return self.folder / f"{share.number}-of-{share.count}.jsonl"

    def missing(self) -> list[Share]:
        """The shares that are not done."""
        count = self.plan()["count"]
        there = set(os.listdir(self.folder))
        shares = (Share(number, count) for number in range(1, count + 1))
        return [share for share in shares if self.path(share).name not in there]

    def write(
        self, share: Share, rows: Iterable[tuple[int, Row]], told: Callable[[], dict[str, Any]], *, listing: "Listing"
    ) -> dict[str, Any]:
        """Write a part, whole or not at all; returns the share's summary.

        Args:
            share: which.
            rows: each with its place among all rows.
            told: the share's summary; asked for when the rows have been taken.
            listing: of all rows.
        """
        digest, number = hashlib.sha256(), 0
        with whole(self.path(share)) as new, open(new, "wb") as file:
            for placed in rows:
                number += 1
                line = json.dumps(placed).encode() + b"\n"
                digest.update(line)
                file.write(line)
            seal = Seal(listing.digest, listing.total, number, digest.hexdigest(), told())
            file.write(json.dumps(seal.__dict__).encode() + b"\n")
        return seal.told

    def read(self, share: Share) -> tuple[Seal, list[tuple[int, Row]]]:
        """The seal of a part, and its rows with their places.

        Raises:
            FileNotFoundError: there is none.
            ConfigError: it is damaged.
        """
        path = self.path(share)
        try:
            *lines, last = path.read_bytes().splitlines(keepends=True)
            seal = Seal(**json.loads(last))
            if hashlib.sha256(b"".join(lines)).hexdigest() != seal.sha256:
                raise ValueError
            rows = [(int(place), row) for place, row in map(json.loads, lines)]
        except (ValueError, TypeError, RecursionError):
            raise ConfigError(f"{path}: is damaged; remove it, and do share {share} again") from None
        return seal, rows

    def joined(self) -> tuple[list[Row], list[dict[str, Any]]]:
        """All rows in the order in which one process would have them, and the summaries of the shares.

        Raises:
            ConfigError: shares are missing, damaged, or do not fit each other; says which.
            FileNotFoundError: another process has just joined them.
        """
        count = self.plan()["count"]
        if missing := self.missing():
            raise ConfigError(
                f"{self.folder}: not done: {named(missing)}; do what is missing (--share {missing[0]}), then "
                f"stages/merge.py {self.out}"
            )
        shares = [Share(number, count) for number in range(1, count + 1)]
        newest = max(shares, key=lambda share: self.path(share).stat().st_mtime_ns)
        seals, placed = list[Seal](), list[tuple[int, Row]]()
        for share in shares:
            seal, rows = self.read(share)
            seals.append(seal)
            placed += rows
        now = seals[newest.number - 1]
        if others := [share for share, seal in zip(shares, seals) if seal.listing != now.listing]:
            then = seals[others[0].number - 1]
            raise ConfigError(
                f"{self.folder}: {named(others)} had other videos than share {newest}, which was done last (of "
                f"{some(then.total, 'video')} and of {now.total}, or something else is known of them); do again what "
                f"is older (--share {others[0]})"
            )
        placed.sort(key=lambda each: each[0])
        if [place for place, _ in placed] != list(range(now.total)):
            raise ConfigError(f"{self.folder}: its parts have not each video once; remove the folder to start over")
        return [row for _, row in placed], [seal.told for seal in seals]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be the one who joins the parts.

        Raises:
            BlockingIOError: another process is at it.
            FileNotFoundError: another process has done it.
        """
        with locked(self.folder / _PLAN):
            if not self.are_there():
                raise FileNotFoundError(self.folder)
            yield

    def remove(self) -> None:
        """Take the folder away, in one move: half of it would look like a work that is not done."""
        aside = temporary(self.folder)
        put(self.folder, aside, over=False)
        shutil.rmtree(aside, ignore_errors=True)  # a process that sweeps the place may be at it, too


def named(shares: list[Share]) -> str:
    """``share 3/64``, ``shares 3, 4 of 64``."""
    if len(shares) == 1:
        return f"share {shares[0]}"
    numbers = ", ".join(str(share.number) for share in shares[:_NAMED])
    more = f" and {len(shares) - _NAMED} more" if len(shares) > _NAMED else ""
    return f"shares {numbers}{more} of {shares[0].count}"


class Listing:
    """What all rows are that a share is taken from.

    Args:
        rows: all of them.
        share: of which some are counted.

    Attributes:
        digest: SHA-256 of the rows.
        total: their number.
        own: number of those of the share.
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
    """This process's share of a work that it begins or goes on with.

    Args:
        parts: the work's folder, claimed.
        share: which.
        rows: all rows; they are asked for again.

    Attributes:
        parts: as given.
        share: likewise.
        place: name for what the share writes beside its part.
        total: number of its rows.
        known: rows of it that were found out before there were others.
        is_done: whether it has been done, of just these rows.
        told: its summary, when it is done.
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
            except ConfigError as error:
                say(f"{error}: it is done again", everywhere=True)
            else:
                self.is_done = seal.listing == self._listing.digest
                self.known, self.told = [row for _, row in placed], seal.told

    def mine(self, items: Iterable[Item], row_of: Callable[[Item], Row]) -> Iterator[Item]:
        """Of all items those of this share, each of which is written in its turn."""
        for place, item in enumerate(items):
            if self.share.has(row_of(item)["video"]):
                self._places.append(place)
                yield item

    def write(self, rows: Iterable[Row], told: Callable[[], dict[str, Any]]) -> None:
        """Write the part; see `Parts.write`.

        Args:
            rows: as many as `mine` gave out, in that order.
            told: the summary.
        """
        placed = ((self._places[number], row) for number, row in enumerate(rows))
        self.told = self.parts.write(self.share, placed, told, listing=self._listing)
