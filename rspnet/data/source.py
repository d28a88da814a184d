"""What a stage is pointed at, the folder of a data set or an index of videos, as rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rspnet.data.index import Row, check_roots, is_index, read_rows
from rspnet.data.layouts import detect, list_files, scan


@dataclass
class Source:
    """Videos to look at, copy or choose from.

    Attributes:
        rows: of an index they are read as they are asked for, once.
        total: their number; None: they come through a pipe.
        layout: how the folder is organised; ``index`` for an index.
        lists: the folder's official list files, relative to it.
        ignored: how many files of the folder are no videos, as `scan` counts them.
    """

    rows: Iterable[Row]
    total: int | None = None
    layout: str = "index"
    lists: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def read_source(source: str, layout: str = "auto") -> Source:
    """Find the videos of a folder, or begin to read an index.

    Args:
        source: a folder, or an index as for `read_rows`.
        layout: one of `rspnet.data.layouts.LAYOUTS`, or ``auto`` to recognise it; says nothing of an index.

    Raises:
        ConfigError: as for `detect` and `scan`, or as for `read_rows` and `check_roots`.
    """
    if is_index(source):
        # Of a file all rows are checked first: a bad line may be the last one, and come after hours of work.
        total = None if source == "-" else sum(1 for _ in check_roots(read_rows(source)))
        return Source(check_roots(read_rows(source)), total)
    layout = detect(source) if layout == "auto" else layout
    ignored: Counter[str] = Counter()
    rows = list(scan(source, layout, ignored))
    return Source(rows, len(rows), layout, list_files(source, layout), ignored)
