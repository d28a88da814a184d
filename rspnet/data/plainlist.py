"""Lists of videos as other projects write them -> rows of the video index.

The lines have one of these forms:

- ``PATH`` or ``PATH LABEL``, separated by blanks, a tab, a comma or a semicolon; the path ends in a video suffix.
- Columns named by the first line: ``video`` (or ``path``, ``file`` ...), ``label`` (or ``class`` ...), ``split``.
- Kinetics' csv, ``label,youtube_id,time_start,time_end,split``; files are found by name, at any depth.

Paths are relative to the folder of the list unless another root is given. The name of a list may give the split of all
its videos: train.txt, kinetics400_val_list.csv. A number as a label is used as the name of the class, 3.0 as 3.
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
_NUMBERS = re.compile(r"[\d.-]+([\s,;]+[\d.-]+)+")
_WHOLE = re.compile(r"(-?\d+)\.0+")  # pandas turns whole numbers into floats if some of a column are missing
_ABSENT = ("", "NA", "<NA>", "NaN", "nan")  # R, pandas and others write these for a label that is missing
_NUM_LOOKED_AT = 20  # number of videos, about, that are looked for before a list is accepted

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    where: str
    path: str  # as in the list, or the stem of a Kinetics file
    label: str | None
    split: str | None


def read_list(source: str, root: str | None = None) -> Iterator[Row]:
    """Return the rows of a list of videos.

    Args:
        source: the list, a file whose name ends in one of `LIST_SUFFIXES`.
        root: folder that its paths are relative to; the list's own folder if None.

    Raises:
        ConfigError: the list is no text, a line is not understood, or none of its videos exists.
    """
    base = absolute(os.path.dirname(os.path.abspath(source)) if root is None else root)
    return rows_of_lines(read_lines(source), source, base=base, root=root)


def is_path(line: str) -> bool:
    """Return whether a line begins with a path that has a video suffix."""
    return bool(_LINE.fullmatch(line))


def rows_of_lines(
    numbered: Iterable[tuple[int, str]], source: str, *, base: str, root: str | None = None
) -> Iterator[Row]:
    """Return the rows of a list, given its lines.

    Args:
        numbered: line number, from 1, and content of each line that is not blank.
        source: name of the list; it may give the split, and messages use it.
        base: folder that the paths are relative to.
        root: the same folder if the user named it, otherwise None.

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
    names = _fields(*lines[0], _gap(lines[0][1]))
    columns = [name.lower() for name in names]
    if twice := [name for name in columns if columns.count(name) > 1 and name in (*_PATHS, *_LABELS, *_SPLITS)]:
        raise ConfigError(f"{lines[0][0]}: two columns are called {twice[0]!r} (in any case); rename one of them")
    if {"youtube_id", "time_start", "time_end"} <= set(columns):
        entries = list(_table(lines, columns, None))
        if not is_remote(base):
            return _kinetics_rows(entries, source, base)
        with mirrored(base) as (folder, _):
            return iter([row | {"root": base} for row in _kinetics_rows(entries, source, str(folder))])
    path = next((name for name in _PATHS if name in columns), None)
    if path is None:
        raise ConfigError(
            f"{lines[0][0]}: neither PATH LABEL nor column names with a `video` column: {lines[0][1][:80]!r}; a path "
            f"ends in {' '.join(VIDEO_SUFFIXES)}"
        )
    entries = [entry._replace(split=entry.split or split) for entry in _table(lines, columns, path)]
    return _plain_rows(entries, source, base=base, root=root)


def _entry(where: str, line: str, split: str | None) -> _Entry:
    """Parse a line of a list without named columns."""
    if (quoted := _QUOTED.fullmatch(line)) and _is_video(_unquoted(quoted[1])):
        path, rest = _unquoted(quoted[1]), quoted[2]
        gap, rest = (rest[0], rest[1:].strip()) if rest[:1] in (",", ";") else (" ", rest)
    elif not quoted and (match := _LINE.fullmatch(line)):
        path, gap, rest = match["path"].rstrip(), match["gap"], match["rest"]
    else:
        raise ConfigError(f"{where}: expected PATH LABEL, with a path that has a video suffix; found {line[:80]!r}")
    rest = (rest or "").strip()
    if (label := _QUOTED.fullmatch(rest)) and not label[2]:
        return _Entry(where, path, _label(_unquoted(label[1])), split)
    several = gap in (",", ";", "\t") and gap in rest
    if several or _NUMBERS.fullmatch(rest):
        raise ConfigError(
            f"{where}: more than a path and a label: {line[:80]!r}; name the columns in a first line, such as "
            "video,label,split"
        )
    return _Entry(where, path, _label(rest), split)


def _label(text: str) -> str | None:
    whole = _WHOLE.fullmatch(text)
    return None if text in _ABSENT else whole[1] if whole else text


def _is_video(path: str) -> bool:
    return path.lower().endswith(VIDEO_SUFFIXES)


def _unquoted(text: str) -> str:
    """Return the content of a quoted field, in which quotes are doubled."""
    return text.replace('""', '"')


def _gap(line: str) -> str:
    return next((gap for gap in ("\t", ",", ";", " ") if gap in line), ",")  # a single column may hold blanks


def _fields(where: str, line: str, gap: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=gap, skipinitialspace=True))]
    except csv.Error as error:  # it has a limit of characters
        raise ConfigError(f"{where}: not a line of a list of videos ({error}): {line[:80]!r}") from None


def _table(lines: list[tuple[str, str]], columns: list[str], path: str | None) -> Iterator[_Entry]:
    """Parse the lines below the column names; without a column of paths (`path` is None) they are Kinetics'."""
    if len(lines) == 1:
        raise ConfigError(f"{lines[0][0]}: no videos below the names of the columns")
    gap = _gap(lines[0][1])
    for where, line in lines[1:]:
        fields = _fields(where, line, gap)
        if len(fields) != len(columns):
            raise ConfigError(
                f"{where}: {console.some(len(fields), 'column')}, but the first line names {len(columns)}: "
                f"{line[:80]!r}"
            )
        row = dict(zip(columns, fields))
        label = _label(next((row[name] for name in _LABELS if name in row), ""))
        said = next((row[name] for name in _SPLITS if name in row), None) or None
        split = split_of(said) if said else None
        if said and split is None:
            raise ConfigError(f"{where}: split {said!r}; expected train, val or test")
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
            f"{source}: of {len(some)} videos looked for none exists, such as {some[0]}; its paths should begin "
            f"{where}: in training give the right folder with --data.root, otherwise move the list there"
        )
    for entry, path in zip(entries, paths):
        yield new_row(os.path.relpath(path, base), base, entry.label, split=entry.split)


def _kinetics_stem(where: str, row: dict[str, str]) -> str:
    try:
        start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
    except (ValueError, OverflowError):  # the latter from infinity
        raise ConfigError(f"{where}: time_start and time_end must be numbers of seconds") from None
    return f"{row['youtube_id']}_{start:06d}_{end:06d}"


def _kinetics_rows(entries: list[_Entry], source: str, base: str) -> Iterator[Row]:
    """Yield a row for each entry, with status ``missing`` if it has no file: hardly anybody has all of Kinetics."""
    tree = Tree(base)
    found: dict[str, str] = {}
    for path in tree.videos():
        found.setdefault(os.path.splitext(os.path.basename(path))[0], path)
    tree.warn_of_closed()
    # Some download programs leave the times out of the file names.
    videos = [found.get(entry.path) or found.get(entry.path[: -len("_000000_000000")]) for entry in entries]
    if missing := videos.count(None):
        if missing == len(entries):
            raise ConfigError(f"{source}: none of its videos is in {base}: no {entries[0].path}.mp4 at any depth")
        _log.warning("%s: %d of %d videos are not in %s", source, missing, len(entries), base)
    for entry, video in zip(entries, videos):
        row = new_row(video or f"{entry.path}.mp4", base, entry.label, split=entry.split)
        if video is None:
            row.update(status="missing", reason=f"named in {os.path.basename(source)}, but not here")
        yield row


def _split_of_list(source: str) -> str | None:
    """Return the split that the list's name contains, None if not just one: kinetics400_train_list.txt, trainlist01."""
    words = re.split(r"[\W_\d]+", os.path.splitext(os.path.basename(source))[0].casefold())
    splits = {split_of(word.removesuffix("list")) for word in words if word} - {None}
    return splits.pop() if len(splits) == 1 else None
