"""Estimate from the first windows of some videos how long all of them take, and how large their features are."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rspnet.cli import options
from rspnet.console import duration, figures, say, some
from rspnet.disk import megabytes
from rspnet.errors import VideoError
from rspnet.running.results import rounded

if TYPE_CHECKING:
    from rspnet.running.viewing import Viewing

WARM_UP, BATCHES = 2, 24
"""Batches of windows that are not timed, and batches that are timed after them."""
PATIENCE = 120.0
"""Seconds after which timing stops, however few windows were timed."""


class _Seen(NamedTuple):
    """Progress of a viewing: its windows, their seconds, and those of the seconds in which the network waited."""

    number: int = 0
    seconds: float = 0.0
    waited: float = 0.0


def preview(
    viewing: "Viewing", rows: Sequence[int], data: options.Data, *, batch: int, shape: Sequence[int]
) -> dict[str, Any]:
    """Time the first windows of this process's part of the videos; print and return an estimate for all.

    Args:
        viewing: the network and the videos.
        rows: of its index.
        data: how to read them.
        batch: as for `Viewing`.
        shape: of a feature.

    Returns:
        The estimate; in a process other than the main one, nothing if it had nothing to read.

    Raises:
        VideoError: the main process could read nothing.
    """
    start, now = _first(viewing, rows, data, batch=batch)
    if not now.number:
        if viewing.team.rank:  # with fewer videos than processes some have none; the main process prints the estimate
            return {}
        raise VideoError(f"nothing of the {some(len(rows), 'video')} could be read; stages/verify.py tells why")
    number, seconds, waited = (after - before for before, after in zip(start, now))
    total, rate = viewing.total(rows, {}), viewing.team.world_size * number / seconds
    bound = "data" if waited > seconds / 2 else "network"
    held = "reading the videos (data.num_workers)" if bound == "data" else "the network"
    found: dict[str, Any] = {"estimate": True, "num_videos": len(rows), "num_windows": total, "num_timed": number}
    found |= {"per_second": rate, "waited": waited / seconds, "bound": bound, "seconds": None, "disk_bytes": None}
    says = [f"{figures(rate)} {viewing.unit} a second ({number} timed); {held} sets the pace"]
    if total is None:
        says.append("the total is unknown without an index that holds the videos' lengths (stages/verify.py)")
    else:
        found |= {"seconds": total / rate, "disk_bytes": 4 * math.prod(shape) * total}
        says.append(f"all {total}: {duration(total / rate)}, {megabytes(found['disk_bytes'])}")
    say(*says)
    return rounded(found)


def _first(viewing: "Viewing", rows: Sequence[int], data: options.Data, *, batch: int) -> tuple[_Seen, _Seen]:
    """Return the progress before the first timed window, and after the last."""
    each, began = viewing.at_once(batch), time.monotonic()
    start = now = _Seen()
    for _ in viewing(rows, data, batch=batch):
        now = _Seen(viewing.number, viewing.seconds, viewing.waited)
        if now.number <= WARM_UP * each:
            start = now
        elif now.number - start.number >= BATCHES * each or time.monotonic() - began > PATIENCE:
            break
    return (_Seen() if start == now else start), now  # too few to leave out a warm-up: all are timed
