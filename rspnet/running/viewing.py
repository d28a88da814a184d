"""Run a network over the windows of videos, in all processes of a run: each video in one of them."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

from rspnet.cli import options
from rspnet.console import progress, say, some
from rspnet.data.films import FilmDataset
from rspnet.data.lanes import Lanes
from rspnet.data.loader import Loader
from rspnet.data.parts import Part, PartRequest
from rspnet.data.windows import Windows
from rspnet.errors import RSPNetError
from rspnet.evaluation.forward import Forward, Window, windows
from rspnet.evaluation.predict import NOT_FINITE
from rspnet.running import machine
from rspnet.running.seen import Seen
from rspnet.running.share import ALL

if TYPE_CHECKING:
    from datasets import Dataset

    from rspnet.running.shelf import Shelf
    from rspnet.running.team import Team

_MANY = 1000  # so many videos keep all processes busy, each with its own; the sizes of further files are not looked up
_PIECE = 4_000_000  # bytes of a film that take a process some seconds to read


class Viewing:
    """One pass of a network over videos.

    Args:
        forward: the network.
        index: the videos, to which row numbers refer.
        cut: how videos are cut into windows.
        team: the processes that share the videos.

    Attributes:
        number: windows that this process has done.
        unit: what they are: ``windows``, or whole ``videos``.
        team: as given.
        seconds: that these took.
        waited: those of the seconds in which the network waited for data.
    """

    def __init__(self, forward: Forward, index: "Dataset", cut: Windows, *, team: "Team") -> None:
        self._forward = forward
        self._index = index
        self._cut = cut
        self.team = team
        self.unit = "videos" if cut.are_videos else "windows"
        self.number = 0
        self.seconds = self.waited = 0.0

    def __call__(
        self,
        rows: Sequence[int],
        data: options.Data,
        *,
        batch: int,
        missing: Mapping[int, Sequence[tuple[int, int]]] | None = None,
    ) -> Iterator[Window]:
        """Run the network over this process's part of the videos, with a progress bar.

        Args:
            rows: of the index, for all processes.
            data: how to read them.
            batch: whole videos at a time in each process; or as many windows as have the same number of clips.
            missing: row -> ranges (first, stop) of the windows that are wanted, if not all of them are.

        Yields:
            As `rspnet.evaluation.forward.windows`.

        Raises:
            FloatingPointError: an output is not finite.
        """
        mine = rows[self.team.rank :: self.team.world_size]
        clips = batch * self._cut.clip.views
        films = FilmDataset(self._index, self._cut, clips=clips, **data.limits())
        lanes = Lanes(mine, missing, parts=None if self._cut.are_videos else self._parts(mine))
        loader = Loader(films, lanes, machine.workers(data.num_workers))
        lanes.turns(loader.num_workers)
        started = time.monotonic()
        found = windows(self._forward, self._timed(loader), clips)
        for window in progress(found, self.total(mine, missing or {}), desc=self.unit, unit=self.unit):
            if window.span is None:
                say(f"could not read {window.reason}; status {window.status}", everywhere=True)
            elif not window.value.isfinite().all():
                raise FloatingPointError(f"{self._index[window.row]['video']}: {NOT_FINITE}")
            else:
                self.number += 1
            self.seconds = time.monotonic() - started
            yield window

    def onto(
        self,
        shelf: "Shelf",
        rows: Sequence[int],
        untried: Sequence[tuple[int, str]],
        *,
        data: options.Data,
        batch: int,
    ) -> bool:
        """Do the windows that a shelf lacks of its share of these videos, in all processes together; see `__call__`.

        Args:
            shelf: keeps the windows.
            rows: as for `__call__`, of all shares.
            untried: row and status of videos that are not read, for the message.
            data: as for `__call__`.
            batch: likewise.

        Returns:
            Whether all shares are done, and these processes are to write what is kept.

        Raises:
            RSPNetError: a process could not go on; raised in all of them.
        """
        videos, share = self._index["video"], shelf.share
        mine = [row for row in rows if share.has(videos[row])] if share != ALL else rows
        say(self.described(mine, untried))
        self._fill(shelf, [row for row in mine if shelf.missing.get(row) != []], data, batch=batch)
        if not self.team.by_main(shelf.is_last):
            return False
        if share != ALL:  # windows that were lost with a damaged file of another share
            self._fill(shelf, shelf.lacking(rows), data, batch=batch)
        return True

    def _fill(self, shelf: "Shelf", rows: Sequence[int], data: options.Data, *, batch: int) -> None:
        mistake: RSPNetError | None = None
        try:
            for window in self(rows, data, batch=batch, missing=shelf.missing) if rows else ():
                shelf.add(window)
            shelf.flush()
        except RSPNetError as error:
            mistake = error
        self.team.check(mistake)

    def in_order(
        self, rows: Sequence[int], untried: Sequence[tuple[int, str]], data: options.Data, *, batch: int
    ) -> Iterator[Window]:
        """Run the network over these videos, in all processes together, and yield windows in the order of the index.

        A single process yields each as soon as its turn comes; of several, the main one yields all of them at the end.

        Args:
            rows: as for `__call__`.
            untried: row and status of videos that are not read; each gives a window without a span.
            data: as for `__call__`.
            batch: likewise.

        Raises:
            RSPNetError: a process could not go on; raised in all of them.
        """
        waiting = {row: Seen[Window]() for row in sorted([*rows, *(row for row, _ in untried)])}
        for row, status in untried:
            waiting[row].add(0, Window(row, 0, None, torch.empty(0), 0, status), failed=True)
        found = self(rows, data, batch=batch)
        for window in found if self.team.world_size == 1 else self._everyones(found):
            waiting[window.row].add(window.number, window, failed=window.span is None, total=window.total)
            while waiting and waiting[first := next(iter(waiting))].is_whole:
                yield from waiting.pop(first)
        if self.team.rank == 0:  # of videos that were not tried
            yield from (window for seen in waiting.values() for window in seen)

    def _everyones(self, found: Iterator[Window]) -> Iterator[Window]:
        mistake: RSPNetError | None = None
        mine = list[Window]()
        try:
            mine = list(found)
        except RSPNetError as error:
            mistake = error
        self.team.check(mistake)
        everybodys = self.team.everyones(mine)
        if self.team.rank == 0:
            yield from (window for windows_of_one in everybodys for window in windows_of_one)

    def described(self, rows: Sequence[int], untried: Sequence[tuple[int, str]]) -> str:
        """Return in words what the network is run over.

        Args:
            rows: of the index.
            untried: row and status of videos that are not read.
        """
        clip, counts = self._cut.clip, Counter(status for _, status in untried).most_common()
        unread = f" (not read: {', '.join(f'{number} {status}' for status, number in counts)})" if counts else ""
        what = f"whole videos, {some(clip.views, 'clip')} each" if self._cut.are_videos else f"windows of {self._cut}"
        precision = "" if self._forward.precision == "no" else f", in {self._forward.precision}"
        fed = f"{some(clip.num_frames, 'frame')} a clip, central crop {clip.size}{precision}"
        return f"{some(len(rows), 'video')}{unread}: {what}, {fed}"

    def speed(self) -> str:
        """Return in words how fast this process was, and what limited its speed."""
        if not self.number:
            return "nothing was read"
        place = "" if self.team.world_size == 1 else f" in each of {self.team.world_size} processes"
        waited = round(100 * self.waited / self.seconds)
        held = "the network" if waited < 50 else "reading the videos (data.num_workers)"
        speed = f"{self.number / self.seconds:.3g} {self.unit} a second{place}"
        return f"{speed}; {held} set the pace ({waited} % of the time went into waiting for data)"

    def _timed(self, parts: "Loader[PartRequest, Part]") -> Iterator[Part]:
        iterator = iter(parts)
        while True:
            before = time.monotonic()
            part = next(iterator, None)
            self.waited += time.monotonic() - before
            if part is None:
                return
            yield part

    def at_once(self, batch: int) -> int:
        """Return how many windows, or whole videos, the network gets at a time, if a batch has so many videos."""
        return batch if self._cut.are_videos else batch * self._cut.clip.views

    def total(self, rows: Sequence[int], missing: Mapping[int, Sequence[tuple[int, int]]]) -> int | None:
        """Return how many windows these rows have, or lack according to `missing`; None if unknown.

        Args:
            rows: of the index.
            missing: as for `__call__`.
        """
        if self._cut.are_videos:
            return len(rows)
        total = 0
        for row in rows:
            if row in missing:
                total += sum(stop - first for first, stop in missing[row])
            elif (number := self._number(row)) is None:
                return None
            else:
                total += number
        return total

    def _number(self, row: int) -> int | None:
        """Return the number of windows of a video; None if the index lacks its length or frame rate."""
        facts, rate = self._index[row], self._cut.clip.frame_rate
        if not facts["num_frames"] or not facts["fps"]:
            return None
        frames = facts["num_frames"] if rate is None else int(facts["num_frames"] / facts["fps"] * rate)
        try:
            return len(self._cut.grid(max(1, frames), rate or facts["fps"]))
        except ValueError:
            return 0

    def _parts(self, rows: Sequence[int]) -> int:
        """Return into about how many parts the reading can be split."""
        total = 0
        for row in rows[:_MANY]:
            facts = self._index[row]
            path = os.path.join(facts["root"], facts["video"])
            with suppress(OSError):
                total += -(-os.path.getsize(path) // _PIECE)
        return total
