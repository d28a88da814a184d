"""Intervals for a fine-tuned network's test, whose result has none: over films if the videos' names name films."""

from typing import Any

import numpy as np

from rspnet.console import some
from rspnet.data.groups import films_of
from rspnet.evaluation.interval import of_shares

_FIRST = (1, 5)


def with_intervals(result: dict[str, Any] | None, lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return a result with `interval` and `interval_over` added if its test videos are of films; else unchanged.

    Videos of one film resemble each other: Wilson's interval treats them as independent, and is too narrow.

    Args:
        result: Result of a fine-tuning.
        lines: Its predictions, a line for each test video.
    """
    if result is None or "interval" in result or len(lines) != result.get("num_videos"):
        return result
    videos, labels, taken = ([line.get(name) for line in lines] for name in ("video", "label", "predicted"))
    if not all(isinstance(each, str) for each in (*videos, *labels)) or not all(
        isinstance(each, list) for each in taken
    ):
        return result
    films = films_of([str(each) for each in videos], [str(each) for each in labels])
    if films is None:
        return result
    hits = [[100.0 * (label in list(classes or ())[:k]) for k in _FIRST] for label, classes in zip(labels, taken)]
    ends = dict(zip((f"top{k}" for k in _FIRST), of_shares(np.array(hits), films)))
    return result | {"interval": ends, "interval_over": some(len(set(films)), "film")}
