"""A network looks at the windows of videos, in all of a run's processes: each video in one of them."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rspnet.cli import options
from rspnet.console import progress, say
from rspnet.data.films import FilmDataset, Lanes, Part, PartRequest
from rspnet.data.loader import Loader
from rspnet.data.windows import Windows
from rspnet.evaluation.forward import Forward, Window, windows
from rspnet.running import machine

if TYPE_CHECKING:
    from datasets import Dataset

    from rspnet.running.team import Team


class Viewing:
    """One pass over videos.

    Args:
        forward: the network.
        index: the videos, of which rows are looked at.
        cut: how they become windows.
        team: the processes that share them.

    Attributes:
        number: windows that this process has looked at.
        seconds: that it took.
        waited: of them, in which the network had nothing to do.
    """

    def __init__(self, forward: Forward, index: "Dataset", cut: Windows, *, team: "Team") -> None:
        self._forward = forward
        self._index = index
        self._cut = cut
        self._team = team
        self._unit = "videos" if cut.are_videos else "windows"
        self.number = 0
        self.seconds = self.waited = 0.0

    def __call__(
        self, rows: Sequence[int], data: options.Data, *, clips: int, begun: dict[int, int] | None = None
    ) -> Iterator[Window]:
        """Look at this process's share of the videos, with a progress bar.

        Args:
            rows: of the index.
            data: how to read them.
            clips: of a batch.
            begun: row -> windows of it that are done.

        Yields:
            As `rspnet.evaluation.forward.windows`.
        """
        mine = rows[self._team.rank :: self._team.world_size]
        lanes = Lanes(mine, begun)
        films = FilmDataset(self._index, self._cut, **data.limits())
        loader = Loader(films, lanes, machine.workers(data.num_workers))
        lanes.turns(loader.num_workers)
        started = time.monotonic()
        found = windows(self._forward, self._timed(loader), clips)
        for window in progress(found, self._total(mine, begun or {}), desc=self._unit, unit=self._unit):
            if window.span is None:
                say(f"could not read {window.reason}; status {window.status}", everywhere=True)
            else:
                self.number += 1
            self.seconds = time.monotonic() - started
            yield window

    def speed(self) -> str:
        """How fast this process was, and what held it up, in words."""
        if not self.number:
            return "nothing was read"
        waited = round(100 * self.waited / self.seconds)
        held = "the network" if waited < 50 else "reading the videos (data.num_workers)"
        return (
            f"{self.number / self.seconds:.3g} windows a second; {held} set the pace ({waited} % of the time it waited)"
        )

    def _timed(self, parts: "Loader[PartRequest, Part]") -> Iterator[Part]:
        iterator = iter(parts)
        while True:
            before = time.monotonic()
            part = next(iterator, None)
            self.waited += time.monotonic() - before
            if part is None:
                return
            yield part

    def _total(self, rows: Sequence[int], begun: dict[int, int]) -> int | None:
        """Windows that these rows have, where that is known."""
        if self._cut.are_videos:
            return len(rows)
        rate, total = self._cut.clip.frame_rate, 0
        for row in rows:
            facts = self._index[row]
            if not facts["num_frames"] or not facts["fps"]:
                return None
            frames = facts["num_frames"] if rate is None else int(facts["num_frames"] / facts["fps"] * rate)
            try:
                total += len(self._cut.grid(max(1, frames), rate or facts["fps"])) - begun.get(row, 0)
            except ValueError:
                continue
        return total
