"""Videos that are one and the same under several names, and what of them is in the training and in the test set.

They are known by what `verify` found in their packets, so that another container does not hide them; those that it has
not read, by the bytes of their files.
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

_ORDER = {"test": 0, "val": 1}  # a test set stays as it is, and the training set gives way
_NUM_NAMED = 3


def duplicates(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each video that has several, in the order of the rows.

    Args:
        rows: with at least video, root, content and bytes (None where not known).
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
            with suppress(OSError):  # not to be read; training and testing will say so
                known.setdefault((size, sha256(_path(row))), []).append(row)
    return [group for group in known.values() if len(group) > 1]


def superfluous(rows: Iterable[Row]) -> list[Row]:
    """Rows to leave out so that each video is there once: those of the training set before those of a test set."""
    found = []
    for group in duplicates(rows):
        found += sorted(group, key=lambda row: _ORDER.get(row["split"], 2))[1:]
    return found


def tell_leaks(train: "Dataset", test: "Dataset") -> None:
    """Say which test videos are training videos as well, and which test classes have no training video."""
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
            f"warning: {number} of {console.some(len(test), 'test video')} are training videos too, which the result "
            "gains from;",
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


def _size(row: Row) -> int | None:
    if row["bytes"] is not None:
        return int(row["bytes"])
    try:
        return _path(row).stat().st_size
    except (OSError, ValueError):
        return None


def _path(row: Row) -> Path:
    return Path(os.path.join(row["root"], row["video"]))
