"""The index of a run's videos, written when it begins; without torch, so that a user's mistake is reported at once."""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from rspnet.data import layouts
from rspnet.data.index import USABLE, Row, read_rows, write_rows
from rspnet.data.remote import absolute, is_remote, path_of, size_of, system
from rspnet.data.tree import no_folder
from rspnet.errors import CheckpointError, ConfigError

_THREADS, _BATCH = 16, 10_000  # a network disk answers many requests at once

_NOWHERE = "data.root: say where the videos are, with --data.root FOLDER or --data.index FILE"

NUM_LOOKED_AT = 20
"""Number of videos, about, that are looked for before a run begins; if none exists, the folder is the wrong one."""


def check_places(root: str | None, index: str | None) -> None:
    """Check that the place of the videos is given, and that their folder exists.

    Args:
        root: as in `look_for_videos`.
        index: likewise.

    Raises:
        ConfigError: neither is given, or there is no such folder.
    """
    if index is None and root is None:
        raise ConfigError(_NOWHERE)
    if root is not None and is_remote(place := absolute(root)):
        system(place)
    elif root is not None and (now := no_folder(place)):
        others = f"; or say --data.root null, for the one that {index} was made for" if index is not None else ""
        raise ConfigError(f"data.root: {root}: {now}; name the one that the videos are in{others}")


def look_for_videos(path: Path, root: str | None, index: str | None) -> None:
    """Check that every root exists, and any of some of the videos, before a network is loaded for nothing.

    If there is an `index`, the run's own is written at once (see `keep_index`); walking a folder takes longer, and is
    left for later.

    Args:
        path: the run's own index; if it exists, its videos are looked for, or those of an `index` file given anew.
        root: data-set folder in which the videos are now.
        index: an index file; its own roots count if `root` is None.

    Raises:
        ConfigError: neither is given, or the videos are not where they should be.
        CheckpointError: the run's own index is damaged.
    """
    check_places(root, index)
    source = path if index in (None, "-") or not path.exists() else index
    if index is not None:
        keep_index(path, root, index, layout="auto")
    if index is not None or path.exists():
        rows = _kept_rows(path, root) if source is path else read_rows(source, root)
        places = [(row["root"], row["video"]) for row in rows if row["status"] in USABLE]
        _look(places, f"data.root: {root}" if root is not None else f"data.index: {index}")


def _look(places: list[tuple[str, str]], option: str) -> None:
    remedy = "say where they are with --data.root"
    for folder in sorted({folder for folder, _ in places}):
        if not is_remote(folder) and not os.path.isdir(folder):
            count = f"{sum(place[0] == folder for place in places)} of {len(places)} videos"
            raise ConfigError(f"{option}: {count} should be in {folder}, and there is no such folder; {remedy}")
    some = places[:: max(1, len(places) // NUM_LOOKED_AT)]
    if some and not any(_is_there(*place) for place in some):
        raise ConfigError(
            f"{option}: of {len(some)} videos looked for none exists, such as {path_of(*some[0])}; {remedy}"
        )


def _is_there(root: str, video: str) -> bool:
    """Return whether a video exists; for a remote one, its server is asked."""
    return size_of(root, video) is not None if is_remote(root) else os.path.exists(os.path.join(root, video))


def keep_index(path: Path, root: str | None, index: str | None, *, layout: str) -> None:
    """Write the run's own index once, so that a resumed run reads the same videos in the same order.

    Args:
        path: where to write it (.parquet); left alone if it exists.
        root: data-set folder, walked if there is no `index`; otherwise the root of its videos, unless None.
        index: an index file to use instead.
        layout: of `root`, or "auto".

    Raises:
        ConfigError: neither is given, or it is not usable.
    """
    if not path.exists():
        write_rows(_rows(root, index, layout), path)


def follow_videos(path: Path, root: str | None, index: str | None, *, layout: str) -> str | None:
    """Check that a run's videos are those it began with, wherever they are now, and update their roots in its index.

    Videos are the same if name, label, splits, usability and frame count in the index and the file's size agree.

    Args:
        path: the run's own index.
        root: as for `keep_index`.
        index: as for `keep_index`.
        layout: as for `keep_index`.

    Returns:
        What differs, in a few words; None if nothing does.

    Raises:
        ConfigError: as `keep_index`.
        CheckpointError: the run's own index is damaged.
    """
    then, now = _by_name(_kept_rows(path)), _by_name(_rows(root, index, layout))
    if differences := _differences(then, now):
        return differences
    places = {
        (name, old_root): new_root
        for name, entries in then.items()
        for (_, old_root), (_, new_root) in zip(entries, now[name], strict=True)
    }
    if any(new_root != old_root for (_, old_root), new_root in places.items()):
        write_rows((row | {"root": places[row["video"], row["root"]]} for row in list(read_rows(path))), path)
    return None


def _kept_rows(path: Path, root: str | None = None) -> Iterator[Row]:
    """Yield the rows of a run's own index; if it cannot be read, the error says what it was for."""
    try:
        yield from read_rows(path, root)
    except ConfigError as error:
        said = str(error).rpartition(";")[0] or str(error)
        raise CheckpointError(f"{said}; it lists the run's videos: restore it, or choose another --run_dir") from None


def _rows(root: str | None, index: str | None, layout: str) -> Iterator[Row]:
    """Yield the rows of an index or a folder, with the roots where the videos are now and the usable ones' sizes."""
    if index is not None:
        rows = read_rows(index, root)
    elif root is not None:
        rows = layouts.scan(root, layout)
    else:
        raise ConfigError(_NOWHERE)
    if root is not None:
        rows = (row | {"root": absolute(root)} for row in rows)
    yield from with_sizes(rows)


def with_sizes(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows, in each usable one `bytes` set to the size that its file has now, None if it does not exist."""
    rows = iter(rows)
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(rows, _BATCH)):
            usable = [row for row in some if row["status"] in USABLE]
            for row, size in zip(usable, threads.map(_size, usable)):
                row["bytes"] = size
            yield from some


def _size(row: Row) -> int | None:
    """Return the size of a video's file in bytes, None if it does not exist; a remote one's from its row if known."""
    if is_remote(row["root"]):  # its listing or index usually has the size
        return row["bytes"] if row["bytes"] is not None else size_of(row["root"], row["video"]) or None
    try:
        return os.stat(os.path.join(row["root"], row["video"])).st_size
    except OSError:
        return None


_TOLD_BY = ("usable", "label", "split", "folds", "num_frames", "bytes")


def _by_name(rows: Iterable[Row]) -> dict[str, list[tuple[str, str]]]:
    """Return name -> the videos of that name, sorted, each as its `_TOLD_BY` facts in JSON and its root."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        facts = row | {"usable": row["status"] in USABLE}
        found.setdefault(row["video"], []).append((json.dumps([facts.get(name) for name in _TOLD_BY]), row["root"]))
    for entries in found.values():
        entries.sort()
    return found


def _differences(then: dict[str, list[tuple[str, str]]], now: dict[str, list[tuple[str, str]]]) -> str:
    """Describe how many videos were added, removed or changed, with the first of each; empty if none were."""
    told = {
        "more": [name for name in now if name not in then],
        "fewer": [name for name in then if name not in now],
        "changed": [name for name in then if name in now and _facts(then[name]) != _facts(now[name])],
    }
    words = [f"{len(names)} {how} ({names[0]}{_change(then, now, names[0])})" for how, names in told.items() if names]
    return ", ".join(words)


def _facts(entries: list[tuple[str, str]]) -> list[str]:
    return [facts for facts, _ in entries]


def _change(then: dict[str, list[tuple[str, str]]], now: dict[str, list[tuple[str, str]]], name: str) -> str:
    """Describe what changed about a video of this name: ``: bytes 12, now 13``; empty if it was added or removed."""
    if name not in then or name not in now:
        return ""
    for old, new in zip(then[name], now[name]):
        for fact, was, is_now in zip(_TOLD_BY, json.loads(old[0]), json.loads(new[0])):
            if was != is_now:
                return f": {fact} {was}, now {is_now}"
    return ": a different number of videos of this name"
