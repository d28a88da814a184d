"""Scan data-set folders in their published layouts into rows of the video index.

| layout | videos | label | split |
| --- | --- | --- | --- |
| kinetics | {train,val,test}_video/CLASS/ or {train,val,test}/CLASS/ | folder | train, val, test |
| ucf101 | CLASS/ anywhere, trainlist0N.txt and testlist0N.txt | list | train, test; one per fold |
| hmdb51 | CLASS/ anywhere, CLASS_test_splitN.txt | list | train, test, unused; one per fold |
| something_v2 | ID.webm anywhere, train, validation, test and labels .json | template | train, val, test |
| folder | any tree | folder, if one level of folders holds most | from {train,val,test}/CLASS/ |

Folders of splits are recognised in upper and lower case, and by other usual names (`rspnet.data.tree.split_of`). No
video is opened, so the facts of the rows stay None.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from rspnet.data.index import Row, new_row
from rspnet.data.lists import LIST_NAMES, complete, list_files, read_lists
from rspnet.data.remote import absolute, is_remote, mirrored
from rspnet.data.tree import SUBSET_MARK, Tree, is_folder, split_of
from rspnet.errors import ConfigError

__all__ = ["LAYOUTS", "SUBSET_MARK", "detect", "list_files", "scan"]

_log = logging.getLogger(__name__)
_LOOKED_FOR = "looked for .mp4, .avi, .mkv, .webm and other videos"


def detect(root: str | os.PathLike[str]) -> str:
    """Return the layout of a data-set root, one of `LAYOUTS`, recognised by its split folders and list files.

    Raises:
        ConfigError: no folder, the lists of two data sets, or no file named like a video.
    """
    tree = Tree(root)
    folders = _split_folders(tree)
    if any(name.lower() == f"{split}_video" for name, split in folders.items()):
        return "kinetics"
    listed = [layout for layout in LIST_NAMES if complete(layout, list_files(tree.root, layout))]
    if len(listed) > 1:
        raise ConfigError(
            f"{tree.root}: holds the lists of {' and '.join(listed)}; point at one of them or choose --layout"
        )
    if listed:
        return listed[0]
    if {"train", "val"} <= set(folders.values()):
        return "kinetics"
    if next(tree.videos(), None) is None:
        tree.warn_of_closed()
        raise ConfigError(f"{tree.root}: no data set found{tree.instead()}; {_LOOKED_FOR}")
    return "folder"


def scan(root: str | os.PathLike[str], layout: str = "auto", ignored: Counter[str] | None = None) -> Iterator[Row]:
    """Return the rows of all videos below a root, ordered by path.

    Folders behind symbolic links are entered. Hidden files, litter of operating systems and folders closed to this user
    are left out, the last with a warning. A video that the official lists name but the root lacks gives a row with
    status ``missing`` if its class has any video (classes without any are counted in a warning). A path that is not
    UTF-8 gives a row with status ``bad_name``.

    Args:
        root: the data set's folder, or its URL.
        layout: one of `LAYOUTS`, or ``auto`` for `detect`.
        ignored: gets the number of files not named like videos, by suffix, and that of official lists as ``lists``.

    Raises:
        ConfigError: an unknown layout, no videos, or lists that are missing, unreadable or contradictory.
    """
    if is_remote(root := absolute(root)):
        return iter(_scan_remote(root, layout, ignored))
    tree = Tree(root)
    if layout == "auto":
        layout = detect(tree.root)
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}; choose auto, {', '.join(LAYOUTS)}")
    folders = _kinetics_folders(tree) if layout == "kinetics" else [""]
    videos = sorted(video for folder in folders for video in tree.videos(folder))
    tree.warn_of_closed()
    if ignored is not None:
        lists = Counter(os.path.splitext(path)[1].lower() for path in list_files(tree.root, layout))
        ignored.update(tree.ignored - lists)
        ignored.update({"lists": lists.total()} if lists else {})
    if not videos:
        raise ConfigError(f"{tree.root}: no videos in the {layout} layout{tree.instead()}; {_LOOKED_FOR}")
    return LAYOUTS[layout](tree, videos)


def _scan_remote(root: str, layout: str, ignored: Counter[str] | None) -> list[Row]:
    """Return the rows of a root that is a URL, by scanning a local folder with the same files."""
    with mirrored(root) as (folder, sizes):
        try:
            rows = list(scan(folder, layout, ignored))
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(folder), root)) from None
    return [row | {"root": root, "bytes": sizes.get(row["video"])} for row in rows]


def _split_folders(tree: Tree) -> dict[str, str]:
    """Return folder in the root -> its split; ``train_video`` is preferred to ``train``, and that to other names."""
    found: dict[tuple[str, int], list[str]] = {}
    for entry in tree.entries():
        split = split_of(entry.name)
        if split and is_folder(entry):
            names = [f"{split}_video", split, entry.name.lower()]
            found.setdefault((split, names.index(entry.name.lower())), []).append(entry.name)
    folders = {}
    for split in ("train", "val", "test"):
        candidates = next((found[split, rank] for rank in range(3) if (split, rank) in found), [])
        if len(candidates) == 1:  # if several, such as train_256 and train_480, it is unclear which
            folders[candidates[0]] = split
    return folders


def _kinetics_folders(tree: Tree) -> dict[str, str]:
    folders = _split_folders(tree)
    if not folders:
        raise ConfigError(
            f"{tree.root}: not in the kinetics layout; it needs train_video/ and val_video/, or train/ and val/"
        )
    return folders


def _warn_of_passed_over(tree: Tree, folders: dict[str, str]) -> None:
    for entry in tree.entries():
        if entry.name not in folders and (split := split_of(entry.name)) and is_folder(entry):
            _log.warning("%s: %s/ is left out, because it is not the only folder of %s", tree.root, entry.name, split)


def _scan_kinetics(tree: Tree, videos: list[str]) -> Iterator[Row]:
    folders = _split_folders(tree)
    _warn_of_passed_over(tree, folders)
    parts = [video.split("/") for video in videos]
    labels = [path[1] if len(path) > 2 else None for path in parts]
    if any(labels):
        _warn_of_strays(tree.root, [video for video, label in zip(videos, labels) if label is None])
    for video, path, label in zip(videos, parts, labels):
        yield new_row(video, tree.root, label, split=folders[path[0]])


def _scan_folder(tree: Tree, videos: list[str]) -> Iterator[Row]:
    """Yield the rows of the layout `folder`; a few videos elsewhere do not cost the others their labels or splits."""
    _hint_below(tree, videos)
    folders = _split_folders(tree)
    paths = [video.split("/")[:-1] for video in videos]
    splits = [folders.get(path[0]) if path else None for path in paths]
    if not (all(splits) or (_most(splits) and len(set(splits) - {None}) > 1)):
        splits = [None] * len(videos)
    level = 2 if any(splits) else 1
    labels = [
        path[-1] if len(path) == level and bool(split) == (level == 2) else None for path, split in zip(paths, splits)
    ]
    if not _most(labels):
        labels = [None] * len(videos)
    if any(labels) or any(splits):
        inside = labels if any(labels) else splits
        _warn_of_strays(tree.root, [video for video, place in zip(videos, inside) if place is None])
    for video, label, split in zip(videos, labels, splits):
        yield new_row(video, tree.root, label, split=split)


def _hint_below(tree: Tree, videos: list[str]) -> None:
    """Warn if the data set is one folder deeper, as after unpacking an archive."""
    above = {video.split("/")[0] for video in videos}
    if len(above) == 1 and os.path.isdir(below := os.path.join(tree.root, *above)) and _split_folders(Tree(below)):
        _log.warning("%s: its splits are not in it, but in %s; give that folder to use them", tree.root, below)


def _most(values: list[str | None]) -> bool:
    return 2 * sum(value is not None for value in values) > len(values)


def _warn_of_strays(root: str, strays: list[str]) -> None:
    if strays:
        num, they, have = (1, "video lies", "has") if len(strays) == 1 else (len(strays), "videos lie", "have")
        names = ", ".join(strays[:3]) + (" ..." if len(strays) > 3 else "")
        _log.warning("%s: %d %s beside the folders of the others and %s no label: %s", root, num, they, have, names)


def _scan_listed(layout: str, tree: Tree, videos: list[str]) -> Iterator[Row]:
    root, lists = tree.root, read_lists(tree.root, layout)
    found: dict[tuple[str, ...], str] = {}
    homes: dict[str | None, str] = {}  # class -> a folder that holds one of its videos
    for video in videos:
        key = lists.key(video)
        if key in lists.entries:
            if key in found:
                raise ConfigError(f"{root}: {found[key]} and {video} are one video of the official lists; remove one")
            found[key] = video
            homes.setdefault(lists.entries[key][1], os.path.dirname(video))
    if not found:
        name = next(iter(lists.entries.values()))[0] if lists.entries else "nothing"
        raise ConfigError(f"{root}: none of its videos ({videos[0]} ...) is in the official lists ({name} ...)")
    missing = {key: entry for key, entry in lists.entries.items() if key not in found and entry[1] in homes}
    classes = {label for _, label, _ in lists.entries.values() if label is not None}
    _warn_of_gaps(
        root,
        num_found=len(found),
        num_unlisted=len(videos) - len(found),
        missing=[entry[0] for entry in missing.values()],
    )
    absent = sorted(classes - homes.keys())
    if absent and not os.path.exists(os.path.join(root, SUBSET_MARK)):  # a subset has the whole's lists
        _log.warning("%s: %d of %d classes have no video, e.g. %s", root, len(absent), len(classes), absent[0])

    for fold in range(max(len(entry[2]) for entry in lists.entries.values())):
        if gaps := sum(lists.entries[key][2][fold] is None for key in found):
            _log.warning(
                "%s: %d listed videos are in no list of fold %d; is one missing or cut short?", root, gaps, fold + 1
            )
    unlisted = [None] * max(len(entry[2]) for entry in lists.entries.values())
    for video in videos:
        folder = os.path.basename(os.path.dirname(video))
        entry = lists.entries.get(lists.key(video), (video, folder if folder in classes else None, unlisted))
        yield new_row(video, root, entry[1], split=entry[2][0], folds=entry[2] if lists.has_folds else None)
    for name, label, splits in missing.values():
        row = new_row(os.path.join(homes[label], os.path.basename(name)), root, label, split=splits[0])
        row.update(status="missing", reason="named in the official lists, but not here")
        yield row | {"folds": splits if lists.has_folds else None}


def _warn_of_gaps(root: str, *, num_found: int, num_unlisted: int, missing: list[str]) -> None:
    if missing:
        total = num_found + len(missing)
        _log.warning(
            "%s: %d of %d listed videos are missing, e.g. %s", root, len(missing), total, ", ".join(missing[:3])
        )
    if num_unlisted:
        _log.warning("%s: videos in no official list, and so in no split: %d", root, num_unlisted)


LAYOUTS: dict[str, Callable[[Tree, list[str]], Iterator[Row]]] = {
    "kinetics": _scan_kinetics,
    **{layout: partial(_scan_listed, layout) for layout in LIST_NAMES},
    "folder": _scan_folder,
}
"""Layout -> function that makes rows of a data set's `Tree` and its sorted videos."""
