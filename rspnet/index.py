"""The video index: one row per video, shared by every stage.

A row is a dict: where the video is (`video`, relative to `root`), what it is (`label`, `split`), whether it is usable
(`status`, `reason`) and what is in it. Rows travel as JSON Lines or Parquet, and are trained from as a memory-mapped
`datasets.Dataset`: however many processes read it, its rows are in memory once.
"""

import hashlib
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rspnet.disk import arriving, print_line
from rspnet.errors import ConfigError, RSPNetError

if TYPE_CHECKING:
    from datasets import Dataset

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

_log = logging.getLogger(__name__)
_KEYS = SCHEMA.names[:-1]
_PYTHON_TYPES = {"string": (str,), "int64": (int,), "double": (int, float), "list<item: string>": (list,)}
_BATCH = 10_000  # rows converted at a time: 300,000 rows are never Python objects all at once
_VERSION = 2  # of the cached files; raised when SCHEMA changes


def new_row(video: str, root: str, label: str | None = None, split: str | None = None, **facts: Any) -> Row:
    """The row of a video that nobody has looked at yet: every fact None but those given.

    A path that is not UTF-8 can be neither JSON nor Arrow: its row has status ``bad_name`` and shows it with escapes.
    """
    row = dict.fromkeys(_KEYS)
    row.update(video=video, root=root, label=label, split=split, **facts)
    try:
        video.encode()
    except UnicodeEncodeError:
        for key in ("video", "label"):
            if row[key] is not None:
                row[key] = os.fsencode(row[key]).decode("utf-8", "backslashreplace")
        row.update(status="bad_name", reason="the path is not UTF-8; rename the file or its folder")
    return row


def read_rows(source: str | os.PathLike) -> Iterator[Row]:
    """The rows of an index, one by one; keys beyond `SCHEMA` are kept.

    Args:
        source: a .jsonl or .parquet file, or ``-`` for JSON Lines on standard input.

    Raises:
        ConfigError: no such file, another suffix, no rows, or a line that is no index row.
    """
    source = os.fspath(source)
    if source == "-":
        return _checked(_parse("standard input", sys.stdin), "standard input", os.getcwd())
    suffix = _suffix(source)
    if not os.path.isfile(source):
        raise ConfigError(f"{source}: no such index; stages/verify.py ROOT --out {source} makes one")
    numbered = _read_parquet(source) if suffix == ".parquet" else _read_json_lines(source)
    return _checked(numbered, source, os.path.dirname(os.path.abspath(source)))


def write_rows(rows: Iterable[Row], out: str | os.PathLike) -> None:
    """Write rows as they come; a file gets its name when it is whole.

    Args:
        rows: index rows.
        out: a .jsonl or .parquet file, or ``-`` for JSON Lines on standard output.

    Raises:
        ConfigError: see `check_out`; nothing has been taken from `rows` then.
    """
    check_out(out)
    out = os.fspath(out)
    if out == "-":
        ascii_only = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
        for row in rows:
            print_line(json.dumps(row, ensure_ascii=ascii_only))
    elif _suffix(out) == ".parquet":
        with arriving(Path(out), replace=True) as part, pq.ParquetWriter(part, SCHEMA) as writer:
            for batch in _batches(rows):
                writer.write_batch(batch)
    else:
        with arriving(Path(out), replace=True) as part, open(part, "w", encoding="utf-8") as handle:
            for row in rows:
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def check_out(out: str | os.PathLike) -> None:
    """Refuse a name that `write_rows` could not write to, before hours of work go into the rows.

    Raises:
        ConfigError: another suffix than .jsonl or .parquet, or no such folder, or not one to write to.
    """
    if os.fspath(out) != "-":
        _suffix(os.fspath(out))
        if not os.path.isdir(folder := os.path.dirname(os.path.abspath(out))):
            raise ConfigError(f"{out}: there is no folder {folder}; create it first")
        if os.path.isdir(out) or not os.access(folder, os.W_OK):
            raise ConfigError(f"{out}: cannot be written (its folder, or a folder of this name, is in the way)")


def to_dataset(rows: Iterable[Row], cache_dir: str | os.PathLike | None = None) -> "Dataset":
    """Rows as a Dataset over a memory-mapped file, which is named after its content and kept in the cache.

    Classes are numbered in the order of their names without regard to case. That is the official order of Kinetics,
    UCF101 (Hammering before HammerThrow), HMDB51 and Something-Something-v2, so published classifiers fit.

    Args:
        rows: index rows, consumed as they come.
        cache_dir: folder for the file; ``rspnet`` in the Hugging Face datasets cache when None.

    Raises:
        ConfigError: no rows, a value of the wrong type, or two rows for one video.
    """
    return _cache(_table(rows), cache_dir)


def load(
    source: str | os.PathLike, root: str | os.PathLike | None = None, cache_dir: str | os.PathLike | None = None
) -> "Dataset":
    """An index as a Dataset; a file that was loaded before is only mapped.

    Args:
        source: as for `read_rows`.
        root: folder that the videos are relative to, in place of the rows' own.
        cache_dir: as for `to_dataset`.

    Raises:
        ConfigError: as for `read_rows` and `to_dataset`.
    """
    rows, key = read_rows(source), None
    root = None if root is None else os.path.abspath(root)
    if os.fspath(source) != "-":
        with open(source, "rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        facts = [_VERSION, content, os.path.dirname(os.path.abspath(source)), root]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        if (dataset := _cached(key, cache_dir)) is not None:
            return dataset
    return _cache(_table(row if root is None else row | {"root": root} for row in rows), cache_dir, key)


def rows_of(dataset: "Dataset") -> Iterator[Row]:
    """The rows of a Dataset as `write_rows` takes them: labels as names, further keys in place."""
    for batch in _columns(dataset, SCHEMA.names).to_batches(max_chunksize=_BATCH):
        yield from map(_unpack, batch.to_pylist())


def select(dataset: "Dataset", split: str | None = None, fold: int = 1) -> "tuple[Dataset, Counter]":
    """The usable rows of a split, and for each status the number of its rows that were left out.

    Args:
        dataset: from `load` or `to_dataset`.
        split: train, val, test; None takes all rows.
        fold: official fold that says who is in the split, from 1.

    Raises:
        ConfigError: no such fold or split, or none of its rows is usable; says what there is.
    """
    table = _columns(dataset, ["split", "folds", "status"])
    splits, statuses = table["split"].to_pylist(), table["status"].to_pylist()
    if fold != 1:
        folds = table["folds"].to_pylist()
        num_folds = min(1 if row is None else len(row) for row in folds)
        if not 1 <= fold <= num_folds:
            raise ConfigError(f"fold {fold}: the index has the splits of {num_folds} fold{'s' * (num_folds > 1)}")
        splits = [row[fold - 1] for row in folds]
    chosen = [number for number, name in enumerate(splits) if split in (None, name)]
    if not chosen:
        found = ", ".join(f"{count} {name or 'without a split'}" for name, count in Counter(splits).most_common())
        raise ConfigError(
            f"no video is in split {split!r} (fold {fold}); there are {found}: sort a plain folder into train/CLASS/ "
            "and test/CLASS/, name its --data.layout, or give an index (--data.index) whose rows say `split`"
        )
    usable = [number for number in chosen if statuses[number] in USABLE]
    left_out = Counter(statuses[number] for number in chosen if statuses[number] not in USABLE)
    if not usable:
        raise ConfigError(f"none of the {len(chosen)} videos in split {split!r} is usable: {dict(left_out)}")
    return dataset.select(usable), left_out


def fingerprint(dataset: "Dataset") -> str:
    """16 hexadecimal digits that name the content: which videos, labels, splits, frame counts and file sizes.

    Independent of the order of rows, the root, the file format, and when the index was made.
    """
    names = ["video", "label", "split", "folds", "num_frames", "bytes"]
    table = _columns(dataset, names)
    lines = sorted(map(json.dumps, zip(*(table[name].to_pylist() for name in names))))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def describe(dataset: "Dataset") -> dict[str, Any]:
    """What a result says of its data.

    Returns:
        ``fingerprint``, ``num_videos``, ``hours`` (None: unknown), ``per_class`` (videos of each class) and
        ``recipes`` (the distinct `recipe` values that stages/transcode.py left in the rows).
    """
    table = _columns(dataset, ["label", "duration", "extra"])
    recipes = {json.dumps(_unpack(row).get("recipe")) for row in table.select(["extra"]).to_pylist()}
    per_class = Counter(table["label"].drop_null().to_pylist())
    seconds = pc.sum(table["duration"]).as_py()
    return {
        "fingerprint": fingerprint(dataset),
        "num_videos": len(dataset),
        "hours": None if seconds is None else round(seconds / 3600, 3),
        "per_class": {name: per_class[name] for name in _class_names(per_class)},
        "recipes": [json.loads(recipe) for recipe in sorted(recipes - {"null"})],
    }


def _checked(numbered: Iterable[tuple[int, Row]], source: str, folder: str) -> Iterator[Row]:
    kinds = {field.name: _PYTHON_TYPES[str(field.type)] for field in SCHEMA if field.name != "extra"}
    number = 0
    for number, row in numbered:
        if not isinstance(row, dict):
            raise ConfigError(f"{source}:{number}: expected a JSON object, found {json.dumps(row)[:60]}")
        for key in REQUIRED:
            if key not in row:
                raise ConfigError(f"{source}:{number}: key {key!r} is missing; write null where it has no value")
        for key, kind in kinds.items():
            value = row.get(key)
            if not isinstance(value, kind) and (value is not None or key in ("video", "root")):
                raise ConfigError(f"{source}:{number}: {key} is {value!r}; expected {kind[-1].__name__}")
        row["root"] = os.path.normpath(os.path.join(folder, row["root"]))
        yield row
    if not number:
        raise ConfigError(f"{source}: no rows; did the command that should write them fail?")


def _parse(source: str, lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}:{number}: not JSON: {error.msg}, column {error.colno}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source}:{number + 1}: not UTF-8 text") from None


def _read_json_lines(source: str) -> Iterator[tuple[int, Row]]:
    with open(source, encoding="utf-8") as handle:
        yield from _parse(source, handle)


def _read_parquet(source: str) -> Iterator[tuple[int, Row]]:
    try:
        with pq.ParquetFile(source) as file:
            rows = (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist())
            yield from enumerate(map(_unpack, rows), 1)
    except pa.ArrowException as error:
        raise ConfigError(f"{source}: no Parquet file, or a damaged one: {error}") from None


def _unpack(row: Row) -> Row:
    extra = row.pop("extra", None)
    return row | json.loads(extra) if extra else row


def _batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    rows = iter(rows)
    while some := list(islice(rows, _BATCH)):
        for number, row in enumerate(some):
            extra = {key: row[key] for key in row.keys() - _KEYS}
            some[number] = row | {"extra": json.dumps(extra, sort_keys=True) if extra else None}
        try:
            yield pa.RecordBatch.from_pylist(some, schema=SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigError(f"a row of the index holds a value of the wrong type: {error}") from None


def _table(rows: Iterable[Row]) -> pa.Table:
    """Rows in the Dataset's schema: labels as class numbers, their names in its metadata."""
    from datasets import ClassLabel, Features  # takes a second; rows do without

    table = pa.Table.from_batches(_batches(rows), SCHEMA)
    if not len(table):
        raise ConfigError("the index has no rows")
    paths = table.group_by(["root", "video"]).aggregate([([], "count_all")])
    if twice := paths.filter(pc.greater(paths["count_all"], 1)).slice(0, 1).to_pylist():
        path = os.path.join(twice[0]["root"], twice[0]["video"])
        raise ConfigError(f"{path}: in the index {twice[0]['count_all']} times; keep one row")
    names = _class_names(table["label"].drop_null().unique().to_pylist())
    features = Features({**Features.from_arrow_schema(SCHEMA), "label": ClassLabel(names=names)})
    numbers = pc.index_in(table["label"], pa.array(names, pa.string()))
    return table.set_column(SCHEMA.get_field_index("label"), "label", numbers).cast(features.arrow_schema)


def _class_names(labels: Iterable[str]) -> list[str]:
    return sorted(labels, key=lambda name: (name.casefold(), name))


def _columns(dataset: "Dataset", names: list[str]) -> pa.Table:
    """Some columns of a Dataset in memory, labels as names."""
    table = dataset.select_columns(names).with_format("arrow")[:]
    if "label" in names:
        classes = pa.array(dataset.features["label"].names, pa.string())
        table = table.set_column(names.index("label"), "label", pc.take(classes, table["label"]))
    return table


def _cache_folder(cache_dir: str | os.PathLike | None) -> Path:
    from datasets import config

    return Path(cache_dir or Path(config.HF_DATASETS_CACHE) / "rspnet")


def _cached(key: str, cache_dir: str | os.PathLike | None) -> "Dataset | None":
    from datasets import Dataset

    try:
        return Dataset.from_file(str(_cache_folder(cache_dir) / f"{key}.arrow"))
    except (OSError, pa.ArrowInvalid):  # never made, not for us to read, or cut short when the machine went down
        return None


def _cache(table: pa.Table, cache_dir: str | os.PathLike | None, key: str | None = None) -> "Dataset":
    """Write a table to the cache under `key` (its hash when None) and map it; processes may race, the last one wins."""
    from datasets import Dataset

    folder = _cache_folder(cache_dir)
    if key is None:
        digest = hashlib.sha256(table.schema.serialize())
        for column in table.columns:
            for chunk in column.chunks:
                for buffer in filter(None, chunk.buffers()):
                    digest.update(buffer)
        key = digest.hexdigest()
    path = folder / f"{key}.arrow"
    try:
        with (
            arriving(path, replace=True) as part,
            pa.OSFile(str(part), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as writer,
        ):
            writer.write_table(table)
        return Dataset.from_file(str(path))
    except RSPNetError as error:  # it is only a cache
        _log.warning("%s; the index stays in memory. HF_DATASETS_CACHE, or HF_HOME, names another place", error)
        return Dataset(table)


def _suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"{path}: an index is a .jsonl or .parquet file, or - for JSON Lines through a pipe")
    return suffix
