"""The intervals of a fine-tuned network's test, which its result has not: over films where names tell these."""

from typing import Any

import numpy as np

from rspnet.console import some
from rspnet.data.groups import films_of
from rspnet.evaluation.interval import of_shares

_FIRST = (1, 5)


def with_intervals(result: dict[str, Any] | None, lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A result with `interval` and `interval_over` where its test videos are of films; else as it is.

    Videos of one film resemble each other: Wilson's interval takes each for news, and is too narrow.

    Args:
        result: Of a fine-tuning.
        lines: What is said of each of its test videos.
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
