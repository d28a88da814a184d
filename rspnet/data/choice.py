"""Choose some videos of many: those that are named, or a random draw."""

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
"""Default number of videos that are drawn from a folder or an index."""


def chosen(sources: Sequence[str], layout: str, *, names: Sequence[str], number: int | None, seed: int) -> list[Row]:
    """Find the videos of sources and choose some of them.

    Args:
        sources: as for `read_sources`.
        layout: as for `read_sources`.
        names: of the videos to choose; if empty, they are drawn.
        number: how many are drawn; None draws `FEW`, or takes all if each source is a single file.
        seed: of the draw.

    Raises:
        ConfigError: there is no video, none with one of the names, or none that is usable.
    """
    rows = read_sources(sources, layout)
    if names:
        return named(rows, names)
    if number is None and not any(is_index(source) or is_remote(source) or os.path.isdir(source) for source in sources):
        return rows
    return drawn(rows, number or FEW, seed)


def check_usable(row: Row) -> None:
    """Check that a video's index does not mark it as unusable.

    Raises:
        VideoError: it does.
    """
    if row["status"] not in USABLE:
        raise VideoError(f"{row['video']}: is {row['status']} according to its index ({row['reason']})")


def status_of(row: Row, error: VideoError) -> str:
    """Return the status of a video that was not read: that of its index if unusable, else timeout, missing or broken.

    Args:
        row: of the video.
        error: what reading it raised.
    """
    if row["status"] not in USABLE:
        return str(row["status"])
    return fetched.status_of(row, error)


def named(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return the videos with these names, in the order of the names, each once.

    Args:
        rows: of all videos.
        names: names as in the rows, or paths to the videos.

    Raises:
        ConfigError: no video has one of the names.
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
            hint = f"did you mean {close[0]}?" if close else f"their names look like {rows[0]['video']}"
            raise ConfigError(f"videos: {name}: is not one of these {len(rows)} videos; {hint}")
        found += [row for row in matches if not any(row is other for other in found)]
    return found


def drawn(rows: Sequence[Row], number: int, seed: int) -> list[Row]:
    """Draw `number` of the usable videos, or all if there are no more, and return them in the order of `rows`.

    Raises:
        ConfigError: none is usable.
    """
    usable = [row for row in rows if row["status"] in USABLE]
    if not usable:
        raise ConfigError(f"no video is usable of {len(rows)}: the first, {rows[0]['video']}, is {rows[0]['status']}")
    places = np.random.default_rng(seed).permutation(len(usable))[:number]
    return [usable[place] for place in sorted(places)]
