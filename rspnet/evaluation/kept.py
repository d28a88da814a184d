"""Reuse of a file of features when its command is given again: videos that it contains are not read again."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import pyarrow as pa

from rspnet.data.rows import Row
from rspnet.errors import ConfigError
from rspnet.evaluation import features

_SPAN = ("start", "end", "start_frame", "end_frame")
_AT_ONCE = 1024  # windows


def kept(out: str, rows: Sequence[Row]) -> Iterator[pa.Table]:
    """Yield the windows of the videos that could be read to their end, in tables of `rspnet.running.shelf.SCHEMA`.

    Args:
        out: file or folder of features of these videos; nothing is kept if it is damaged.
        rows: rows of an index.
    """
    places = {row["video"]: place for place, row in enumerate(rows)}
    try:
        found = features.read(out)
    except ConfigError:
        return
    if len(places) < len(rows):  # names are ambiguous if two videos share one
        return
    numbered, at = list[tuple[int, int, int, int]](), 0
    statuses = found.rows["status"].to_pylist()
    for name, lines in groupby(found.rows["video"].to_pylist()):
        total = len(list(lines))
        if name in places and set(statuses[at : at + total]) == {"ok"}:
            numbered += [(places[name], number, total, at + number) for number in range(total)]
        at += total
    for start in range(0, len(numbered), _AT_ONCE):
        videos, numbers, totals, at_lines = map(list, zip(*numbered[start : start + _AT_ONCE]))
        spans = found.rows.select(_SPAN).take(at_lines)
        values = found.values[at_lines].reshape(len(at_lines), -1)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        columns = {"row": videos, "number": numbers, "total": totals, "status": ["ok"] * len(videos)}
        spanned = {name: spans[name] for name in _SPAN}
        yield pa.table(columns | spanned | {"value": lists.cast(pa.list_(pa.float32()))})
