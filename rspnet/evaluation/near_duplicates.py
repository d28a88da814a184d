"""Test videos that the features hardly tell from a training video.

A film that was encoded anew, cut or cropped has other bytes, so that rspnet/data/duplicates.py does not know it again;
its features are those of the same pictures all the same. Q test videos, M training videos, D values per feature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rspnet.console import some

Floats = npt.NDArray[np.floating[Any]]

_ROWS, _COLUMNS = 1024, 4096  # similarities held at once, 32 MiB in float64
_NUM_NAMED = 3
_FEWEST = 20  # test videos of which anything can be said to be usual
_LEAST = 1e-12  # below, distances are rounding
_NEARER = 10  # times nearer than half of all, at least: random features have distances that are all but the same


@dataclass(frozen=True)
class Nearest:
    """Of each test video the training video nearest to it.

    Attributes:
        places: (Q,) int64, of training videos; of several that are as near the first.
        distances: (Q,) float64, one less the cosine of the two features, 0 to 2.
    """

    places: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Places of the test videos, those with the nearest neighbour first; of two that are as near the earlier."""
        return np.argsort(self.distances, kind="stable").astype(np.int64)

    @property
    def apart(self) -> npt.NDArray[np.bool_]:
        """Which test videos (Q,) are much nearer to a training video than is usual here.

        At less than a tenth of the median distance, and far out by the rule of Tukey (1977) on the logarithms: below
        the lower quartile by more than three times the distance of the quartiles. So it is asked what is usual of these
        features: where all videos are alike, or the network has collapsed, none stands apart. Nor does one of fewer
        than twenty, or where a quarter of the test set is in the training set. It is a reason to look, and proves
        nothing.
        """
        if len(self.distances) < _FEWEST:
            return np.zeros(len(self.distances), np.bool_)
        logs = np.log(np.maximum(self.distances, _LEAST))
        low, middle, high = np.percentile(logs, (25, 50, 75))
        found: npt.NDArray[np.bool_] = logs < min(low - 3 * (high - low), middle - np.log(_NEARER))
        return found


def warning(found: Nearest, test: Sequence[str], train: Sequence[str]) -> str:
    """Name test videos that stand apart, in a line; nothing where none does.

    Args:
        found: Of them.
        test: Names of the test videos.
        train: Names of the training videos.
    """
    apart = [place for place in found.order.tolist() if found.apart[place]]
    if not apart:
        return ""
    named = ", ".join(f"{test[place]} to {train[found.places[place]]}" for place in apart[:_NUM_NAMED])
    more = " ..." if len(apart) > _NUM_NAMED else ""
    number = f"{len(apart)} of {some(len(test), 'test video')} {'is' if len(apart) == 1 else 'are'}"
    return (
        f"warning: {number} much nearer to a training video than is usual: copies, or of one film? {named}{more}; the "
        "report shows them"
    )


def nearest_across(test: Floats, train: Floats) -> Nearest:
    """Find the training video nearest to each test video, by the cosine of their features.

    A block of similarities at a time: beside the features it takes some hundred megabytes, however many videos there
    are. Similarities are computed in float64 and compared in float32, so that a result does not depend on the blocks.

    Args:
        test: (Q, D) features of any length; one of zeros is as far from all.
        train: (M, D) features.

    Raises:
        ValueError: A feature is not finite, the shapes do not match, or there is no training video.
    """
    if test.ndim != 2 or train.ndim != 2 or test.shape[1] != train.shape[1] or not len(train):
        raise ValueError(f"features must be (Q, D) and (M, D), M at least 1, not {test.shape} and {train.shape}")
    places, best = np.zeros(len(test), np.int64), np.full(len(test), -np.inf, np.float32)
    for columns in _parts(len(train), _COLUMNS):
        known = _unit(train[columns])
        for rows in _parts(len(test), _ROWS):
            scores = (_unit(test[rows]) @ known.T).astype(np.float32)
            found = scores.argmax(axis=1)
            values = scores[np.arange(len(found)), found]
            nearer = values > best[rows]  # of equal ones the earlier stays
            places[rows] = np.where(nearer, columns.start + found, places[rows])
            best[rows] = np.maximum(values, best[rows])
    distances = [1 - (_unit(test[rows]) * _unit(train[places[rows]])).sum(axis=1) for rows in _parts(len(test), _ROWS)]
    return Nearest(places, np.round(np.clip(np.concatenate([*distances, np.empty(0)]), 0, 2), 12))


def _unit(features: Floats) -> npt.NDArray[np.float64]:
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity: the network has diverged, or its weights or input are damaged")
    exact = features.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = exact / np.where(lengths > 0, lengths, 1)
    return unit


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))
