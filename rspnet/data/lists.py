"""The official lists of data sets, which give the split and class of each video.

They name files as first published. A file is matched with them by its class folder and its stem, whatever its suffix,
so that a transcoded copy is found as well.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator

from rspnet.data.texts import read_lines, read_text
from rspnet.data.tree import Tree, is_folder
from rspnet.errors import ConfigError

LIST_NAMES = {
    "ucf101": re.compile(r"(train|test)list0*(\d+)\.txt"),
    "hmdb51": re.compile(r"(.+)_test_split(\d+)\.txt"),
    "something_v2": re.compile(r"(?:.*[-_.])?(train|validation|test|labels)\.json"),
}
_NAMED = {
    "ucf101": "trainlist01.txt and testlist01.txt",
    "hmdb51": "CLASS_test_split1.txt",
    "something_v2": "*labels.json with *train.json or *validation.json",
}


@dataclasses.dataclass
class Lists:
    """The content of a data set's official lists.

    Attributes:
        entries: key of a video -> (file name, class, split in each fold).
        key: path of a video -> its key.
        has_folds: False if the data set has one fixed split.
    """

    entries: dict[tuple[str, ...], tuple[str, str | None, list[str | None]]]
    key: Callable[[str], tuple[str, ...]]
    has_folds: bool


def list_files(root: str | os.PathLike[str], layout: str) -> list[str]:
    """Return the paths, relative to the root, of a layout's official list files, which lie at most two folders deep.

    Raises:
        ConfigError: there is no such root, or the lists lie in more than one folder.
    """
    tree, found, level = Tree(root), [], [""]
    for depth in range(3 if layout in LIST_NAMES else 0):
        below = []
        for folder in level:
            for entry in tree.entries(folder):
                if LIST_NAMES[layout].fullmatch(entry.name) and os.path.isfile(entry.path):
                    found.append(os.path.join(folder, entry.name))
                elif depth < 2 and is_folder(entry):
                    below.append(os.path.join(folder, entry.name))
        level = below
    homes = sorted({os.path.dirname(path) or "." for path in found})
    if len(homes) > 1 and complete(layout, found):
        raise ConfigError(f"{root}: {layout} lists lie in {homes[0]}/ and in {homes[1]}/; keep one of the two")
    return sorted(found)


def read_lists(root: str, layout: str) -> Lists:
    """Read the official lists below a root.

    Raises:
        ConfigError: they are missing, unreadable or contradictory.
    """
    files = list_files(root, layout)
    if not complete(layout, files):
        raise ConfigError(
            f"{root}: the lists of {layout} are missing ({_NAMED[layout]}); use --data.layout auto (or --layout "
            "auto) to recognise the layout"
        )
    key = _stem if layout == "something_v2" else _class_and_stem
    lists = Lists({}, key, has_folds=layout != "something_v2")
    found = {path: LIST_NAMES[layout].fullmatch(os.path.basename(path)) for path in files}
    matches = {path: match for path, match in found.items() if match}
    folds = sorted({int(match[2]) for match in matches.values()}) if lists.has_folds else [1]
    if folds != list(range(1, len(folds) + 1)):
        raise ConfigError(f"{root}: the {layout} lists cover folds {folds}; expected 1 to {len(folds)} without a gap")
    for where, fold, name, label, split in _READERS[layout](root, matches):
        _, first_label, splits = lists.entries.setdefault(key(name), (name, label, [None] * len(folds)))
        if splits[fold - 1] not in (None, split) or first_label != label:
            raise ConfigError(
                f"{where}: {name} is listed as {label} {split}, but before as {first_label} {splits[fold - 1]}"
            )
        splits[fold - 1] = split
    return lists


_Listed = Iterator[tuple[str, int, str, str | None, str]]
"""The entries of a list: place of the line, fold, file name, class, split."""


def _read_ucf101(root: str, matches: dict[str, re.Match[str]]) -> _Listed:
    if len(matches) != 2 * len({match[2] for match in matches.values()}):
        raise ConfigError(f"{root}: a fold needs both its trainlist and its testlist; found {', '.join(matches)}")
    for path, match in matches.items():
        for where, line in _lines(root, path):
            video = re.fullmatch(r"([^/]+)/([^/]+\.\w+)(\s+\d+)?", line)
            if video is None:
                raise ConfigError(f"{where}: expected CLASS/FILE.avi, and a number in a train list; found {line!r}")
            yield where, int(match[2]), f"{video[1]}/{video[2]}", video[1], match[1]


def _read_hmdb51(root: str, matches: dict[str, re.Match[str]]) -> _Listed:
    splits = {"0": "unused", "1": "train", "2": "test"}  # from the read-me that comes with the split files
    for path, match in matches.items():
        for where, line in _lines(root, path):
            name, _, tag = line.rpartition(" ")
            if not name or tag not in splits:
                raise ConfigError(f"{where}: expected FILE.avi and a tag 0, 1 or 2; found {line!r}")
            yield where, int(match[2]), f"{match[1]}/{name.strip()}", match[1], splits[tag]


def _read_something_v2(root: str, matches: dict[str, re.Match[str]]) -> _Listed:
    content = {}
    for path, match in matches.items():
        path = os.path.join(root, path)
        text, kind = read_text(path), dict if match[1] == "labels" else list
        try:
            content[match[1]] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: not valid JSON ({error})") from None
        if not isinstance(content[match[1]], kind):
            raise ConfigError(f"{path}: expected {'an object' if kind is dict else 'a list'}")
    for part, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        for number, item in enumerate(content.get(part, [])):
            where = f"{root}: entry {number} of the {part} list"
            if not isinstance(item, dict) or "id" not in item or not isinstance(item.get("template", ""), str):
                raise ConfigError(f"{where}: expected an object with an id and a template; found {str(item)[:80]}")
            # The test list has no labels; a label is its template without the brackets around the placeholders.
            label = re.sub(r"[\[\]]", "", item["template"]) if "template" in item else None
            if label is not None and label not in content["labels"]:
                raise ConfigError(f"{where}: label {label!r} is not in the labels file")
            yield where, 1, f"{item['id']}.webm", label, split


_READERS = {"ucf101": _read_ucf101, "hmdb51": _read_hmdb51, "something_v2": _read_something_v2}


def complete(layout: str, files: Iterable[str]) -> bool:
    """Return whether these list files are enough to recognise the layout."""
    kinds = {match[1] for path in files if (match := LIST_NAMES[layout].fullmatch(os.path.basename(path)))}
    needed = {"ucf101": {"train", "test"}, "hmdb51": kinds, "something_v2": {"labels"}}[layout]
    return bool(kinds) and kinds >= needed and (layout != "something_v2" or bool(kinds & {"train", "validation"}))


def _stem(path: str) -> tuple[str, ...]:
    return (os.path.splitext(os.path.basename(path))[0],)


def _class_and_stem(path: str) -> tuple[str, ...]:
    # Ignoring case, because UCF101 itself writes both HandStandPushups and HandstandPushups for one class.
    folder, name = os.path.split(path)
    return os.path.basename(folder).casefold(), os.path.splitext(name)[0].casefold()


def _lines(root: str, path: str) -> Iterator[tuple[str, str]]:
    full = os.path.join(root, path)
    for number, line in read_lines(full):
        yield f"{full}:{number}", line
