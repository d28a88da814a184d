"""An evaluation's per-video predictions and neighbours, read from its files; malformed lines are left out."""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from rspnet.report.hits import COUNTED
from rspnet.report.record import Record

_SAID_BY = {
    "classify": "the classifier",
    "linear": "the linear probe",
    "knn": "the vote of the 20 nearest training videos",
}
"""What classifies the videos, by protocol; the first of these that a run has is shown."""


@dataclass(frozen=True)
class Guess:
    """A video and its predicted classes.

    Attributes:
        video: Name of the video.
        label: Its true class; None if not known.
        classes: Predicted classes, most likely first; at least one.
        probabilities: Their probabilities, 0 to 1; empty if a neighbour decides.
    """

    video: str
    label: str | None
    classes: tuple[str, ...]
    probabilities: tuple[float, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether the first predicted class is the true one."""
        return self.label == self.classes[0]


@dataclass(frozen=True)
class Judged:
    """Predictions of test videos whose class is known.

    Attributes:
        by: What classifies them, in words.
        guesses: One for each video; at least one.
    """

    by: str
    guesses: list[Guess]


@dataclass(frozen=True)
class Neighbour:
    """A video that is near another one.

    Attributes:
        video: Name of the video.
        label: Its class; None if not known.
        similarity: Cosine similarity of the features.
    """

    video: str
    label: str | None
    similarity: float


@dataclass(frozen=True)
class Query:
    """A video and those nearest to it.

    Attributes:
        video: Name of the video.
        label: Its class; None if not known.
        near: The nearest videos, nearest first; at least one.
        counted: The nearest that counts, which is of another film if there is no split; None if all are of its film.
    """

    video: str
    label: str | None
    near: tuple[Neighbour, ...]
    counted: Neighbour | None


def judged(record: Record) -> Judged | None:
    """Return the predictions of the test videos by a classifier, a probe, or else the nearest neighbour.

    None if there are none of videos whose class is known, or only neighbours and some videos have no class.
    """
    for protocol, by in _SAID_BY.items():
        guesses = [guess for line in record.predictions.get(protocol, []) if (guess := _guess(line)) is not None]
        if labelled := [guess for guess in guesses if guess.label is not None]:
            return Judged(by, labelled)
    found = queries(record)
    if any(query.label is None for query in found):  # as in the evaluation, which has no recall then
        return None
    nearest = [
        Guess(query.video, query.label, (first,))
        for query in found
        if query.counted is not None and (first := query.counted.label) is not None
    ]
    return Judged("the nearest neighbour's class", nearest) if nearest else None


def queries(record: Record) -> list[Query]:
    """Return the test videos with their nearest neighbours."""
    return [query for line in record.neighbours if (query := _query(line)) is not None]


def _guess(line: dict[str, Any]) -> Guess | None:
    video, label = line.get("video"), line.get("label")
    classes, probabilities = line.get("predicted"), line.get("probability")
    if not isinstance(video, str) or not isinstance(label, str | None):
        return None
    if not isinstance(classes, list) or not isinstance(probabilities, list):
        return None
    if not classes or len(classes) != len(probabilities) or not all(isinstance(each, str) for each in classes):
        return None
    if not all(_is_number(each) and 0 <= each <= 1 for each in probabilities):
        return None
    return Guess(video, label, tuple(classes), tuple(map(float, probabilities)))


def _query(line: dict[str, Any]) -> Query | None:
    video, label, near = line.get("video"), line.get("label"), line.get("neighbours")
    if not isinstance(video, str) or not isinstance(label, str | None) or not isinstance(near, list):
        return None
    found = tuple(neighbour for each in near if (neighbour := _neighbour(each)) is not None)
    if not found or len(found) < len(near):
        return None
    return Query(video, label, found, _neighbour(line[COUNTED]) if COUNTED in line else found[0])


def _neighbour(said: object) -> Neighbour | None:
    if not isinstance(said, dict):
        return None
    video, label, similarity = said.get("video"), said.get("label"), said.get("similarity")
    if not isinstance(video, str) or not isinstance(label, str | None) or not _is_number(similarity):
        return None
    return Neighbour(video, label, float(similarity))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
