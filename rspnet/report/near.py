"""The test videos nearest to a training video: if they are the same video, a result is too good."""

from statistics import median
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from rspnet.console import figures, some
from rspnet.data.duplicates import duplicates
from rspnet.data.fetched import is_missing
from rspnet.data.rows import Row
from rspnet.errors import VideoError
from rspnet.evaluation.near_duplicates import Nearest, nearest_across
from rspnet.report.record import Record
from rspnet.report.section import Section
from rspnet.report.tables import details, table
from rspnet.report.videos import Videos, label_of
from rspnet.terminal import visible

_SHOWN, _LISTED = 6, 30


class Side(NamedTuple):
    """The N test videos, or the N training videos.

    Attributes:
        videos: Names of the videos.
        labels: Their classes.
        values: Their features (N, D).
    """

    videos: list[str]
    labels: list[str | None]
    values: Any


def near(record: Record) -> Section | None:
    """Show the nearest pairs of test and training videos and compare their files; None if there are no features."""
    name, title = "near-duplicates", "Nearest pairs of test and training videos"
    if record.features is None:
        return None
    sides = sides_of(record)
    if sides is None:
        note = "The features are not of whole videos of both a test and a training set: there is nothing to compare."
        return Section(name, title, Markup(""), note)
    test, train = sides
    found = nearest_across(test.values, train.values)
    videos = Videos(record)
    shown = Markup("\n").join(_pair(videos, sides, found, place=place) for place in found.order[:_SHOWN].tolist())
    parts = (_said(found), shown, _listed(videos, sides, found))
    return Section(name, title, Markup('<p>{}</p>\n<div class="near">{}</div>\n{}').format(*parts))


def sides_of(record: Record) -> tuple[Side, Side] | None:
    """Return the test (or validation) and the training videos that have a feature; None if one of them has none."""
    features = record.features
    if features is None or not features.are_of_videos:
        return None
    splits = features.rows["split"].to_pylist()
    good = set(np.flatnonzero(np.isfinite(features.values).all(axis=1)).tolist())
    tested = "test" if "test" in splits else "val"
    sides = []
    for split in (tested, "train"):
        places = np.array([place for place in sorted(good) if splits[place] == split], np.int64)
        rows = features.rows.select(["video", "label"]).take(places).to_pydict()
        sides.append(Side(rows["video"], rows["label"], features.values[places]))
    return (sides[0], sides[1]) if all(side.videos for side in sides) else None


def same_file(one: Row | None, other: Row | None) -> str:
    """Say whether the files of two videos are the same: by their packets if both are known, else by their bytes.

    Args:
        one: Row of an index; None if not known.
        other: Likewise.
    """
    if one is None or other is None:
        return "files not compared: they are not found in the index"
    pair = [{name: row[name] for name in ("video", "root", "content", "bytes")} for row in (one, other)]
    if all(row["content"] is not None for row in pair):
        return "the same pictures in both files, packet by packet" if duplicates(pair) else "other bytes"
    pair = [row | {"content": None} for row in pair]
    if duplicates(pair):
        return "the same bytes in both files"
    are_there = all(not is_missing(row, VideoError()) for row in pair)
    return "other bytes" if are_there else "files not compared: they are not there"


def _said(found: Nearest) -> str:
    apart = int(found.apart.sum())
    said = "Test videos by their distance to the nearest training video, one less the cosine of the features; half of "
    said += f"{some(len(found.distances), 'test video')} are at {figures(median(found.distances.tolist()))} or nearer. "
    if apart:
        said += f"{some(apart, 'test video stands', 'test videos stand')} out: at less than a tenth of that, and far "
        said += "below what is usual here (Tukey's rule for outliers, on the logarithms). That is a reason to look "
        said += "at them, and proves nothing."
    else:
        said += "None stands out from what is usual here. Copies would stand first."
    return said


def _pair(videos: Videos, sides: tuple[Side, Side], found: Nearest, *, place: int) -> Markup:
    test, train = sides
    other = int(found.places[place])
    names = test.videos[place], train.videos[other]
    one = videos.card(names[0], Markup("test: <b>{}</b>").format(label_of(test.labels[place])))
    two = videos.card(names[1], Markup("training: <b>{}</b>").format(label_of(train.labels[other])))
    kind = "stands out" if found.apart[place] else "usual"
    said = f"distance {figures(float(found.distances[place]))} ({kind}); {same_file(*map(videos.row, names))}"
    return Markup('<figure class="two">{}{}<figcaption>{}</figcaption></figure>').format(one, two, said)


def _listed(videos: Videos, sides: tuple[Side, Side], found: Nearest) -> Markup:
    test, train = sides
    rows = []
    for place in found.order[:_LISTED].tolist():
        names = test.videos[place], train.videos[int(found.places[place])]
        distance = figures(float(found.distances[place]))
        rows.append((*map(visible, names), distance, same_file(*map(videos.row, names))))
    title = f"The nearest {len(rows)} of {len(test.videos)}" if len(rows) < len(test.videos) else "All pairs"
    return details(title, table(["test", "training", "distance", "files"], rows, label=title))
