"""Lists of videos as other projects write them -> rows of the video index.

Lines are one of these:

- ``PATH``, or ``PATH LABEL`` with blanks, a tab, a comma or a semicolon between; a path ends like a video's name.
- Columns that the first line names: ``video`` (or ``path``, ``file`` ...), ``label`` (or ``class`` ...), ``split``.
- Kinetics' csv, ``label,youtube_id,time_start,time_end,split``; files are found by their names, at any depth.

Paths are relative to the folder of the list, unless told otherwise. A list of one split says so in its name: train.txt,
kinetics400_val_list.csv. A label that is a number stays what it is: the name of a class.
"""

import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rspnet import console
from rspnet.data.remote import absolute, is_remote, mirrored
from rspnet.data.rows import Row, new_row
from rspnet.data.texts import read_lines
from rspnet.data.tree import VIDEO_SUFFIXES, Tree, split_of
from rspnet.errors import ConfigError

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".lst")

_PATHS = ("video", "path", "file", "filename", "file_name", "filepath", "file_path", "video_path", "videopath", "clip")
_LABELS = ("label", "class", "category", "action", "label_name", "class_name", "class_label", "target")
_SPLITS = ("split", "subset", "set", "partition")
_ENDINGS = "|".join(map(re.escape, VIDEO_SUFFIXES))
_LINE = re.compile(rf"(?P<path>.+(?:{_ENDINGS}))(?:\s*(?P<gap>[\s,;])\s*(?P<rest>.*))?", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"]|"")+)"\s*(.*)')
_NUM_LOOKED_AT = 20  # videos that are looked for before a list is believed

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    where: str
    path: str  # as the list has it, or the stem of a file of Kinetics
    label: str | None
    split: str | None


def read_list(source: str, root: str | None = None) -> Iterator[Row]:
    """The rows of a list of videos.

    Args:
        source: the list, a file whose name ends in one of `LIST_SUFFIXES`.
        root: folder that its paths are relative to; that of the list when None.

    Raises:
        ConfigError: no text, a line that is not understood, or none of its videos is there.
    """
    base = absolute(os.path.dirname(os.path.abspath(source)) if root is None else root)
    return rows_of_lines(read_lines(source), source, base=base, root=root)


def is_path(line: str) -> bool:
    """Whether a line begins with a path that ends like a video's name."""
    return bool(_LINE.fullmatch(line))


def rows_of_lines(
    numbered: Iterable[tuple[int, str]], source: str, *, base: str, root: str | None = None
) -> Iterator[Row]:
    """The rows of a list, of which the lines are known.

    Args:
        numbered: numbers, from 1, and contents of the lines that are not blank.
        source: what to call the list.
        base: folder that its paths are relative to.
        root: the same where the user said so.

    Raises:
        ConfigError: as `read_list`.
    """
    lines = [(f"{source}:{number}", line) for number, line in numbered]
    if not lines:
        raise ConfigError(f"{source}: no lines; did the command that should write it fail?")
    split = _split_of_list(source)
    quoted = _QUOTED.fullmatch(lines[0][1])
    if _is_video(_unquoted(quoted[1])) if quoted else _LINE.fullmatch(lines[0][1]):
        return _plain_rows([_entry(where, line, split) for where, line in lines], source, base=base, root=root)
    names = _fields(lines[0][1], _gap(lines[0][1]))
    columns = [name.lower() for name in names]
    if {"youtube_id", "time_start", "time_end"} <= set(columns):
        entries = list(_table(lines, columns, None))
        if not is_remote(base):
            return _kinetics_rows(entries, source, base)
        with mirrored(base) as (folder, _):
            return iter([row | {"root": base} for row in _kinetics_rows(entries, source, str(folder))])
    path = next((name for name in _PATHS if name in columns), None)
    if path is None:
        raise ConfigError(
            f"{lines[0][0]}: neither PATH LABEL nor the names of columns, with one of `video`: {lines[0][1][:80]!r}; a "
            f"path ends in {' '.join(VIDEO_SUFFIXES)}"
        )
    entries = [entry._replace(split=entry.split or split) for entry in _table(lines, columns, path)]
    return _plain_rows(entries, source, base=base, root=root)


def _entry(where: str, line: str, split: str | None) -> _Entry:
    """A line without names of columns."""
    if (quoted := _QUOTED.fullmatch(line)) and _is_video(_unquoted(quoted[1])):
        path, rest = _unquoted(quoted[1]), quoted[2]
        gap, rest = (rest[0], rest[1:].strip()) if rest[:1] in (",", ";") else (" ", rest)
    elif not quoted and (match := _LINE.fullmatch(line)):
        path, gap, rest = match["path"].rstrip(), match["gap"], match["rest"]
    else:
        raise ConfigError(f"{where}: expected PATH LABEL, with a path that ends like a video; found {line[:80]!r}")
    rest = (rest or "").strip()
    if (label := _QUOTED.fullmatch(rest)) and not label[2]:
        return _Entry(where, path, _unquoted(label[1]), split)
    several = gap in (",", ";", "\t") and gap in rest
    if several or (" " in rest and all(word.isdigit() for word in rest.split())):
        raise ConfigError(
            f"{where}: more than a path and a label: {line[:80]!r}; say what they are in a first line, as in "
            "video,label,split"
        )
    return _Entry(where, path, rest or None, split)


def _is_video(path: str) -> bool:
    return path.lower().endswith(VIDEO_SUFFIXES)


def _unquoted(text: str) -> str:
    """What stood between quotes, where a quote itself is doubled."""
    return text.replace('""', '"')


def _gap(line: str) -> str:
    return next((gap for gap in ("\t", ",", ";") if gap in line), " ")


def _fields(line: str, gap: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=gap, skipinitialspace=True))]


def _table(lines: list[tuple[str, str]], columns: list[str], path: str | None) -> Iterator[_Entry]:
    """The lines below the names of the columns; without a column of paths they are Kinetics'."""
    gap = _gap(lines[0][1])
    for where, line in lines[1:]:
        fields = _fields(line, gap)
        if len(fields) != len(columns):
            raise ConfigError(
                f"{where}: {console.some(len(fields), 'column')}; the first line names {len(columns)}: {line[:80]!r}"
            )
        row = dict(zip(columns, fields))
        label = next((row[name] for name in _LABELS if name in row), None) or None
        said = next((row[name] for name in _SPLITS if name in row), None) or None
        split = split_of(said) if said else None
        if said and split is None:
            raise ConfigError(f"{where}: split {said!r}; it is train, val or test")
        if path is not None and not row[path]:
            raise ConfigError(f"{where}: no path: {line[:80]!r}")
        yield _Entry(where, _kinetics_stem(where, row) if path is None else row[path], label, split)


def _plain_rows(entries: list[_Entry], source: str, *, base: str, root: str | None) -> Iterator[Row]:
    windows = not any("/" in entry.path for entry in entries)
    if is_remote(base):
        for entry in entries:
            path = entry.path.replace("\\", "/") if windows else entry.path
            yield new_row(path.removeprefix(f"{base}/"), base, entry.label, split=entry.split)
        return
    paths = [
        os.path.normpath(os.path.join(base, entry.path.replace("\\", "/") if windows else entry.path))
        for entry in entries
    ]
    outside = [number for number, path in enumerate(paths) if os.path.commonpath([base, path]) != base]
    if outside and root is not None:
        raise ConfigError(f"{entries[outside[0]].where}: {paths[outside[0]]} is not below {base} (data.root)")
    if outside:
        base = os.path.commonpath([os.path.dirname(path) for path in paths])
    some = paths[:: max(1, len(paths) // _NUM_LOOKED_AT)]
    if not any(map(os.path.exists, some)):
        where = "below data.root" if root is not None else "beside the list"
        raise ConfigError(
            f"{source}: of {len(some)} videos looked for none is there, not {some[0]}; its paths should begin {where}: "
            "in training --data.root says where they do, else put the list there"
        )
    for entry, path in zip(entries, paths):
        yield new_row(os.path.relpath(path, base), base, entry.label, split=entry.split)


def _kinetics_stem(where: str, row: dict[str, str]) -> str:
    try:
        start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
    except ValueError:
        raise ConfigError(f"{where}: time_start and time_end are no numbers of seconds") from None
    return f"{row['youtube_id']}_{start:06d}_{end:06d}"


def _kinetics_rows(entries: list[_Entry], source: str, base: str) -> Iterator[Row]:
    """Rows of the files that are there, and rows with status ``missing``: hardly anybody has all of Kinetics."""
    tree = Tree(base)
    found: dict[str, str] = {}
    for path in tree.videos():
        found.setdefault(os.path.splitext(os.path.basename(path))[0], path)
    tree.warn_of_closed()
    # Some programs that fetch the videos leave the times out of their names.
    videos = [found.get(entry.path) or found.get(entry.path[: -len("_000000_000000")]) for entry in entries]
    if missing := videos.count(None):
        if missing == len(entries):
            raise ConfigError(f"{source}: none of its videos is in {base}, no {entries[0].path}.mp4 at any depth")
        _log.warning("%s: %d of %d videos are not in %s", source, missing, len(entries), base)
    for entry, video in zip(entries, videos):
        row = new_row(video or f"{entry.path}.mp4", base, entry.label, split=entry.split)
        if video is None:
            row.update(status="missing", reason=f"named in {os.path.basename(source)}, but not here")
        yield row


def _split_of_list(source: str) -> str | None:
    """The one split that words in the list's name tell: kinetics400_train_list.txt, trainlist01.txt."""
    words = re.split(r"[\W_\d]+", os.path.splitext(os.path.basename(source))[0].casefold())
    splits = {split_of(word.removesuffix("list")) for word in words if word} - {None}
    return splits.pop() if len(splits) == 1 else None
