"""A row of the video index: what there is to say of one video.

A row is a dict: where the video is (`video`, relative to `root`), what it is (`label`, `split`), whether it is usable
(`status`, `reason`) and what is in it.
"""

import os
from typing import Any

import pyarrow as pa

Row = dict[str, Any]

SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # path relative to the root, with /
        ("root", pa.string()),  # absolute; in a file also relative to that file
        ("label", pa.string()),  # class name; a ClassLabel in the Dataset
        ("split", pa.string()),  # train, val, test or unused; of the first official fold where there are several
        ("status", pa.string()),  # ok, or what is wrong; null: nobody has looked yet
        ("reason", pa.string()),  # of a status that is not ok
        ("num_frames", pa.int64()),  # as decoded
        ("fps", pa.float64()),  # average
        ("width", pa.int64()),  # pixels, after rotation
        ("height", pa.int64()),
        ("duration", pa.float64()),  # seconds
        ("codec", pa.string()),
        ("bytes", pa.int64()),
        ("plan", pa.string()),  # what makes reading the file fast, made by decoding it once; see plan.py
        ("folds", pa.list_(pa.string())),  # split in each official fold; null: the data set has one split
        ("extra", pa.string()),  # Parquet and Dataset only: a row's further keys, as a JSON object
    ]
)
"""The columns of an index."""

REQUIRED = ("video", "root", "label", "split", "status")
"""Keys that each row of a file must have (null is a value), so that a mistyped one is noticed."""

USABLE = ("ok", None)
"""Statuses of the rows that are trained and tested on; None: nobody has looked at the video yet."""

KEYS = SCHEMA.names[:-1]
"""The keys of a row; it may have others."""


def new_row(video: str, root: str, label: str | None = None, *, split: str | None = None, **facts: Any) -> Row:
    """The row of a video that nobody has looked at yet: every fact None but those given.

    A path that is not UTF-8 can be neither JSON nor Arrow: its row has status ``bad_name`` and shows it with escapes.
    """
    row: Row = dict.fromkeys(KEYS)
    row.update(video=video, root=root, label=label, split=split, **facts)
    try:
        video.encode()
    except UnicodeEncodeError:
        for key in ("video", "label"):
            if row[key] is not None:
                row[key] = os.fsencode(row[key]).decode("utf-8", "backslashreplace")
        row.update(status="bad_name", reason="the path is not UTF-8; rename the file or its folder")
    return row
