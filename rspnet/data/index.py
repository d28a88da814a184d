"""The video index as training uses it: a memory-mapped `datasets.Dataset`.

However many processes read it, its rows are in memory once. Rows are defined in rows.py, index files in indexfile.py.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc

from rspnet.data.cache import cached, keep
from rspnet.data.indexfile import (
    batches,
    check_out,
    check_roots,
    has_absolute_roots,
    is_index,
    read_rows,
    unpack,
    write_rows,
)
from rspnet.data.remote import absolute
from rspnet.data.rows import REQUIRED, SCHEMA, USABLE, Row, new_row
from rspnet.errors import ConfigError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "REQUIRED",
    "SCHEMA",
    "USABLE",
    "Row",
    "check_labels",
    "check_out",
    "check_roots",
    "columns",
    "describe",
    "fingerprint",
    "is_index",
]
__all__ += ["load", "new_row", "read_rows", "select", "to_dataset", "write_rows"]

_VERSION = 4  # of the cached files; raised when SCHEMA changes


def to_dataset(rows: Iterable[Row], cache_dir: str | os.PathLike[str] | None = None) -> "Dataset":
    """Return rows as a Dataset over a memory-mapped file in the cache, which is named after its content.

    Classes are numbered in the order of their names, ignoring case. That is the official order of Kinetics, UCF101
    (Hammering before HammerThrow), HMDB51 and Something-Something-v2, so published classifiers fit. If all names are
    numbers, they are in numerical order.

    Args:
        rows: index rows, consumed as they come.
        cache_dir: folder for the file; None takes ``rspnet`` in the Hugging Face datasets cache.

    Raises:
        ConfigError: no rows, a value of the wrong type, or two rows for one video.
    """
    return keep(_table(rows), None, cache_dir)


def load(
    source: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> "Dataset":
    """Return an index as a Dataset; a file that was loaded before is only memory-mapped.

    Args:
        source: as for `read_rows`, but no URL.
        root: folder that the videos are relative to, instead of the roots of the rows.
        cache_dir: as for `to_dataset`.

    Raises:
        ConfigError: as for `read_rows` and `to_dataset`.
    """
    root = None if root is None else absolute(root)
    rows, key = read_rows(source, root), None
    if os.fspath(source) != "-":
        with open(source, "rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        # If all roots are absolute, as in the index of a run, one cached file serves every copy of the index.
        place = None if has_absolute_roots(source) else os.path.dirname(os.path.abspath(source))
        facts = [_VERSION, content, place, root]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        if (dataset := cached(key, cache_dir)) is not None:
            return dataset
    return keep(_table(rows), key, cache_dir)


def select(dataset: "Dataset", split: str | None = None, fold: int = 1) -> "tuple[Dataset, Counter[str]]":
    """Return the usable rows of a split, and how many of its other rows were left out, by status.

    Args:
        dataset: from `load` or `to_dataset`.
        split: train, val or test; None takes all rows.
        fold: official fold whose split is meant, from 1.

    Raises:
        ConfigError: there is no such fold or split, or none of its rows is usable; the message says what there is.
    """
    # Arrow columns, because Python lists of a million rows take seconds and hundreds of megabytes.
    table = columns(dataset, ["split", "folds", "status"])
    splits = table["split"]
    if fold != 1:
        num_folds = pc.min(pc.fill_null(pc.list_value_length(table["folds"]), 1)).as_py()
        if not 1 <= fold <= num_folds:
            raise ConfigError(f"fold {fold}: the index has the splits of {num_folds} fold{'s' * (num_folds > 1)}")
        splits = pc.list_element(table["folds"], fold - 1)
    is_chosen = pc.fill_null(pc.equal(splits, split), False) if split else pa.repeat(True, len(table))
    statuses = pc.filter(table["status"], is_chosen)
    if not len(statuses):
        found = ", ".join(f"{count} {name or 'without a split'}" for name, count in _times(splits))
        raise ConfigError(
            f"no video is in split {split!r} (fold {fold}); there are {found}: sort a plain folder into train/CLASS/ "
            "and test/CLASS/, name its --data.layout, or give an index (--data.index) whose rows have a `split`"
        )
    left_out = Counter({name: count for name, count in _times(statuses) if name not in USABLE})
    is_usable = pc.is_in(table["status"], pa.array(USABLE, pa.string()))
    usable = pc.indices_nonzero(pc.and_(is_chosen, is_usable)).cast(pa.int64()).to_pylist()
    if not len(usable):
        where = "" if split is None else f" in split {split!r}"
        raise ConfigError(f"no video{where} is usable: {_counted(left_out)}")
    return dataset.select(usable), left_out


def _times(values: pa.ChunkedArray) -> list[tuple[str | None, int]]:
    """Return each value with its count, the most frequent first."""
    counts = [(each["values"], each["counts"]) for each in pc.value_counts(values).to_pylist()]
    return sorted(counts, key=lambda each: -each[1])


def labelled_splits(dataset: "Dataset") -> set[tuple[str | None, bool]]:
    """Return the pairs (split, whether a row has a label) that occur among the rows."""
    table = columns(dataset, ["split", "label"])
    pairs = pa.table({"split": table["split"], "is_labelled": pc.is_valid(table["label"])})
    found = pairs.group_by(pairs.column_names).aggregate([]).to_pylist()
    return {(each["split"], each["is_labelled"]) for each in found}


def others(dataset: "Dataset", chosen: "Dataset", left_out: Counter[str]) -> Counter[str]:
    """Return the number of rows that a `select` passed over because they are of other splits."""
    return Counter({"of other splits": len(dataset) - len(chosen) - left_out.total()})


def selection(*left_out: Counter[str]) -> str:
    """Describe what one or several `select` left out, to follow a number of videos; empty if they left out nothing."""
    total = sum(left_out, Counter())
    return f" (left out: {_counted(total)})" if total else ""


def _counted(statuses: "Counter[str]") -> str:
    """Return the counts of statuses as text: ``2 truncated, 1 empty``."""
    return ", ".join(f"{number} {status}" for status, number in statuses.most_common())


def check_labels(*datasets: "Dataset") -> None:
    """Check that every row has a label.

    Raises:
        ConfigError: some have none; the message names the first of them.
    """
    tables = (columns(dataset, ["video", "label"]) for dataset in datasets)
    nameless = (table.filter(pc.is_null(table["label"]))["video"] for table in tables)
    if without := [video for videos in nameless for video in videos.to_pylist()]:
        total = sum(map(len, datasets))
        names = ", ".join(without[:3]) + (" ..." if len(without) > 3 else "")
        raise ConfigError(
            f"{len(without)} of {total} videos have no label: {names}; put them into class folders (train/CLASS/, "
            "test/CLASS/), or move them away, or give an index (--data.index) whose rows have a `label`"
        )


def fingerprint(videos: "Dataset | Iterable[Row]") -> str:
    """Return 16 hexadecimal digits that identify the content: names, labels, splits, frame counts and file sizes.

    Independent of the order of rows, the root, the file format, and when the index was made.
    """
    names = ["video", "label", "split", "folds", "num_frames", "bytes"]
    if _is_dataset(videos):
        table = columns(videos, names)
        lines = sorted(map(json.dumps, zip(*(table[name].to_pylist() for name in names))))
    else:
        lines = sorted(json.dumps([row.get(name) for name in names]) for row in videos)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def describe(dataset: "Dataset") -> dict[str, Any]:
    """Return the description of a data set that results contain.

    Returns:
        ``fingerprint``, ``num_videos``, ``hours`` (of the videos whose duration is known; None if none is),
        ``per_class`` (number of videos of each class) and ``recipes`` (the distinct `recipe` values that
        stages/transcode.py wrote into the rows).
    """
    table = columns(dataset, ["label", "duration", "extra"])
    recipes = {json.dumps(unpack(row).get("recipe")) for row in table.select(["extra"]).to_pylist()}
    per_class = Counter(table["label"].drop_null().to_pylist())
    seconds = pc.sum(table["duration"]).as_py()
    return {
        "fingerprint": fingerprint(dataset),
        "num_videos": len(dataset),
        "hours": None if seconds is None else round(seconds / 3600, 3),
        "per_class": {name: per_class[name] for name in _class_names(per_class)},
        "recipes": [json.loads(recipe) for recipe in sorted(recipes - {"null"})],
    }


def _table(rows: Iterable[Row]) -> pa.Table:
    """Return rows in the Dataset's schema, with labels as class numbers and their names in its metadata."""
    from datasets import ClassLabel, Features  # takes a second, and reading rows does not need it

    table = pa.Table.from_batches(batches(rows), SCHEMA)
    if not len(table):
        raise ConfigError("the index has no rows")
    paths = table.group_by(["root", "video"]).aggregate([([], "count_all")])
    if twice := paths.filter(pc.greater(paths["count_all"], 1)).slice(0, 1).to_pylist():
        path = os.path.join(twice[0]["root"], twice[0]["video"])
        raise ConfigError(f"{path}: is in the index {twice[0]['count_all']} times; keep one row")
    names = _class_names(table["label"].drop_null().unique().to_pylist())
    features = Features.from_arrow_schema(SCHEMA)
    features["label"] = ClassLabel(names=names)
    numbers = pc.index_in(table["label"], pa.array(names, pa.string()))
    return table.set_column(SCHEMA.get_field_index("label"), "label", numbers).cast(features.arrow_schema)


def _class_names(labels: Iterable[str]) -> list[str]:
    labels = list(labels)
    if all(map(str.isdecimal, labels)):  # a list that gives class numbers instead of names
        return sorted(labels, key=lambda name: (int(name), name))
    return sorted(labels, key=lambda name: (name.casefold(), name))


def _is_dataset(videos: "Dataset | Iterable[Row]") -> "TypeGuard[Dataset]":
    return hasattr(videos, "features")  # a check that does not need to import datasets


def columns(dataset: "Dataset", names: list[str]) -> pa.Table:
    """Return some columns of a Dataset as an Arrow table, labels as names; far faster than through the Dataset."""
    table = dataset.data.table.select(names)
    if dataset._indices is not None:  # it is a selection; a Dataset would look up each row by itself
        table = table.combine_chunks().take(dataset._indices.column(0))
    if "label" in names:
        classes = pa.array(dataset.features["label"].names, pa.string())
        table = table.set_column(names.index("label"), "label", pc.take(classes, table["label"]))
    return table
