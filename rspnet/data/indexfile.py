"""Index files: rows as JSON Lines or Parquet, and lists of paths and labels as other projects write them."""

import hashlib
import json
import marshal
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import pyarrow as pa
import pyarrow.parquet as pq

from rspnet.data.plainlist import LIST_SUFFIXES, is_path, read_list, rows_of_lines
from rspnet.data.remote import absolute, copied, is_remote
from rspnet.data.rows import KEYS, SCHEMA, USABLE, Row, fault, named
from rspnet.data.texts import not_utf8
from rspnet.disk import refusal, whole
from rspnet.errors import ConfigError
from rspnet.stdout import print_json
from rspnet.temporary import sweep

_DIGEST, _ABSOLUTE = "rspnet.rows.sha256", "rspnet.roots.absolute"  # of a Parquet file's metadata
_BATCH = 10_000  # rows converted at a time: 300,000 rows are never Python objects all at once


def is_index(source: str) -> bool:
    """Whether a command's source is an index and no folder: a file by its name, or ``-`` for standard input."""
    suffix = os.path.splitext(source)[1].lower()
    return source == "-" or (suffix in (".jsonl", ".parquet", *LIST_SUFFIXES) and not os.path.isdir(source))


def read_rows(source: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Iterator[Row]:
    """The rows of an index, one by one; keys beyond `SCHEMA` are kept.

    Args:
        source: a .jsonl or .parquet file, or its URL, or a list (see plainlist.py), or ``-`` for JSON Lines or a list
            of paths on standard input.
        root: folder that the videos are relative to, in place of the rows' own.

    Raises:
        ConfigError: no such file, another suffix, no rows, or a line that is no index row.
    """
    source = os.fspath(source)
    root = None if root is None else absolute(root)
    if source == "-":
        rows = _through_a_pipe(sys.stdin)
    elif is_remote(source):
        rows = _from_a_server(source)
    else:
        suffix = _suffix(source, LIST_SUFFIXES)
        if not os.path.isfile(source):
            makes = "" if suffix in LIST_SUFFIXES else f" index; stages/verify.py ROOT --out {source} makes one"
            raise ConfigError(f"{source}: no such{makes or ' list'}")
        if suffix in LIST_SUFFIXES:
            return read_list(source, root)
        numbered = _read_parquet(source) if suffix == ".parquet" else _read_json_lines(source)
        rows = _checked(numbered, source, os.path.dirname(os.path.abspath(source)))
    return rows if root is None else (row | {"root": root} for row in rows)


def has_absolute_roots(source: str | os.PathLike[str]) -> bool:
    """Whether an index says of itself that its roots do not depend on where it lies."""
    if not os.fspath(source).lower().endswith(".parquet"):
        return False
    try:
        return (pq.read_metadata(source).metadata or {}).get(_ABSOLUTE.encode()) == b"True"
    except (OSError, pa.ArrowException):
        return False  # reading its rows says what is wrong


def check_roots(rows: Iterable[Row]) -> Iterator[Row]:
    """Pass rows on, and see that the folders of those that are usable are there.

    Raises:
        ConfigError: one is not; else each of its videos would be called missing.
    """
    seen = set()
    for row in rows:
        root = row["root"]
        if root not in seen and row["status"] in USABLE:
            seen.add(root)
            if not is_remote(root) and not os.path.isdir(root):
                raise ConfigError(
                    f"{root}: no such folder, but {row['video']} and others of the index should be in it; if they have "
                    "moved, look at that folder anew (stages/verify.py FOLDER)"
                )
        yield row


def write_rows(rows: Iterable[Row], out: str | os.PathLike[str]) -> None:
    """Write rows as they come; a file gets its name when it is whole.

    Args:
        rows: index rows.
        out: a .jsonl or .parquet file, or ``-`` for JSON Lines on standard output.

    Raises:
        ConfigError: see `check_out`; nothing has been taken from `rows` then.
    """
    check_out(out)
    out = os.fspath(out)
    if out != "-":
        sweep(os.path.dirname(os.path.abspath(out)))
    if out == "-":
        for row in rows:
            print_json(row)
    elif _suffix(out) == ".parquet":
        digest, is_absolute = hashlib.sha256(), True
        with whole(out) as part, pq.ParquetWriter(part, SCHEMA) as writer:
            for batch in batches(rows):
                writer.write_batch(batch)
                for row in _digested(map(unpack, batch.to_pylist()), digest):  # as they will be read
                    is_absolute &= is_remote(row["root"]) or os.path.isabs(row["root"])
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest(), _ABSOLUTE: str(is_absolute)})
    else:
        with whole(out) as part, open(part, "w", encoding="utf-8") as handle:
            for row in rows:
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def check_out(out: str | os.PathLike[str]) -> None:
    """Refuse a name that `write_rows` could not write to, before hours of work go into the rows.

    Raises:
        ConfigError: another suffix than .jsonl or .parquet, or no such folder, or not one to write to.
        DiskError: its disk is full, or read-only.
    """
    if os.fspath(out) == "-" and sys.stdout is None:
        raise ConfigError("standard output is closed; name a file with --out")
    if os.fspath(out) != "-":
        _suffix(os.fspath(out))
        if not os.path.isdir(folder := os.path.dirname(os.path.abspath(out))):
            raise ConfigError(f"{out}: there is no folder {folder}; create it first")
        if os.path.isdir(out):
            raise ConfigError(f"{out}: is a folder; name a file")
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise refusal(out, error) from None


def batches(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    """Rows as Arrow batches of `SCHEMA`, as they come.

    Raises:
        ConfigError: a value of the wrong type.
    """
    rows = iter(rows)
    while some := list(islice(rows, _BATCH)):
        for number, row in enumerate(some):
            extra = {key: row[key] for key in row.keys() - set(KEYS)}
            some[number] = row | {"extra": json.dumps(extra, sort_keys=True) if extra else None}
        try:
            yield pa.RecordBatch.from_pylist(some, schema=SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigError(f"a row of the index holds a value of the wrong type: {error}") from None


def unpack(row: Row) -> Row:
    """The row that `batches` packed: its further keys in place."""
    extra = row.pop("extra", None)
    return row | json.loads(extra) if extra else row


def _checked(numbered: Iterable[tuple[int, Row]], source: str, folder: str) -> Iterator[Row]:
    number = 0
    for number, row in numbered:
        if what := fault(row):
            raise ConfigError(f"{source}:{number}: {what}")
        named(row)
        row["root"] = absolute(row["root"] if is_remote(row["root"]) else os.path.join(folder, row["root"]))
        yield row
    if not number:
        raise ConfigError(f"{source}: no rows; did the command that should write them fail?")


def _parse(source: str, lines: Iterable[str], start: int = 1) -> Iterator[tuple[int, Row]]:
    number, text = start - 1, ""
    try:
        for number, line in enumerate(lines, start):
            if text := line.strip().removeprefix("\ufeff"):  # a byte order mark, where files were joined in any line
                yield number, json.loads(text)
    except json.JSONDecodeError as error:
        said = f"not JSON: {error.msg}, column {error.colno}"
        if not text.startswith("{"):
            said = f"neither a row as JSON nor the path of a video: {text[:80]!r}"
        raise ConfigError(f"{source}:{number}: {said}") from None
    except UnicodeDecodeError:
        if os.path.isfile(source):
            raise not_utf8(source, number + 1) from None
        raise ConfigError(f"{source}:{number + 1}: not UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets in brackets
        raise ConfigError(f"{source}:{number}: no row of an index: {str(error).split(';')[0]}") from None


def _through_a_pipe(lines: Iterable[str]) -> Iterator[Row]:
    """Rows of JSON, or of paths, one by one; the first line tells which."""
    source, base, numbered = "standard input", os.getcwd(), enumerate(lines, 1)
    try:
        number, first = next(((number, line) for number, line in numbered if line.strip()), (1, ""))
        if is_path(first.strip()):
            others = ((number, line.strip()) for number, line in numbered if line.strip())
            yield from rows_of_lines(chain([(number, first.strip())], others), source, base=base)
            return
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: not UTF-8 text") from None
    yield from _checked(_parse(source, chain([first], lines), number), source, base)


def _from_a_server(url: str) -> Iterator[Row]:
    """The rows of an index behind a URL, whose folder is what they are relative to."""
    read = _read_parquet if _suffix(url) == ".parquet" else _read_json_lines
    with copied(url) as path:
        try:
            yield from _checked(read(path), url, url.rpartition("/")[0])
        except ConfigError as error:
            raise ConfigError(str(error).replace(path, url)) from None


def _read_json_lines(source: str) -> Iterator[tuple[int, Row]]:
    try:
        with open(source, "rb") as handle:
            yield from _parse(source, (line.decode() for line in handle))
    except OSError as error:
        raise _unreadable(source, error) from None


def _read_parquet(source: str) -> Iterator[tuple[int, Row]]:
    try:
        with pq.ParquetFile(source) as file:
            digest, kept = hashlib.sha256(), (file.metadata.metadata or {}).get(_DIGEST.encode())
            rows = (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist())
            yield from enumerate(_digested(map(unpack, rows), digest), 1)
        if kept and kept.decode() != digest.hexdigest():  # files of others have none
            raise ValueError("its rows are not those that were written")
    except (OSError, pa.ArrowException, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno:
            raise _unreadable(source, error) from None
        what = " ".join(str(error).split())
        raise ConfigError(f"{source}: no Parquet file, or a damaged one ({what}); make it anew") from None


def _digested(rows: Iterable[Row], digest: "hashlib._Hash") -> Iterator[Row]:
    """Pass rows on, and let a hash take them: Parquet's own checksums leave parts of a file out."""
    for row in rows:
        digest.update(marshal.dumps(row, 2))  # the same bytes in every Python, and a tenth of JSON's time
        yield row


def _unreadable(source: str, error: OSError) -> ConfigError:
    return ConfigError(f"{source}: cannot be read ({error.strerror or error})")


def _suffix(path: str, others: tuple[str, ...] = ()) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".jsonl", ".parquet", *others):
        lists = f", a list is a {' '.join(others)} file" if others else ""
        raise ConfigError(f"{path}: an index is a .jsonl or .parquet file, or - for JSON Lines through a pipe{lists}")
    return suffix
