"""The input of a stage as rows: a data set's folder, an index of videos, or video files."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rspnet.console import say, some
from rspnet.data.index import USABLE, Row, check_roots, is_index, new_row, read_rows
from rspnet.data.layouts import detect, list_files, scan
from rspnet.data.remote import absolute, is_remote, path_of
from rspnet.data.rows import BAD_NAME
from rspnet.data.run_index import with_sizes
from rspnet.disk import is_there
from rspnet.errors import ConfigError


@dataclass
class Source:
    """Videos to inspect, copy or choose from.

    Attributes:
        rows: of the videos; an index is read again each time they are iterated over, a pipe only once.
        total: number of rows; None if they come through a pipe.
        layout: how the folder is organised; ``index`` for an index, and for a remote folder.
        lists: the folder's official list files, relative to it.
        ignored: how many files of the folder are no videos, as `scan` counts them.
    """

    rows: Iterable[Row]
    total: int | None = None
    layout: str = "index"
    lists: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def read_source(source: str, layout: str = "auto") -> Source:
    """Find the videos of a folder, or open an index.

    Args:
        source: a folder or its URL, or an index as for `read_rows`.
        layout: one of `rspnet.data.layouts.LAYOUTS`, or ``auto`` to recognise it; ignored for an index.

    Raises:
        ConfigError: as for `detect` and `scan`, or as for `read_rows` and `check_roots`.
    """
    source = absolute(source) if is_remote(source) else source
    if is_index(source):
        # All rows of a file are checked first, because a bad last line would otherwise be met after hours of work.
        again = _Again(source)
        return Source(again, None if source == "-" else sum(1 for _ in again))
    ignored: Counter[str] = Counter()
    if is_remote(source):
        rows = list(scan(source, layout, ignored))
        return Source(rows, len(rows), ignored=ignored)
    layout = detect(source) if layout == "auto" else layout
    rows = list(scan(source, layout, ignored))
    return Source(rows, len(rows), layout, list_files(source, layout), ignored)


class _Again:
    """The rows of an index, read each time they are iterated over."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Row]:
        return check_roots(read_rows(self._source))


def read_sources(sources: Sequence[str], layout: str = "auto") -> list[Row]:
    """Return the videos of folders, indexes, lists and single files, in the order given, each once.

    Single files are named by their paths below the folder that they have in common; so are all videos if several
    folders have a video of the same name. `bytes` of each usable row is the current size of its file.

    Args:
        sources: each a folder or an index as for `read_source`, or a video file.
        layout: of the folders, as for `read_source`.

    Raises:
        ConfigError: a source does not exist, or as for `read_source`; there is no video; or folders that have videos of
            the same name include remote ones.
    """
    files = [name for name in sources if not (is_index(name) or is_remote(name) or os.path.isdir(name))]
    for name in files:
        if not is_there(name):
            raise ConfigError(f"{name}: no such file or folder")
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name in files]) if files else ""
    found: dict[str, Row] = {}
    times = 0
    for row in _rows(sources, folder, layout):
        times += 1
        found.setdefault(path_of(row["root"], row["video"]), row)
    if times > len(found):
        say(f"{some(times - len(found), 'video')} named more than once; each is looked at once")
    if not found:
        raise ConfigError("no video to look at; name files, a folder, or an index")
    return list(with_sizes(_told_apart(list(found.values()))))


def _told_apart(rows: list[Row]) -> list[Row]:
    """Return the rows; if some have the same name, all are named by their paths below the folder they share."""
    named = [row for row in rows if row["status"] != BAD_NAME]
    times = Counter(row["video"] for row in named)
    if len(times) == len(named):
        return rows
    twice = times.most_common(1)[0][0]
    if remote := next((row["root"] for row in named if is_remote(row["root"])), None):
        raise ConfigError(
            f"{remote}: several folders have a video {twice}; name the folder above them, or give them one by one"
        )
    folder = os.path.commonpath([row["root"] for row in named])
    say(f"several folders have a video {twice}; videos are named by their paths below {folder}")
    for row in named:
        row.update(root=folder, video=os.path.relpath(os.path.join(row["root"], row["video"]), folder))
    return rows


def sorted_out(rows: Sequence[Row]) -> tuple[list[int], list[tuple[int, str]]]:
    """Return the positions of the usable rows, and position and status of the others, by their status in the index."""
    bad = [(number, str(row["status"])) for number, row in enumerate(rows) if row["status"] not in USABLE]
    return [number for number, row in enumerate(rows) if row["status"] in USABLE], bad


def splits_of(rows: Sequence[Row], fold: int) -> list[str | None]:
    """Return the split of each row in an official fold, counted from 1.

    Raises:
        ConfigError: some have no such fold.
    """
    if fold == 1:
        return [row["split"] for row in rows]
    for row in rows:
        if fold > (folds := len(row["folds"] or [None])):
            raise ConfigError(f"data.fold: {fold}; {row['video']} has the splits of {some(folds, 'fold')}")
    return [row["folds"][fold - 1] for row in rows]


def named_content(rows: Sequence[Row]) -> str:
    """Return 16 hexadecimal digits that identify these videos, their order, labels, splits, statuses and sizes."""
    names = ("root", "video", "label", "split", "folds", "status", "num_frames", "bytes")
    return hashlib.sha256(json.dumps([[row.get(name) for name in names] for row in rows]).encode()).hexdigest()[:16]


def _rows(sources: Sequence[str], folder: str, layout: str) -> Iterator[Row]:
    for name in sources:
        if is_index(name) or is_remote(name) or os.path.isdir(name):
            yield from read_source(name, layout).rows
        else:
            yield new_row(os.path.relpath(os.path.abspath(name), folder), folder)
