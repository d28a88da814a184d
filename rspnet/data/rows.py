"""A row of the video index, which describes one video.

A row is a dict: where the video is (`video`, relative to `root`), its class and split (`label`, `split`), whether it is
usable (`status`, `reason`), and facts about the file.
"""

import math
import os
from typing import Any

import pyarrow as pa

from rspnet.data.tree import split_of

Row = dict[str, Any]

SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # path relative to the root, with /
        ("root", pa.string()),  # absolute; in an index file it may be relative to that file
        ("label", pa.string()),  # class name; a ClassLabel in the Dataset
        ("split", pa.string()),  # train, val, test or unused; in the first official fold if there are several
        ("status", pa.string()),  # ok, or what is wrong; null if not checked yet
        ("reason", pa.string()),  # why the status is not ok
        ("num_frames", pa.int64()),  # as decoded
        ("fps", pa.float64()),  # average
        ("width", pa.int64()),  # pixels, after rotation
        ("height", pa.int64()),
        ("duration", pa.float64()),  # seconds
        ("codec", pa.string()),
        ("bytes", pa.int64()),
        ("content", pa.string()),  # hash of its packets, the same in every container; see content.py
        ("plan", pa.string()),  # what makes reading the file fast, made by decoding it once; see plan.py
        ("folds", pa.list_(pa.string())),  # split in each official fold; null if the data set has one split
        ("extra", pa.string()),  # Parquet and Dataset only: the row's other keys, as a JSON object
    ]
)
"""The columns of an index."""

REQUIRED = ("video", "root", "label", "split", "status")
"""Keys that each row of a file must have, even if null, so that a mistyped key is noticed."""

USABLE = ("ok", None)
"""Statuses of the rows that are trained and tested on; None is that of a video not checked yet."""

KEYS = SCHEMA.names[:-1]
"""The standard keys of a row; it may have others."""


BAD_NAME = "bad_name"
"""Status of a row whose name is not acceptable, so that no stage opens, copies or links to its video."""

_PYTHON_TYPES = {"string": (str,), "int64": (int,), "double": (int, float), "list<item: string>": (list,)}
_KINDS = {field.name: _PYTHON_TYPES[str(field.type)] for field in SCHEMA if field.name != "extra"}
_WHOLE = [name for name, kinds in _KINDS.items() if kinds == (int,)]
_COUNTS = ("num_frames", "fps", "width", "height", "duration", "bytes")
_SIZES = ("num_frames", "fps", "width", "height")  # never 0 for a usable video
_SPLITS = ("train", "val", "test", "unused")
_HINTS = {"video": "give the path below root", "root": "give the folder that video is below, . for the index's own"}
_LEVELS = 16  # how deep lists and objects may be nested


def new_row(video: str, root: str, label: str | None = None, *, split: str | None = None, **facts: Any) -> Row:
    """Return the row of a video that has not been checked yet: all facts None except those given; see `named`."""
    row: Row = dict.fromkeys(KEYS)
    row.update(video=video, root=root, label=label, split=split, **facts)
    return named(row)


def named(row: Row) -> Row:
    """Check a row's names in place and return it, with status ``bad_name`` if they are not acceptable.

    For all stages, a row may only name a path below its root, in UTF-8, which JSON and Arrow need; names that are not
    UTF-8 are replaced by escaped ones.
    """
    reason = _fault_of_name(row["video"])
    if not (_is_text(row["video"]) and _is_text(row["label"] or "")):
        reason = "the path is not UTF-8; rename the file or its folder"
        row.update({key: _shown(row[key]) for key in ("video", "label") if row[key] is not None})
    if reason:
        row.update(status=BAD_NAME, reason=reason)
    else:
        row["video"] = os.path.normpath(row["video"])
    return row


def _shown(text: str) -> str:
    """Escape what is not UTF-8: undecodable bytes of a file's name (surrogates in Python), or other lone surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def _fault_of_name(video: str) -> str | None:
    if "\0" in video:
        return "its path contains a NUL"
    if os.path.isabs(video) or ".." in video.split("/"):
        return "its path leads out of its root"
    if os.path.normpath(video) == ".":
        return "its path is empty"
    return None


def tidy(row: object) -> object:
    """Put what other programs write differently into the usual form, in place, and return the row.

    pandas turns whole numbers into floats if some of a column are missing; splits may be called Train or validation.
    """
    if isinstance(row, dict):
        for key in _WHOLE:
            if isinstance(value := row.get(key), float) and value.is_integer():
                row[key] = int(value)
        if isinstance(split := row.get("split"), str) and split not in _SPLITS:
            row["split"] = split_of(split) or split
    return row


def fault(row: object) -> str | None:
    """Describe what is wrong with an object that should be a row, or return None if it is one."""
    if not isinstance(row, dict):
        return f"expected a JSON object, found {repr(row)[:60]}"
    for key in REQUIRED:
        if key not in row:
            return f"key {key!r} is missing; {_HINTS.get(key, 'write null where it has no value')}"
    for key, kind in _KINDS.items():
        value = row.get(key)
        is_kind = isinstance(value, kind) and not isinstance(value, bool)
        if not is_kind and (value is not None or key in ("video", "root")):
            return f"{key} is {repr(value)[:60]}; expected {kind[-1].__name__}"
        if key in _COUNTS and value is not None and value < 0:
            return f"{key} is {value}; it cannot be negative"
        if value == 0 and key in _SIZES and row["status"] in USABLE:
            return f"{key} is {value}, which no video has; write null where it is not known"
    if row["label"] == "":
        return "label is empty; write null where there is none"
    if any(not isinstance(split, str | None) for split in row.get("folds") or ()):
        return f"folds is {str(row['folds'])[:60]}; expected a list of splits"
    others = {key: value for key, value in row.items() if key not in ("video", "label")}  # `named` checks those
    unfit = ((key, what) for key, value in others.items() if (what := _unfit(value, _LEVELS)))
    return next((f"{str(key)[:60]!r} {what}" for key, what in unfit), None)


def _unfit(value: object, levels: int) -> str | None:
    """Describe why a value cannot be in an index, or return None if it can."""
    if isinstance(value, str):
        return None if _is_text(value) and "\0" not in value else "is not valid text: it contains a NUL or is not UTF-8"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}, which is not a finite number"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "is a number of more than 64 bits"
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        if not levels:
            return "is nested too deeply"
        return next((what for each in value if (what := _unfit(each, levels - 1))), None)
    return None if value is None else f"is a {type(value).__name__}, which an index cannot hold; write it as text"


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
