"""Make a smaller data set of whole classes out of symbolic links: Kinetics-100 from Kinetics-400.

    python stages/subset.py ROOT DST --num_classes 100 --out subset.jsonl
    python stages/subset.py index.parquet DST --classes names.txt > subset.jsonl

Chooses classes of the data set in ROOT (or of an index) and makes DST, a folder in the same layout whose class folders,
or single videos where there are none, are relative symbolic links into ROOT; official list files are linked as well.
Writes the rows of the subset to stdout, or an index file with --out. DST appears at once when it is complete; the same
command again changes nothing, a different subset needs another DST.
"""

import difflib
import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rspnet import console
from rspnet.cli import options
from rspnet.cli.command import run
from rspnet.disk import sweep, whole
from rspnet.errors import ConfigError


@dataclass
class Config:
    """What is chosen, from where, and where it goes."""

    source: str
    """Folder of a data set, or an index of videos: .jsonl, .parquet, a list (.txt, .csv, .tsv), or - for JSON Lines on
    standard input."""
    dst: str
    """Folder that is made."""
    num_classes: int | None = None
    """Number of classes that are taken (null: all that --classes names)."""
    by: Literal["bytes", "count", "random"] = "bytes"
    """Which classes are taken: those of smallest total training file size (bytes, as the published Kinetics-100), of
    fewest training videos (count), or any (random)."""
    classes: str | None = None
    """Text file that names the classes to take, one per line, in place of --by."""
    seed: int = 0
    """Seed of the choice that --by random makes."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""

    def __post_init__(self) -> None:
        if self.classes is not None and self.by != "bytes":
            raise ConfigError(
                f"by: {self.by}; with --classes the file names the classes, and there is nothing to choose"
            )
        if self.seed and (self.by != "random" or self.classes is not None):
            raise ConfigError(f"seed: {self.seed}; only --by random draws: add it, or leave the seed out")


def main(config: Config) -> dict[str, Any]:
    """Make the subset, and return what it holds."""
    from rspnet.data import index, layouts

    lists: list[str] = []
    if index.is_index(config.source):
        layout, rows = "index", list(index.check_roots(index.read_rows(config.source)))
    else:
        layout = layouts.detect(config.source) if config.layout == "auto" else config.layout
        rows = list(layouts.scan(config.source, layout))
        lists = layouts.list_files(config.source, layout)
    classes = choose_classes(rows, config)
    links = {path: os.path.join(os.path.abspath(config.source), path) for path in lists}
    links = plan_links(rows, classes, links, whole_folders=layout != "index")
    dst = os.path.abspath(config.dst)
    made = make_tree(dst, links, {"layout": layout, "classes": classes}, layouts.SUBSET_MARK)
    chosen = set(classes)
    kept = [row | {"root": dst} for row in rows if row["label"] in chosen]
    index.write_rows(kept, config.out)  # FILE may lie in DST
    splits = Counter(row["split"] or "no split" for row in kept)
    counts = ", ".join(f"{count} {split}" for split, count in splits.items())
    what = f"{console.some(len(classes), 'class', 'classes')}, {console.some(len(kept), 'video')}"
    console.say(f"{dst}: {what} ({counts}){'' if made else '; was there already'}")
    summary = {"stage": "subset", "dst": dst, "made": made, "num_links": len(links), "num_classes": len(classes)}
    return summary | {"num_videos": len(kept), "splits": dict(splits), "classes": classes}


def choose_classes(rows: list[dict[str, Any]], config: Config) -> list[str]:
    """The names of the classes to take, sorted.

    Raises:
        ConfigError: no labels, no such classes, or more than there are.
    """
    labels = {row["label"] for row in rows} - {None}
    if not labels:
        raise ConfigError(f"{config.source}: its videos have no labels; a subset is made of whole classes")
    if config.classes is not None:
        names = _read_names(config.classes, labels)
        if config.num_classes not in (None, len(names)):
            raise ConfigError(f"{config.classes} names {len(names)} classes, --num_classes is {config.num_classes}")
        return sorted(names)
    if config.num_classes is None:
        raise ConfigError("give --num_classes N, or --classes FILE")
    if not 1 <= config.num_classes <= len(labels):
        raise ConfigError(f"--num_classes {config.num_classes}: {config.source} has {len(labels)} classes")
    if config.by == "random":
        return sorted(random.Random(config.seed).sample(sorted(labels), config.num_classes))
    # Something without splits is all training data; otherwise only those files count, as in the published rule.
    splits = {row["split"] for row in rows}
    counted = {"train"} if splits != {None} else splits
    sizes = dict.fromkeys(labels, 0)
    for row in rows:
        if row["label"] is not None and row["split"] in counted and row["status"] != "missing":
            sizes[row["label"]] += _bytes(row) if config.by == "bytes" else 1
    return sorted(sorted(labels, key=lambda name: (sizes[name], name))[: config.num_classes])


def plan_links(
    rows: list[dict[str, Any]], classes: Iterable[str], links: dict[str, str], whole_folders: bool
) -> dict[str, str]:
    """Links to make: path in the subset -> absolute path of the folder or video it points to.

    Args:
        rows: of the whole data set.
        classes: names of those to take.
        links: to make besides those of the videos.
        whole_folders: link a folder as one where it holds nothing but videos to take.

    Raises:
        ConfigError: videos of two roots have the same relative path.
    """
    classes = set(classes)
    here = [row for row in rows if row["status"] != "missing"]
    mixed = {os.path.dirname(row["video"]) for row in here if row["label"] not in classes} | {""}
    links = dict(links)
    for row in here:
        if row["label"] in classes:
            folder = os.path.dirname(row["video"])
            path = folder if whole_folders and folder not in mixed else row["video"]
            target = os.path.join(row["root"], path)
            if links.setdefault(path, target) != target:
                raise ConfigError(
                    f"{links[path]} and {target} would have the same place in the subset; make two subsets"
                )
    return {path: target for path, target in links.items() if not _above(path) & links.keys()}


def make_tree(dst: str, links: dict[str, str], mark: dict[str, Any], mark_name: str) -> bool:
    """Make `dst` with relative links, all at once, and a file that says what it is; False if it is there already.

    Raises:
        ConfigError: `dst` holds something else, or cannot be made.
        DiskError: the disk is full, or read-only.
    """
    mark = mark | {"links": hashlib.sha256(json.dumps(sorted(links.items())).encode()).hexdigest()}
    if os.path.lexists(dst) and (os.path.islink(dst) or not os.path.isdir(dst) or os.listdir(dst)):
        try:
            with open(os.path.join(dst, mark_name), encoding="utf-8") as handle:
                if json.load(handle) == mark:
                    return False
        except (OSError, ValueError):
            raise ConfigError(f"{dst}: exists and is no subset; choose another folder") from None
        raise ConfigError(f"{dst}: holds another subset; choose another folder, or remove it first")
    home = os.path.realpath(os.path.dirname(dst))  # links are followed from where they really are
    sweep(os.path.dirname(dst))
    with whole(dst, folder=True) as part:
        _fill_tree(part, os.path.join(home, os.path.basename(dst)), links)
        (part / mark_name).write_text(json.dumps(mark, indent=2, ensure_ascii=False), encoding="utf-8")
    return True


def _fill_tree(part: Path, dst: str, links: dict[str, str]) -> None:
    """Make the links in the folder `part`, as they will be right when it is `dst`."""
    relative: dict[tuple[str, str], str] = {}  # (folder in the subset, folder pointed to) -> the way between them
    for path, target in links.items():
        folder, (target_folder, name) = os.path.dirname(path), os.path.split(target)
        if (folder, target_folder) not in relative:
            os.makedirs(os.path.join(part, folder), exist_ok=True)
            relative[folder, target_folder] = os.path.relpath(
                os.path.realpath(target_folder), os.path.join(dst, folder)
            )
        os.symlink(os.path.join(relative[folder, target_folder], name), os.path.join(part, path))


def _read_names(path: str, labels: set[str]) -> set[str]:
    from rspnet.data.texts import read_lines

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


def _bytes(row: dict[str, Any]) -> int:
    if row["bytes"] is not None:
        return row["bytes"]
    path = os.path.join(row["root"], row["video"])
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise ConfigError(f"{path}: its size is needed, but {error.strerror}") from None


def _above(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}


if __name__ == "__main__":
    run(main, Config)
