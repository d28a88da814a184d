"""Feature files: a Parquet file with a row for each window, or a folder of a NumPy array and such a Parquet file.

The Parquet metadata hold how the features were made (weights, clips, windows, versions), as JSON under `MADE_BY`. Any
Parquet reader can read the rows: datasets, polars, pandas, DuckDB.
"""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rspnet.data.rows import Row, new_row
from rspnet.disk import is_there, sha256, whole
from rspnet.errors import ConfigError
from rspnet.evaluation.made import FACTS, MADE_BY, differing
from rspnet.temporary import names_in

SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # path
        ("label", pa.string()),  # class name
        ("split", pa.string()),
        ("start", pa.float64()),  # seconds
        ("end", pa.float64()),
        ("start_frame", pa.int64()),
        ("end_frame", pa.int64()),  # the frame after the last
        ("status", pa.string()),  # ok, or why there is no feature
        ("feature", pa.list_(pa.float32())),
    ]
)
"""The columns; without `feature` in a folder, whose array holds the features."""

_ARRAY, _INDEX = "features.npy", "index.parquet"
_DIGEST = "rspnet.features.sha256"  # metadata key of a hash of everything written
_AT_ONCE = 1024  # rows

Array = np.ndarray[Any, np.dtype[np.float32]]


def check_out(out: str) -> None:
    """Check that `write` may write to `out`, before hours of work go into the features.

    Raises:
        ConfigError: `out` is a file with another suffix than .parquet, a folder with other files in it, or was made by
            another program.
    """
    suffix = os.path.splitext(out.rstrip("/"))[1].lower()
    if suffix not in ("", ".parquet"):
        raise ConfigError(f"--out: {out}; features go into a .parquet file, or into a folder of {_ARRAY} and {_INDEX}")
    if not is_there(out):
        return
    if os.path.isdir(out) != (suffix == ""):
        raise ConfigError(f"--out: {out} is {'a folder' if os.path.isdir(out) else 'a file'}; choose another name")
    if suffix == "" and (others := names_in(out) - {_ARRAY, _INDEX}):
        raise ConfigError(f"--out: {out}: holds {min(others)}, which is not a feature file; choose another folder")
    paths = [Path(out, _INDEX), Path(out, _ARRAY)] if suffix == "" else [Path(out)]
    there = [path for path in paths if is_there(path)]
    if there and not _is_ours(paths[0]):  # whether an array is ours is known from its index
        raise ConfigError(
            f"--out: {there[0]} exists and holds no features of rspnet; choose another name, or remove it"
        )


def _is_ours(path: Path) -> bool:
    try:
        return MADE_BY.encode() in (pq.read_metadata(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return False


def made_by(out: str) -> dict[str, Any] | None:
    """Return how a file or folder of features was made; None if there is none or it is damaged."""
    path = Path(out, _INDEX) if os.path.isdir(out) else Path(out)
    try:
        if os.path.isdir(out):
            np.load(Path(out, _ARRAY), mmap_mode="r")
        text = (pq.read_metadata(path).metadata or {}).get(MADE_BY.encode())
        made = json.loads(text) if text else None
    except (OSError, EOFError, ValueError, pa.ArrowException, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def complete(out: str, made: dict[str, Any]) -> dict[str, Any] | None:
    """Return the counts of a finished file or folder of features, or None if they have to be made (again).

    Args:
        out: file or folder.
        made: how the features are to be made.

    Returns:
        `Tally.summary` of the existing features; None if there are none, if they were made differently, or if some
        video could not be read to its end.
    """
    if (before := made_by(out)) is None or differing(before, made):
        return None
    tally, path = Tally(), Path(out, _INDEX) if os.path.isdir(out) else out
    for _ in tally([pq.read_table(path, columns=["video", "status"])]):
        pass
    summary = tally.summary()
    return None if summary["failed"] else summary


def write(out: str, tables: Iterable[pa.Table], made: dict[str, Any], *, shape: tuple[int, ...]) -> None:
    """Write features; files get their names only when they are complete.

    Args:
        out: a .parquet file, or a folder.
        tables: rows of `SCHEMA`, in tables that become a row group each.
        made: how they are made, see `rspnet.evaluation.made.made_with`.
        shape: shape of a feature.

    Raises:
        DiskError, ConfigError: `out` cannot be written to.
    """
    schema = SCHEMA.with_metadata({MADE_BY: json.dumps(made, ensure_ascii=False)})
    size, digest = math.prod(shape), _Digest(made)
    if out.lower().endswith(".parquet"):
        with whole(out) as part, _writer(part, schema) as writer:
            for table in tables:
                digest.update(table.drop_columns("feature"), _dense(table["feature"], size))
                writer.write_table(table.cast(schema))
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest()})
        return
    schema = schema.remove(schema.get_field_index("feature"))
    folder, number = Path(out), 0
    with whole(folder / _ARRAY) as array_part, whole(folder / _INDEX) as index_part, open(array_part, "r+b") as array:
        _write_header(array, (number, *shape))
        with _writer(index_part, schema) as writer:
            for table in tables:
                dense, table = _dense(table["feature"], size), table.drop_columns("feature")
                digest.update(table, dense)
                array.write(dense.tobytes())
                writer.write_table(table.cast(schema))
                number += len(table)
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest()})
        array.seek(0)
        _write_header(array, (number, *shape))
        array.flush()
        os.fsync(array.fileno())  # takes seconds, in which the index must not have its name yet


class _Digest:
    """A hash of how features were made, of their rows and their values; it does not depend on how these are divided.

    Parquet's own checksums do not cover the whole file.
    """

    def __init__(self, made: dict[str, Any]) -> None:
        self._rows, self._values = hashlib.sha256(json.dumps(made).encode()), hashlib.sha256()

    def update(self, rows: pa.Table, dense: Array) -> None:
        """Add rows and their values."""
        for start in range(0, len(rows), _AT_ONCE):
            for row in rows.slice(start, _AT_ONCE).to_pylist():
                self._rows.update(json.dumps(row).encode())
        self._values.update(dense.tobytes())

    def hexdigest(self) -> str:
        """Return the hash of all that was added."""
        return hashlib.sha256(self._rows.digest() + self._values.digest()).hexdigest()


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of NumPy's format, which is padded so that the number of rows can grow later."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def with_names(table: pa.Table, rows: list[Row], splits: list[str | None]) -> pa.Table:
    """Return rows of `SCHEMA` for windows from a shelf (`rspnet.running.shelf`).

    Args:
        table: windows; `row` is a position in `rows`, `value` becomes the feature.
        rows: rows of an index.
        splits: split of each of these rows.
    """
    places = table["row"].to_pylist()
    named = {
        "video": [rows[place]["video"] for place in places],
        "label": [rows[place]["label"] for place in places],
        "split": [splits[place] for place in places],
        "feature": table["value"],
    }
    return pa.table(
        {name: named.get(name, table[name] if name in table.column_names else None) for name in SCHEMA.names}, SCHEMA
    )


class Tally:
    """Counts rows as tables of them pass through."""

    def __init__(self) -> None:
        self._status: Counter[str] = Counter()
        self._videos = 0
        self._last: str | None = None  # video with a feature; its windows follow one another

    def __call__(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables."""
        for table in tables:
            for video, status in zip(table["video"].to_pylist(), table["status"].to_pylist()):
                self._status[status] += 1
                if status == "ok":
                    self._videos += video != self._last
                    self._last = video
            yield table

    def summary(self) -> dict[str, Any]:
        """Return the number of videos and of windows with a feature, and of rows of each other status."""
        failed = {status: number for status, number in self._status.most_common() if status != "ok"}
        return {"num_videos": self._videos, "num_windows": self._status["ok"], "failed": failed}


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd")


def _dense(features: pa.ChunkedArray, size: int) -> Array:
    """Return lists as an array (N, size), with NaN in place of missing ones."""
    lists = features.combine_chunks()
    dense = np.full((len(lists), size), np.nan, np.float32)
    dense[np.asarray(lists.is_valid())] = lists.flatten().to_numpy().reshape(-1, size)
    return dense


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a feature file, or of a folder's index, which contains a hash of the array."""
    return sha256(Path(path, _INDEX) if os.path.isdir(path) else Path(path))


@dataclass(frozen=True)
class Features:
    """The contents of a feature file.

    Attributes:
        rows: the columns of `SCHEMA` except `feature`, for N windows.
        values: the features, float32 (N, ...); NaN where the status is not ok.
        made: how they were made.
    """

    rows: pa.Table
    values: Array
    made: dict[str, Any]

    @property
    def are_of_videos(self) -> bool:
        """Whether they are of whole videos, and pooled: neither of windows nor maps."""
        return self.made.get("window") is None and self.made.get("step") is None and self.values.ndim == 2

    def facts(self, path: str) -> dict[str, Any]:
        """Return the keys of a result that describe the origin of the features.

        Args:
            path: path that they were read from.

        Raises:
            ConfigError: the metadata lack one of `FACTS`.
        """
        if lacking := [name for name in FACTS if name not in self.made]:
            raise ConfigError(f"{path}: {lacking[0]} is missing in its metadata; make it again with stages/extract.py")
        told = {name: self.made[name] for name in ("weights_sha256", "fold", "precision")}
        return told | {"seed": self.made["seed"] or 0, "features_sha256": sha256_of(path)}

    def of_videos(self, path: str) -> list[Row]:
        """Return rows of an index, one for each video, in the order of the features.

        Args:
            path: path that they were read from; also serves as the videos' root, because the videos are not read.

        Raises:
            ConfigError: they are features of windows, or maps that are not pooled.
        """
        if not self.are_of_videos:
            what = "maps that are not pooled" if self.values.ndim != 2 else "windows"
            raise ConfigError(f"{path}: its features are of {what}; give those of whole videos, pooled")
        known = (self.rows[name].to_pylist() for name in ("video", "label", "split", "status"))
        root = os.path.abspath(path)
        return [new_row(video, root, label, split=split, status=status) for video, label, split, status in zip(*known)]


def read(path: str) -> Features:
    """Read what `write` wrote.

    Raises:
        ConfigError: it does not exist, is damaged, or was made by another program.
    """
    if not is_there(path):
        raise ConfigError(f"{path}: no such features; stages/extract.py makes them")
    made = made_by(path)
    if made is None:
        raise ConfigError(
            f"{path}: holds no features of rspnet, or damaged ones; make them again with stages/extract.py"
        )
    try:
        if os.path.isdir(path):
            rows, array = pq.read_table(Path(path, _INDEX)), np.load(Path(path, _ARRAY))
        else:
            rows = pq.read_table(path)
            array = _dense(rows["feature"], math.prod(made["shape"])).reshape(-1, *made["shape"])
            rows = rows.drop_columns("feature")
        digest = _Digest(made)
        digest.update(rows, array)
        kept = pq.read_metadata(Path(path, _INDEX) if os.path.isdir(path) else path).metadata[_DIGEST.encode()]
        if digest.hexdigest() != kept.decode():
            raise ValueError("their hash differs from the one they were written with")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        what = " ".join(str(error).split())
        raise ConfigError(f"{path}: damaged features ({what}); make them again with stages/extract.py") from None
    return Features(rows, array, made)
