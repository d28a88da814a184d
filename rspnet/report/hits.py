"""Read which videos were classified correctly from an evaluation's lines, and check it against result.json."""

from collections.abc import Iterable
from typing import Any

from rspnet.report.tables import is_number

COUNTED = "nearest_of_another_film"
"""Key of the neighbour that counts if the nearest ones may be of the video's own film."""
_SHARES = {"classify": ("top1",), "knn": ("top1",), "linear": ("top1",), "retrieval": ("recall", "1")}
_NUMBERS = ("num_videos", "num_queries")
_ROUNDED = 0.01
"""Percentage points by which lines and result may differ, because a result's percentages have two decimals."""

Hits = dict[str, tuple[str, bool]]
"""Video -> its class, and whether it is classified correctly."""


def hits(lines: Iterable[dict[str, Any]]) -> Hits:
    """Return which videos are classified correctly, by the first predicted class or that of the nearest neighbour."""
    return {video: hit for line in lines if (hit := _hit(line)) is not None and isinstance(video := line["video"], str)}


def share(score: dict[str, Any], protocol: str) -> tuple[float, int] | None:
    """Return a result's percentage of correct test videos, and of how many videos; None if it lacks either."""
    value: Any = score
    for key in _SHARES.get(protocol, ("",)):
        value = value.get(key) if isinstance(value, dict) else None
    number = next((score[name] for name in _NUMBERS if is_number(score.get(name)) and score[name] > 0), None)
    return (float(value), int(number)) if is_number(value) and number is not None else None


def contradiction(lines: list[dict[str, Any]], score: dict[str, Any], protocol: str) -> str | None:
    """Describe how lines and result of the same number of videos disagree; None if they agree or cannot be compared."""
    told, counted = hits(lines), share(score, protocol)
    if counted is None or counted[1] != len(told):
        return None
    right = 100 * sum(is_right for _, is_right in told.values()) / len(told)
    if abs(right - counted[0]) <= _ROUNDED:
        return None
    return (
        f"{right:.2f} % of {len(told)} videos are right by the lines of {protocol}, {counted[0]:.2f} % by result.json"
    )


def _hit(line: dict[str, Any]) -> tuple[str, bool] | None:
    label, said, near = line.get("label"), line.get("predicted"), line.get("neighbours")
    first = line.get(COUNTED, near[0] if isinstance(near, list) and near else None)
    if not isinstance(label, str):
        return None
    if isinstance(said, list) and said:
        return label, said[0] == label
    if isinstance(first, dict) or COUNTED in line:  # null if all others are of its film: then it counts as wrong
        return label, isinstance(first, dict) and first.get("label") == label
    return None
