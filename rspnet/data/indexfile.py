"""Read and write index files: rows as JSON Lines or Parquet, and lists of paths and labels from other projects."""

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
from rspnet.data.rows import KEYS, SCHEMA, USABLE, Row, fault, named, tidy
from rspnet.data.texts import not_utf8
from rspnet.disk import refusal, whole
from rspnet.errors import ConfigError
from rspnet.stdout import print_json
from rspnet.temporary import sweep

_DIGEST, _ABSOLUTE = "rspnet.rows.sha256", "rspnet.roots.absolute"  # keys of a Parquet file's metadata
_BATCH = 10_000  # rows converted at a time, so that a large index is never in memory as Python objects all at once


def is_index(source: str) -> bool:
    """Whether a command's source is an index (a file, by its suffix, or ``-`` for standard input) and not a folder."""
    suffix = os.path.splitext(source)[1].lower()
    return source == "-" or (suffix in (".jsonl", ".parquet", *LIST_SUFFIXES) and not os.path.isdir(source))


def read_rows(source: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Iterator[Row]:
    """Iterate over the rows of an index; keys beyond `SCHEMA` are kept.

    Args:
        source: a .jsonl or .parquet file, or its URL, or a list (see plainlist.py), or ``-`` for JSON Lines or a list
            of paths on standard input.
        root: folder that the videos are relative to, instead of the roots of the rows.

    Raises:
        ConfigError: no such file, closed standard input, another suffix, no rows, or a line that is not an index row.
    """
    source = os.fspath(source)
    root = None if root is None else absolute(root)
    if source == "-":
        if sys.stdin is None:
            raise ConfigError("standard input is closed; name a file, or send the rows through a pipe")
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
    """Whether the metadata of an index say that all its roots are absolute, and so independent of its own place."""
    if not os.fspath(source).lower().endswith(".parquet"):
        return False
    try:
        return (pq.read_metadata(source).metadata or {}).get(_ABSOLUTE.encode()) == b"True"
    except (OSError, pa.ArrowException):
        return False  # reading its rows will raise, with the reason


def check_roots(rows: Iterable[Row]) -> Iterator[Row]:
    """Pass rows on, and check that the roots of the usable ones exist.

    Raises:
        ConfigError: one does not; otherwise each of its videos would be reported as missing.
    """
    seen = set()
    for row in rows:
        root = row["root"]
        if root not in seen and row["status"] in USABLE:
            seen.add(root)
            if not is_remote(root) and not os.path.isdir(root):
                raise ConfigError(
                    f"{root}: no such folder, but {row['video']} and others of the index should be in it; if they have "
                    "moved, make an index of their new folder (stages/verify.py FOLDER)"
                )
        yield row


def write_rows(rows: Iterable[Row], out: str | os.PathLike[str]) -> None:
    """Write rows as they come; a file appears under its name only when it is complete.

    Args:
        rows: index rows.
        out: a .jsonl or .parquet file, or ``-`` for JSON Lines on standard output.

    Raises:
        ConfigError: as for `check_out`, before anything is taken from `rows`; or a row has a value of the wrong type.
        DiskError: the disk is full, read-only or broken.
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
                for row in _digested(map(unpack, batch.to_pylist()), digest):  # the rows as they will be read
                    is_absolute &= is_remote(row["root"]) or os.path.isabs(row["root"])
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest(), _ABSOLUTE: str(is_absolute)})
    else:
        with whole(out) as part, open(part, "w", encoding="utf-8") as handle:
            for row in rows:
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def check_out(out: str | os.PathLike[str]) -> None:
    """Check that `write_rows` can write to `out`, before hours of work go into the rows.

    Raises:
        ConfigError: the suffix is neither .jsonl nor .parquet, or the folder does not exist or is not writable.
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
    """Convert rows to Arrow batches of `SCHEMA`, as they come.

    Raises:
        ConfigError: a value has the wrong type.
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
    """Return a row as it was before `batches`, with its further keys unpacked from ``extra``."""
    extra = row.pop("extra", None)
    return row | json.loads(extra) if extra else row


def _checked(numbered: Iterable[tuple[int, Row]], source: str, folder: str) -> Iterator[Row]:
    number = 0
    for number, row in numbered:
        if what := fault(tidy(row)):
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
            if text := line.strip().removeprefix("\ufeff"):  # a byte order mark, in any line if files were joined
                yield number, json.loads(text)
    except json.JSONDecodeError as error:
        said = f"not JSON: {error.msg}, column {error.colno}"
        if not text.startswith("{"):
            said = f"neither a JSON object nor the path of a video: {text[:80]!r}"
        raise ConfigError(f"{source}:{number}: {said}") from None
    except UnicodeDecodeError:
        if os.path.isfile(source):
            raise not_utf8(source, number + 1) from None
        raise ConfigError(f"{source}:{number + 1}: not UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, deeply nested brackets
        raise ConfigError(f"{source}:{number}: not an index row: {str(error).split(';')[0]}") from None


def _through_a_pipe(lines: Iterable[str]) -> Iterator[Row]:
    """Iterate over rows that come as JSON Lines or as a list of paths; the first line decides which."""
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
    """Iterate over the rows of an index at a URL; relative roots are relative to the URL's folder."""
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
            rows = map(unpack, (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist()))
            yield from enumerate(_digested(rows, digest) if kept else rows, 1)  # files from elsewhere have none
        if kept and kept.decode() != digest.hexdigest():
            raise ValueError("its rows are not those that were written")
    except (OSError, pa.ArrowException, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno:
            raise _unreadable(source, error) from None
        what = " ".join(str(error).split())
        raise ConfigError(f"{source}: not a Parquet file, or a damaged one ({what}); make it again") from None


def _digested(rows: Iterable[Row], digest: "hashlib._Hash") -> Iterator[Row]:
    """Pass rows on and update a hash with them, because Parquet's own checksums do not cover all of a file."""
    for row in rows:
        digest.update(marshal.dumps(row, 2))  # the same bytes in every Python version, in a tenth of JSON's time
        yield row


def _unreadable(source: str, error: OSError) -> ConfigError:
    return ConfigError(f"{source}: cannot be read ({error.strerror or error})")


def _suffix(path: str, others: tuple[str, ...] = ()) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".jsonl", ".parquet", *others):
        lists = f", a list is a {' '.join(others)} file" if others else ""
        raise ConfigError(f"{path}: an index is a .jsonl or .parquet file, or - for JSON Lines through a pipe{lists}")
    return suffix
