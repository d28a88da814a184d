"""The videos of a study: small copies, and the lists of those for training and testing."""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from study_run import FOLDS, INDEXES, Options, digest

from rspnet.data.groups import film_of
from rspnet.disk import write_text

HELD_OUT = 0.3  # share of the training films that are tested if the split is `inner`
Call = Callable[[list[str]], None]


def listed(
    data: Options, more: list[str], places: dict[str, Path], work: Path, *, only: int | None = None, call: Call
) -> Path:
    """Make small copies of the videos, once, and the lists of a row of a study.

    Args:
        data: `data` of the study.
        more: further data sets to pretrain on, without labels.
        places: folder of each data set; not needed if its copies exist.
        work: folder for copies and lists.
        only: number of the data set's training videos to pretrain on, drawn at random; None for all.
        call: runs a command.

    Returns:
        The list to pretrain on. Beside it are lists of the data set alone, with the suffixes of `INDEXES`: with its
        splits, without any, and with splits that test each film once.
    """
    work.mkdir(parents=True, exist_ok=True)
    rows = copied(data["name"], data["short_side"], places, work, call=call)
    if data["split"] == "inner":
        rows = inner(rows)
    few = [] if only is None else [f"only_{only}"]
    index = work / "_".join(["_and_".join([data["name"], *more]), *few, data["split"], f"{digest(data)}.jsonl"])
    unsplit = [row | {"split": None, "folds": None} for row in rows]
    for name, lines in {"own": rows, "all": unsplit, "folds": folded(rows)}.items():
        write(index.with_suffix(INDEXES[name]), lines)
    if only is not None:
        rows = random.Random(0).sample([row for row in rows if is_pretrained_on(row)], only)
    for name in more:
        others = copied(name, data["short_side"], places, work, call=call)
        rows += [row | {"label": None, "split": "train", "folds": None} for row in others]
    write(index, rows)
    return index


def copied(name: str, short_side: int, places: dict[str, Path], work: Path, *, call: Call) -> list[Options]:
    """Return the index rows of a data set's small copies, which are made if they do not exist."""
    index, found = work / f"{name}_{short_side}.jsonl", work / f"{name}.jsonl"
    if not index.exists():
        if name not in places or not places[name].is_dir():
            where = f"{places[name]} is no folder" if name in places else "is needed"
            sys.exit(f"study.py: {name}: {where}; give its folder: --data {name}=FOLDER (make: {name.upper()}=FOLDER)")
        call(["stages/verify.py", str(places[name]), "--depth", "decode", "--out", str(found)])
        size = ["--short_side", str(short_side), "--out", str(index)]
        call(["stages/transcode.py", str(found), str(work / f"{name}_{short_side}"), *size])
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    if name in places and not rows[0].get("source", "").startswith(f"{places[name]}/"):
        sys.exit(
            f"study.py: {index} has copies of other videos than those in {places[name]}; remove it, or give --work"
        )
    return rows


def write(path: Path, rows: list[Options]) -> None:
    """Write an index, completely or not at all, unless it has this content already."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if not path.exists() or path.read_text() != text:
        write_text(path, text)


def inner(rows: list[Options]) -> list[Options]:
    """Return the training videos of the first fold, split by film into training and test videos."""
    rows = [row for row in rows if is_pretrained_on(row)]
    films = sorted({film(row) for row in rows})
    held_out = set(random.Random(0).sample(films, round(HELD_OUT * len(films))))
    return [row | {"split": "test" if film(row) in held_out else "train", "folds": None} for row in rows]


def is_pretrained_on(row: Options) -> bool:
    """Whether a video is a training video, of the first fold where there are several."""
    return bool((row["folds"] or [row["split"]])[0] == "train")


def folded(rows: list[Options]) -> list[Options]:
    """Return all videos with `FOLDS` splits, each of which tests another part of the films, of about equal size."""
    parts: dict[str, int] = {}
    sizes = [0] * FOLDS
    for (_, name), number in sorted(Counter((str(row["label"]), film(row)) for row in rows).items()):
        part = parts.setdefault(name, sizes.index(min(sizes)))  # a film of several classes is placed with its first
        sizes[part] += number
    splits = {name: ["test" if part == each else "train" for each in range(FOLDS)] for name, part in parts.items()}
    return [row | {"split": splits[film(row)][0], "folds": splits[film(row)]} for row in rows]


def film(row: Options) -> str:
    """Return the film that a video was cut from if its name names one, else the video's name."""
    return str(film_of(row["video"], row["label"]) or row["video"])
