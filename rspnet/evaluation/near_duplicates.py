"""Find test videos whose features are hardly different from those of a training video.

A film that was re-encoded, cut or cropped has other bytes, so that rspnet/data/duplicates.py does not recognise it, but
its features are still similar. Q test videos, M training videos, D values per feature.
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
_FEWEST = 20  # test videos; with fewer, it is unknown which distances are usual
_LEAST = 1e-12  # smaller distances are rounding errors
_NEARER = 10  # times smaller than the median, at least, because distances of random features are almost equal


@dataclass(frozen=True)
class Nearest:
    """The training video nearest to each test video.

    Attributes:
        places: (Q,) int64 positions of the training videos; the first of several at the same distance.
        distances: (Q,) float64, one minus the cosine of the two features, 0 to 2.
    """

    places: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Positions of the test videos by increasing distance of their neighbour; the earlier first if equal."""
        return np.argsort(self.distances, kind="stable").astype(np.int64)

    @property
    def apart(self) -> npt.NDArray[np.bool_]:
        """Which test videos (Q,) are much nearer to a training video than is usual in this test set.

        Their distance is less than a tenth of the median, and "far out" by the rule of Tukey (1977) on logarithms: more
        than three interquartile ranges below the lower quartile. The rule is relative to these features: none stands
        out if all videos are alike or the network has collapsed, and also if there are fewer than twenty test videos,
        or if a quarter of them is in the training set. It is a reason to look, not a proof.
        """
        if len(self.distances) < _FEWEST:
            return np.zeros(len(self.distances), np.bool_)
        logs = np.log(np.maximum(self.distances, _LEAST))
        low, middle, high = np.percentile(logs, (25, 50, 75))
        found: npt.NDArray[np.bool_] = logs < min(low - 3 * (high - low), middle - np.log(_NEARER))
        return found


def warning(found: Nearest, test: Sequence[str], train: Sequence[str]) -> str:
    """Return a line that names the test videos which are `Nearest.apart`; empty if there are none.

    Args:
        found: The neighbours of the test videos.
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
        f"warning: {number} much nearer to a training video than is usual: copies, or of the same film? {named}{more}; "
        "the report shows them"
    )


def nearest_across(test: Floats, train: Floats) -> Nearest:
    """Find the training video nearest to each test video, by the cosine of their features.

    Similarities are computed in blocks: besides the features this takes some hundred megabytes, whatever the number of
    videos. They are computed in float64 and compared in float32, so that a result does not depend on the blocks.

    Args:
        test: (Q, D) features of any length; a feature of zeros has the same distance to all.
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
            nearer = values > best[rows]  # if equal, the earlier one stays
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
