"""Which test videos an evaluation's lines tell right, and whether that is what its result counts."""

from collections.abc import Iterable
from typing import Any

from rspnet.report.tables import is_number

COUNTED = "nearest_of_another_film"
"""Key of the neighbour that counts, where the nearest ones may be of the video's own film."""
_SHARES = {"classify": ("top1",), "knn": ("top1",), "linear": ("top1",), "retrieval": ("recall", "1")}
_NUMBERS = ("num_videos", "num_queries")
_ROUNDED = 0.01
"""A result's shares have two decimals."""

Hits = dict[str, tuple[str, bool]]
"""Video -> its class, and whether it is told right."""


def hits(lines: Iterable[dict[str, Any]]) -> Hits:
    """Which videos are told right: by the first class that is said, or by that of the nearest neighbour that counts."""
    return {video: hit for line in lines if (hit := _hit(line)) is not None and isinstance(video := line["video"], str)}


def share(score: dict[str, Any], protocol: str) -> tuple[float, int] | None:
    """A result's share of test videos that are told right, percent, and of how many; None: it has none, or of none."""
    value: Any = score
    for key in _SHARES.get(protocol, ("",)):
        value = value.get(key) if isinstance(value, dict) else None
    number = next((score[name] for name in _NUMBERS if is_number(score.get(name)) and score[name] > 0), None)
    return (float(value), int(number)) if is_number(value) and number is not None else None


def contradiction(lines: list[dict[str, Any]], score: dict[str, Any], protocol: str) -> str | None:
    """What lines and their result say of the same number of videos, where it is not the same; None: nothing of that."""
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
    if isinstance(first, dict) or COUNTED in line:  # nothing counts where all others are of its film
        return label, isinstance(first, dict) and first.get("label") == label
    return None
