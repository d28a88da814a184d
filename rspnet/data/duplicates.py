"""Find videos that are there several times under different names, for example in both training and test set.

Duplicates are recognised by the hash of their packets that stages/verify.py made, so that another container does not
hide them; local videos without one, by the bytes of their files.
"""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rspnet import console
from rspnet.data.rows import Row
from rspnet.disk import sha256

if TYPE_CHECKING:
    from datasets import Dataset

_ORDER = {"test": 0, "val": 1}  # of duplicates, the one in a test set is kept
_NUM_NAMED = 3


def duplicates(rows: Iterable[Row]) -> list[list[Row]]:
    """Return groups of rows, each of one video that has several; within a group in the order of `rows`.

    Args:
        rows: with at least video, root, content and bytes (the last two None if not known).
    """
    known: dict[tuple[object, ...], list[Row]] = {}
    unread: dict[int, list[Row]] = {}
    for row in rows:
        if row["content"] is not None:
            known.setdefault((row["content"],), []).append(row)
        elif (size := _size(row)) is not None:
            unread.setdefault(size, []).append(row)
    for size, alike in unread.items():
        for row in alike if len(alike) > 1 else ():
            with suppress(OSError):  # unreadable: training and testing will report it
                known.setdefault((size, sha256(_path(row))), []).append(row)
    return [group for group in known.values() if len(group) > 1]


def superfluous(rows: Iterable[Row]) -> list[Row]:
    """Return the rows to leave out so that each video is there once; a row of the test set, then of val, is kept."""
    found = []
    for group in duplicates(rows):
        found += sorted(group, key=lambda row: _ORDER.get(row["split"], 2))[1:]
    return found


def tell_leaks(train: "Dataset", test: "Dataset") -> None:
    """Warn of test videos that are training videos too, test classes without one, and classes whose names are alike."""
    if not console.is_main():
        return
    columns = ["video", "root", "content", "bytes", "label"]
    known, tested = (videos.select_columns(columns).to_list() for videos in (train, test))
    groups = duplicates([row | {"tested": False} for row in known] + [row | {"tested": True} for row in tested])
    leaks = [group for group in groups if not group[0]["tested"] and group[-1]["tested"]]
    if leaks:
        number = sum(row["tested"] for group in leaks for row in group)
        names = [f"{group[-1]['video']} is {group[0]['video']}" for group in leaks[:_NUM_NAMED]]
        more = " ..." if len(leaks) > _NUM_NAMED else ""
        console.say(
            f"warning: {number} of {console.some(len(test), 'test video')} are training videos too, which inflates the "
            "result;",
            f"{', '.join(names)}{more}",
            "stages/subset.py --without_duplicates makes a data set without them",
        )
    numbers = Counter(row["label"] for row in tested if row["label"] is not None)
    classes = test.features["label"].names
    if unseen := [classes[label] for label in sorted(numbers.keys() - {row["label"] for row in known})]:
        count = sum(numbers[classes.index(name)] for name in unseen)
        named = ", ".join(unseen[:_NUM_NAMED]) + (" ..." if len(unseen) > _NUM_NAMED else "")
        console.say(
            f"warning: no training video shows {console.some(len(unseen), 'class', 'classes')} of the test set, with "
            f"{console.some(count, 'video')}: {named}"
        )
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
    for names in (names for names in alike.values() if len(names) > 1):
        console.say(f"warning: {' and '.join(map(repr, names))} are different classes, by case or blanks alone")


def _size(row: Row) -> int | None:
    if row["bytes"] is not None:
        return int(row["bytes"])
    try:
        return _path(row).stat().st_size
    except (OSError, ValueError):
        return None


def _path(row: Row) -> Path:
    return Path(os.path.join(row["root"], row["video"]))
