"""Which videos of many are looked at: those that are named, or some that are drawn."""

import difflib
import os
from collections.abc import Sequence

import numpy as np

from rspnet.data import fetched
from rspnet.data.index import is_index
from rspnet.data.remote import is_remote
from rspnet.data.rows import USABLE, Row
from rspnet.data.source import read_sources
from rspnet.errors import ConfigError, VideoError

FEW = 8
"""Videos that are drawn of a folder or an index unless another number is asked for."""


def chosen(sources: Sequence[str], layout: str, *, names: Sequence[str], number: int | None, seed: int) -> list[Row]:
    """Find videos and choose some.

    Args:
        sources: as for `read_sources`.
        layout: likewise.
        names: of those that are chosen; none: they are drawn.
        number: how many are drawn; None: `FEW`, or all where each source is a single file.
        seed: of the draw.

    Raises:
        ConfigError: there is no video, none of a name, or none that can be used.
    """
    rows = read_sources(sources, layout)
    if names:
        return named(rows, names)
    if number is None and not any(is_index(source) or is_remote(source) or os.path.isdir(source) for source in sources):
        return rows
    return drawn(rows, number or FEW, seed)


def check_usable(row: Row) -> None:
    """See that nobody has found a video to be damaged.

    Raises:
        VideoError: somebody has.
    """
    if row["status"] not in USABLE:
        raise VideoError(f"{row['video']}: is {row['status']} by its index ({row['reason']})")


def status_of(row: Row, error: VideoError) -> str:
    """In a word why a video is not looked at: what its index calls it, else timeout, missing or broken.

    Args:
        row: of the video.
        error: what came of it.
    """
    if row["status"] not in USABLE:
        return str(row["status"])
    return fetched.status_of(row, error)


def named(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The videos of these names, in their order, each once.

    Args:
        rows: of all videos.
        names: as the rows have them, or paths that lead to them.

    Raises:
        ConfigError: there is none of a name.
    """
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        for name in {row["video"], os.path.realpath(os.path.join(row["root"], row["video"]))}:
            by_name.setdefault(name, []).append(row)
    found: list[Row] = []
    for name in names:
        matches = by_name.get(os.path.normpath(name)) or by_name.get(os.path.realpath(name))
        if not matches:
            close = difflib.get_close_matches(name, [row["video"] for row in rows], 1)
            hint = f"did you mean {close[0]}?" if close else f"they are called like {rows[0]['video']}"
            raise ConfigError(f"videos: {name}: is none of these {len(rows)} videos; {hint}")
        found += [row for row in matches if not any(row is other for other in found)]
    return found


def drawn(rows: Sequence[Row], number: int, seed: int) -> list[Row]:
    """So many of the usable videos, in the order of `rows`; all of them where there are no more.

    Raises:
        ConfigError: none is usable.
    """
    usable = [row for row in rows if row["status"] in USABLE]
    if not usable:
        raise ConfigError(f"no video is usable of {len(rows)}: the first, {rows[0]['video']}, is {rows[0]['status']}")
    places = np.random.default_rng(seed).permutation(len(usable))[:number]
    return [usable[place] for place in sorted(places)]
