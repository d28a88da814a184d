"""The videos of a run, written down when it begins; without torch, so that a mistake in them is answered at once."""

import os
from pathlib import Path

from rspnet import layouts
from rspnet.errors import ConfigError
from rspnet.index import USABLE, read_rows, write_rows

NUM_LOOKED_AT = 20
"""Videos that are looked for before a run begins; if none of them is there, the folder is not the right one."""


def look_for_videos(path: Path, root: str | None, index: str | None) -> None:
    """See that every root is there, and some of the videos, before a network is loaded for nothing.

    An index is kept at once (see `keep_index`); to walk a folder takes longer, and is left to `keep_index`.

    Args:
        path: the run's own index; looked at where it exists already.
        root: data-set folder; where the videos lie now.
        index: an index file.

    Raises:
        ConfigError: neither is given, or the videos are not where they should be.
    """
    if index is None and root is None:
        raise ConfigError("data.root: say where the videos are, with --data.root FOLDER or --data.index FILE")
    if root is not None and not Path(root).is_dir():
        now = "not a folder" if Path(root).exists() else "no such folder"
        others = f"; or say --data.root null, for the one that {index} was made for" if index is not None else ""
        raise ConfigError(f"data.root: {root}: {now}; name the one that the videos are in{others}")
    if index is not None:
        keep_index(path, root, index, "auto")
    if path.exists():
        places = [(row["root"], row["video"]) for row in read_rows(path, root) if row["status"] in USABLE]
        _look(places, f"data.root: {root}" if root is not None else f"data.index: {index}")


def _look(places: list[tuple[str, str]], option: str) -> None:
    remedy = "say where they are with --data.root"
    for folder in sorted({folder for folder, _ in places}):
        if not os.path.isdir(folder):
            count = f"{sum(place[0] == folder for place in places)} of {len(places)} videos"
            raise ConfigError(f"{option}: {count} should be in {folder}, and there is no such folder; {remedy}")
    some = [os.path.join(*place) for place in places[:: max(1, len(places) // NUM_LOOKED_AT)]]
    if some and not any(map(os.path.exists, some)):
        raise ConfigError(f"{option}: of {len(some)} videos looked for none is there, not {some[0]}; {remedy}")


def keep_index(path: Path, root: str | None, index: str | None, layout: str) -> None:
    """Write the run's own index, once: a resumed run reads the same videos in the same order, whatever came since.

    Args:
        path: where to write it (.parquet); left alone if it exists.
        root: data-set folder, walked where there is no `index`.
        index: an index file to take instead.
        layout: of `root`, or "auto".

    Raises:
        ConfigError: what is given is not usable.
    """
    if path.exists():
        return
    write_rows(read_rows(index, root) if index is not None else layouts.scan(root, layout), path)
