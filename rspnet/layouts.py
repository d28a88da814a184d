"""Data-set folders as they are published -> rows of the video index.

| layout | videos | label | split |
| --- | --- | --- | --- |
| kinetics | {train,val,test}_video/CLASS/ or {train,val,test}/CLASS/ | folder | train, val, test |
| ucf101 | CLASS/ anywhere, trainlist0N.txt and testlist0N.txt | list | train, test; one per fold |
| hmdb51 | CLASS/ anywhere, CLASS_test_splitN.txt | list | train, test, unused; one per fold |
| something_v2 | ID.webm anywhere, train, validation, test and labels .json | template | train, val, test |
| folder | any tree | folder, if one level of folders holds all | from {train,val,test}/CLASS/ |

The official lists name files as they were first published; a file is matched with them by its class folder and its
stem, whatever its suffix, so that a transcoded copy is found as well. No video is opened: its facts stay None.
"""

import dataclasses
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from rspnet.errors import ConfigError
from rspnet.index import Row, new_row

LAYOUTS = ("kinetics", "ucf101", "hmdb51", "something_v2", "folder")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg")
SUBSET_MARK = "subset.json"
"""A folder below the root that holds this file is a subset (stages/subset.py) of other folders; it is not entered."""

_SPLITS = ("train", "val", "test")
_LIST_NAMES = {
    "ucf101": re.compile(r"(train|test)list0*(\d+)\.txt"),
    "hmdb51": re.compile(r"(.+)_test_split(\d+)\.txt"),
    "something_v2": re.compile(r"(?:.*[-_.])?(train|validation|test|labels)\.json"),
}
_LOOKED_FOR = (
    "looked for train_video/ and val_video/ or train/ and val/ (kinetics), trainlist01.txt and testlist01.txt "
    "(ucf101), CLASS_test_split1.txt (hmdb51), *labels.json with *train.json or *validation.json (something_v2), and "
    f"for {' '.join(VIDEO_SUFFIXES)} files at any depth (folder)"
)

_log = logging.getLogger(__name__)


def detect(root: str | os.PathLike) -> str:
    """The layout of a data-set root, one of `LAYOUTS`.

    Raises:
        ConfigError: no folder, the lists of two data sets, or nothing that looks like videos; says what was looked for.
    """
    root = _folder(root)
    if any(os.path.isdir(os.path.join(root, f"{split}_video")) for split in _SPLITS):
        return "kinetics"
    listed = [layout for layout in _LIST_NAMES if _complete(layout, list_files(root, layout))]
    if len(listed) > 1:
        raise ConfigError(f"{root}: holds the lists of {' and '.join(listed)}; point at one of them or choose --layout")
    if listed:
        return listed[0]
    if all(os.path.isdir(os.path.join(root, split)) for split in ("train", "val")):
        return "kinetics"
    if next(_walk(root), None) is None:
        raise ConfigError(f"{root}: no data set found; {_LOOKED_FOR}")
    return "folder"


def scan(root: str | os.PathLike, layout: str = "auto", ignored: Counter | None = None) -> Iterator[Row]:
    """Rows of all videos below a root, ordered by path.

    Folders behind symbolic links are entered, hidden files and folders are not. A video that the official lists name
    but the root lacks gives a row with status ``missing`` if its class has any video (a class without any is named in
    a warning); a path that is not UTF-8 gives one with status ``bad_name``.

    Args:
        root: the data set's folder.
        layout: one of `LAYOUTS`, or ``auto`` for `detect`.
        ignored: is given the number of files not named like videos, by suffix.

    Raises:
        ConfigError: an unknown layout, no videos, lists that are missing, unreadable or contradict themselves.
    """
    root = _folder(root)
    if layout == "auto":
        layout = detect(root)
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}; choose auto, {', '.join(LAYOUTS)}")
    folders = _split_folders(root) if layout == "kinetics" else {"": None}
    videos = sorted(video for folder in folders for video in _walk(root, folder, ignored))
    if not videos:
        raise ConfigError(f"{root}: no videos in the {layout} layout; {_LOOKED_FOR}")
    if layout == "kinetics":
        return _scan_kinetics(root, videos, folders)
    if layout == "folder":
        return _scan_folder(root, videos)
    return _scan_listed(root, videos, _read_lists(root, layout))


def list_files(root: str | os.PathLike, layout: str) -> list[str]:
    """Paths, relative to the root, of the official list files of a layout; they lie at most two folders deep.

    Raises:
        ConfigError: they lie in more than one folder.
    """
    found, level = [], [""]
    for depth in range(3 if layout in _LIST_NAMES else 0):
        below = []
        for folder in level:
            for entry in _entries(root, folder):
                if _LIST_NAMES[layout].fullmatch(entry.name):
                    found.append(os.path.join(folder, entry.name))
                elif depth < 2 and not entry.name.startswith(".") and entry.is_dir():
                    below.append(os.path.join(folder, entry.name))
        level = below
    homes = sorted({os.path.dirname(path) or "." for path in found})
    if len(homes) > 1 and _complete(layout, found):
        raise ConfigError(f"{root}: {layout} lists lie in {homes[0]}/ and in {homes[1]}/; keep one of the two")
    return sorted(found)


def _scan_kinetics(root: str, videos: list[str], folders: dict[str, str]) -> Iterator[Row]:
    for video in videos:
        folder, *classes, _ = video.split("/")
        yield new_row(video, root, classes[0] if classes else None, folders[folder])


def _scan_folder(root: str, videos: list[str]) -> Iterator[Row]:
    paths = [video.split("/")[:-1] for video in videos]
    splits = all(path and path[0] in _SPLITS for path in paths)
    labels = all(len(path) == (2 if splits else 1) for path in paths)
    for video, path in zip(videos, paths):
        yield new_row(video, root, path[-1] if labels else None, path[0] if splits else None)


@dataclasses.dataclass
class _Lists:
    """What the official files of a data set say.

    Attributes:
        entries: key of a video -> (file name, class, split in each fold).
        key: path of a video -> its key.
        has_folds: False where the data set has one fixed split.
    """

    entries: dict[tuple[str, ...], tuple[str, str | None, list[str | None]]]
    key: Callable[[str], tuple[str, ...]]
    has_folds: bool


def _scan_listed(root: str, videos: list[str], lists: _Lists) -> Iterator[Row]:
    found: dict[tuple[str, ...], str] = {}
    homes: dict[str | None, str] = {}  # class -> a folder with its videos
    for video in videos:
        key = lists.key(video)
        if key in lists.entries:
            if key in found:
                raise ConfigError(f"{root}: {found[key]} and {video} are one video of the official lists; remove one")
            found[key] = video
            homes.setdefault(lists.entries[key][1], os.path.dirname(video))
    if not found:
        name = next(iter(lists.entries.values()))[0] if lists.entries else "nothing"
        raise ConfigError(f"{root}: the official lists name {name} ..., but none of its videos ({videos[0]} ...)")
    missing = {key: entry for key, entry in lists.entries.items() if key not in found and entry[1] in homes}
    classes = {label for _, label, _ in lists.entries.values()} - {None}
    _warn_of_gaps(root, len(found), len(videos) - len(found), [entry[0] for entry in missing.values()])
    absent = sorted(classes - homes.keys())
    if absent and not os.path.exists(os.path.join(root, SUBSET_MARK)):  # a subset links the lists of the whole
        _log.warning("%s: %d of %d classes have no video, e.g. %s", root, len(absent), len(classes), absent[0])

    unlisted = [None] * max(len(entry[2]) for entry in lists.entries.values())
    for video in videos:
        folder = os.path.basename(os.path.dirname(video))
        entry = lists.entries.get(lists.key(video), (video, folder if folder in classes else None, unlisted))
        yield new_row(video, root, entry[1], entry[2][0], folds=entry[2] if lists.has_folds else None)
    for name, label, splits in missing.values():
        row = new_row(os.path.join(homes[label], os.path.basename(name)), root, label, splits[0])
        row.update(status="missing", reason="named in the official lists, but not here")
        yield row | {"folds": splits if lists.has_folds else None}


def _warn_of_gaps(root: str, num_found: int, num_unlisted: int, missing: list[str]) -> None:
    if missing:
        total = num_found + len(missing)
        _log.warning(
            "%s: %d of %d listed videos are missing, e.g. %s", root, len(missing), total, ", ".join(missing[:3])
        )
    if num_unlisted:
        _log.warning("%s: videos in no official list, and so in no split: %d", root, num_unlisted)


def _read_lists(root: str, layout: str) -> _Lists:
    files = list_files(root, layout)
    if not _complete(layout, files):
        raise ConfigError(f"{root}: the lists of {layout} are missing; {_LOOKED_FOR}")
    key = _stem if layout == "something_v2" else _class_and_stem
    lists = _Lists({}, key, has_folds=layout != "something_v2")
    matches = {path: _LIST_NAMES[layout].fullmatch(os.path.basename(path)) for path in files}
    folds = sorted({int(match[2]) for match in matches.values()}) if lists.has_folds else [1]
    if folds != list(range(1, len(folds) + 1)):
        raise ConfigError(f"{root}: the {layout} lists are of folds {folds}; expected 1 to {len(folds)} without a gap")
    for where, fold, name, label, split in _READERS[layout](root, matches):
        _, first_label, splits = lists.entries.setdefault(key(name), (name, label, [None] * len(folds)))
        if splits[fold - 1] not in (None, split) or first_label != label:
            raise ConfigError(f"{where}: {name} is {label} {split}, but before it was {first_label} {splits[fold - 1]}")
        splits[fold - 1] = split
    return lists


_Listed = Iterator[tuple[str, int, str, str | None, str]]
"""What a list says, line by line: place of the line, fold, file name, class, split."""


def _read_ucf101(root: str, matches: dict[str, re.Match]) -> _Listed:
    if len(matches) != 2 * len({match[2] for match in matches.values()}):
        raise ConfigError(f"{root}: a fold needs both its trainlist and its testlist; found {', '.join(matches)}")
    for path, match in matches.items():
        for where, line in _lines(root, path):
            video = re.fullmatch(r"([^/]+)/(.+\.\w+)(\s+\d+)?", line)
            if video is None:
                raise ConfigError(f"{where}: expected CLASS/FILE.avi, and a number in a train list; found {line!r}")
            yield where, int(match[2]), f"{video[1]}/{video[2]}", video[1], match[1]


def _read_hmdb51(root: str, matches: dict[str, re.Match]) -> _Listed:
    splits = {"0": "unused", "1": "train", "2": "test"}  # the read-me that comes with the split files
    for path, match in matches.items():
        for where, line in _lines(root, path):
            name, _, tag = line.rpartition(" ")
            if not name or tag not in splits:
                raise ConfigError(f"{where}: expected FILE.avi and a tag 0, 1 or 2; found {line!r}")
            yield where, int(match[2]), f"{match[1]}/{name.strip()}", match[1], splits[tag]


def _read_something_v2(root: str, matches: dict[str, re.Match]) -> _Listed:
    content = {}
    for path, match in matches.items():
        try:
            content[match[1]] = json.loads(_text(root, path))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{os.path.join(root, path)}: no JSON ({error})") from None
    for part, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        for number, item in enumerate(content.get(part, [])):
            where = f"{root}: entry {number} of the {part} list"
            if not isinstance(item, dict) or "id" not in item:
                raise ConfigError(f"{where}: expected an object with an id; found {str(item)[:80]}")
            # The test list has no labels; a label is its template without the brackets around the placeholders.
            label = re.sub(r"[\[\]]", "", item["template"]) if "template" in item else None
            if label is not None and label not in content["labels"]:
                raise ConfigError(f"{where}: label {label!r} is not in the labels file")
            yield where, 1, f"{item['id']}.webm", label, split


_READERS = {"ucf101": _read_ucf101, "hmdb51": _read_hmdb51, "something_v2": _read_something_v2}


def _complete(layout: str, files: Iterable[str]) -> bool:
    """Whether these list files are enough to know the layout by."""
    kinds = {match[1] for path in files if (match := _LIST_NAMES[layout].fullmatch(os.path.basename(path)))}
    needed = {"ucf101": {"train", "test"}, "hmdb51": kinds, "something_v2": {"labels"}}[layout]
    return bool(kinds) and kinds >= needed and (layout != "something_v2" or bool(kinds & {"train", "validation"}))


def _stem(path: str) -> tuple[str, ...]:
    return (os.path.splitext(os.path.basename(path))[0],)


def _class_and_stem(path: str) -> tuple[str, ...]:
    # Without case: UCF101 itself writes HandStandPushups and HandstandPushups for one class.
    folder, name = os.path.split(path)
    return os.path.basename(folder).casefold(), os.path.splitext(name)[0].casefold()


def _text(root: str, path: str) -> str:
    full = os.path.join(root, path)
    try:
        with open(full, encoding="utf-8") as handle:
            return handle.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{full}: cannot be read ({error})") from None


def _lines(root: str, path: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(root, path).splitlines(), 1):
        if line.strip():
            yield f"{os.path.join(root, path)}:{number}", line.strip()


def _folder(root: str | os.PathLike) -> str:
    root = os.path.abspath(root)
    if not os.path.isdir(root):
        raise ConfigError(
            f"{root}: {'not a folder' if os.path.exists(root) else 'no such folder'}; give the root of a data set"
        )
    return root


def _split_folders(root: str) -> dict[str, str]:
    """Kinetics' split folders -> split; those that end in ``_video`` where there are any (the published project's)."""
    for ending in ("_video", ""):
        folders = {f"{split}{ending}": split for split in _SPLITS if os.path.isdir(os.path.join(root, split + ending))}
        if folders:
            return folders
    raise ConfigError(f"{root}: not in the kinetics layout; it needs train_video/ and val_video/, or train/ and val/")


def _walk(root: str, folder: str = "", ignored: Counter | None = None) -> Iterator[str]:
    """Paths, relative to the root, of the files below `folder` that are named like videos."""
    stack: list[tuple[str, tuple]] = [(folder, ())]
    while stack:
        folder, above = stack.pop()
        status = os.stat(os.path.join(root, folder))
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue  # a symbolic link that leads back
        for entry in _entries(root, folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                stack.append((path, (*above, identity)))
            elif os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:
                yield path
            elif ignored is not None:
                ignored[os.path.splitext(entry.name)[1].lower()] += 1


def _entries(root: str, folder: str) -> list[os.DirEntry]:
    """What is in a folder; nothing if it is a subset of other folders of this root."""
    path = os.path.join(root, folder)
    try:
        with os.scandir(path) as scanned:
            entries = list(scanned)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be listed ({error.strerror}); check its permissions") from None
    return [] if folder and any(entry.name == SUBSET_MARK for entry in entries) else entries
