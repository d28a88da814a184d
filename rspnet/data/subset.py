"""A smaller data set of whole classes: choose the classes, and make the folder of symbolic links to their videos."""

import difflib
import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rspnet import console
from rspnet.data.duplicates import superfluous
from rspnet.data.remote import is_remote
from rspnet.data.rows import BAD_NAME, USABLE, Row
from rspnet.data.texts import read_lines
from rspnet.disk import whole
from rspnet.errors import ConfigError
from rspnet.temporary import sweep

DUPLICATE = "duplicate"
"""Status of a video that is left out because it is already included under another name."""

_NO_LINK = ("missing", BAD_NAME, DUPLICATE)
"""Statuses of videos that are not linked: there is no file, its name is not acceptable, or it is not wanted."""


def choose_classes(
    rows: list[Row],
    source: str,
    *,
    classes: str | None = None,
    num_classes: int | None = None,
    by: str = "bytes",
    seed: int = 0,
    every: bool = False,
) -> list[str]:
    """Return the names of the classes to take, sorted.

    Args:
        rows: of the whole data set.
        source: name of the data set, for messages.
        classes: text file that names the classes.
        num_classes: how many to take; may be None if `classes` is given.
        by: ``bytes`` takes the classes with the smallest total size of training files, ``count`` those with the fewest
            training videos, ``random`` any.
        seed: of the random choice.
        every: take all classes if neither `classes` nor `num_classes` is given.

    Raises:
        ConfigError: there are no labels, no such classes, or fewer classes than wanted; or nothing is given.
    """
    labels = {row["label"] for row in rows} - {None}
    if not labels:
        raise ConfigError(f"{source}: its videos have no labels; a subset is made of whole classes")
    if classes is not None:
        names = _read_names(classes, labels)
        if num_classes not in (None, len(names)):
            raise ConfigError(
                f"{classes} names {console.some(len(names), 'class', 'classes')}, --num_classes is {num_classes}"
            )
        return sorted(names)
    labels &= {row["label"] for row in rows if row["status"] not in _NO_LINK}
    if num_classes is None:
        if every:
            return sorted(labels)
        raise ConfigError("give --num_classes N, or --classes FILE")
    if not 1 <= num_classes <= len(labels):
        raise ConfigError(f"--num_classes {num_classes}: {source} has {console.some(len(labels), 'class', 'classes')}")
    if by == "random":
        return sorted(random.Random(seed).sample(sorted(labels), num_classes))
    sizes = _sizes(rows, labels, by)
    return sorted(sorted(labels, key=lambda name: (sizes[name], name))[:num_classes])


def _sizes(rows: list[Row], labels: set[str], by: str) -> dict[str, int]:
    """Return the size of each class: bytes or number of its training files."""
    # Data without splits is all training data; otherwise only the training files count, as in the published rule.
    splits = {row["split"] for row in rows}
    counted = {"train"} if splits != {None} else splits
    sizes = dict.fromkeys(labels, 0)
    for row in rows:
        if row["label"] is not None and row["split"] in counted and row["status"] not in _NO_LINK:
            sizes[row["label"]] += _bytes(row) if by == "bytes" else 1
    return sizes


def mark_duplicates(rows: list[Row], classes: Iterable[str]) -> None:
    """Set status ``duplicate`` on all but one of the rows of each video that these classes contain several times."""
    classes = set(classes)
    for row in superfluous(row for row in rows if row["label"] in classes and row["status"] in USABLE):
        row.update(status=DUPLICATE, reason="the same video is there under another name")


def plan_links(
    rows: list[Row], classes: Iterable[str], links: dict[str, str], *, whole_folders: bool
) -> dict[str, str]:
    """Return the links to make: path in the subset -> absolute path of the folder or video that it points to.

    Args:
        rows: of the whole data set.
        classes: names of the classes to take.
        links: to make in addition to those of the videos.
        whole_folders: link a folder as a whole if all its videos are taken.

    Raises:
        ConfigError: videos of two roots have the same relative path, or are remote.
    """
    classes = set(classes)
    here = [row for row in rows if row["status"] != "missing"]
    unwanted = (row for row in here if row["label"] not in classes or row["status"] == DUPLICATE)
    mixed = {folder for row in unwanted for folder in _above(row["video"])} | {""}
    links = dict(links)
    for row in here:
        if row["label"] in classes and row["status"] not in _NO_LINK:
            folder = os.path.dirname(row["video"])
            path = folder if whole_folders and folder not in mixed else row["video"]
            if is_remote(row["root"]):
                raise ConfigError(
                    f"{row['root']}: a subset is made of links, which cannot point to a URL; transcode it first"
                )
            target = os.path.join(row["root"], path)
            if links.setdefault(path, target) != target:
                raise ConfigError(
                    f"{links[path]} and {target} would have the same place in the subset; make two subsets"
                )
    return {path: target for path, target in links.items() if not _above(path) & links.keys()}


def make_tree(dst: str, links: dict[str, str], mark: dict[str, Any], *, mark_name: str) -> bool:
    """Make the folder `dst` of relative links in one step, with a file `mark_name` that identifies it.

    Returns:
        Whether it was made; False if the same subset is there already.

    Raises:
        ConfigError: `dst` holds something else, or cannot be made.
        DiskError: the disk is full, or read-only.
    """
    mark = mark | {"links": hashlib.sha256(json.dumps(sorted(links.items())).encode()).hexdigest()}
    if _is_made(dst, mark, mark_name):
        return False
    home = os.path.realpath(os.path.dirname(dst))  # relative links are resolved from their real place
    sweep(os.path.dirname(dst))
    try:
        with whole(dst, folder=True) as part:
            _fill_tree(part, os.path.join(home, os.path.basename(dst)), links)
            (part / mark_name).write_text(json.dumps(mark, indent=2, ensure_ascii=False), encoding="utf-8")
    except ConfigError:
        if _is_made(dst, mark, mark_name):  # by another process, meanwhile
            return False
        raise
    return True


def _is_made(dst: str, mark: dict[str, Any], mark_name: str) -> bool:
    """Return whether `dst` is the subset with this mark; False if it does not exist or is an empty folder.

    Raises:
        ConfigError: it is something else.
    """
    if not os.path.lexists(dst) or (not os.path.islink(dst) and os.path.isdir(dst) and not os.listdir(dst)):
        return False
    try:
        with open(os.path.join(dst, mark_name), encoding="utf-8") as handle:
            if json.load(handle) == mark:
                return True
    except (OSError, ValueError):
        raise ConfigError(f"{dst}: exists and is not a subset; choose another folder") from None
    raise ConfigError(f"{dst}: holds another subset; choose another folder, or remove it first")


def _fill_tree(part: Path, dst: str, links: dict[str, str]) -> None:
    """Make the links in the folder `part` so that they are right once it is renamed to `dst`."""
    relative: dict[tuple[str, str], str] = {}  # (folder in the subset, target folder) -> relative path
    for path, target in links.items():
        folder, (target_folder, name) = os.path.dirname(path), os.path.split(target)
        if (folder, target_folder) not in relative:
            os.makedirs(os.path.join(part, folder), exist_ok=True)
            relative[folder, target_folder] = os.path.relpath(
                os.path.realpath(target_folder), os.path.join(dst, folder)
            )
        os.symlink(os.path.join(relative[folder, target_folder], name), os.path.join(part, path))


def summary(rows: list[Row], links: dict[str, str], classes: list[str]) -> dict[str, Any]:
    """Summarise a subset: the number of links, classes and videos, and of videos in each split.

    Videos that are not linked are not among them, but counted by status in ``left_out``.

    Args:
        rows: of the subset.
        links: from `plan_links`.
        classes: from `choose_classes`.
    """
    left_out = Counter(row["status"] for row in rows if row["status"] in _NO_LINK)
    splits = Counter(row["split"] or "no split" for row in rows if row["status"] not in _NO_LINK)
    counts = {"num_links": len(links), "num_classes": len(classes), "num_videos": splits.total()}
    return counts | {"splits": dict(splits), "classes": classes, "left_out": dict(left_out)}


def report(summary: dict[str, Any]) -> str:
    """Return a `summary` as one line; it also needs ``dst``, and ``made``: whether it was made just now."""
    counts = ", ".join(f"{count} {split}" for split, count in summary["splits"].items())
    classes, videos = (
        console.some(summary["num_classes"], "class", "classes"),
        console.some(summary["num_videos"], "video"),
    )
    left_out = ", ".join(f"{count} {status}" for status, count in summary["left_out"].items())
    left_out = f"; left out: {left_out}" if left_out else ""
    made = "" if summary["made"] else "; already there"
    return f"{summary['dst']}: {classes}, {videos} ({counts}){left_out}{made}"


def _read_names(path: str, labels: set[str]) -> set[str]:
    try:
        names = {line for _, line in read_lines(path)}
    except ConfigError as error:
        raise ConfigError(f"--classes {error}") from None
    for name in sorted(names - labels):
        close = difflib.get_close_matches(name, labels, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {len(labels)}, e.g. {min(labels)!r}"
        raise ConfigError(f"--classes {path}: no class {name!r} in the data set; {hint}")
    if not names:
        raise ConfigError(f"--classes {path}: names no class")
    return names


def _bytes(row: Row) -> int:
    if row["bytes"] is not None:
        return int(row["bytes"])
    path = os.path.join(row["root"], row["video"])
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise ConfigError(f"{path}: its size is needed, but cannot be read ({error.strerror})") from None


def _above(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}
