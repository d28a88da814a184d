"""The outcome of a protocol: its score with intervals, and the comparison of one network with another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
from torch import Tensor

from rspnet.console import some
from rspnet.data.groups import films_of
from rspnet.data.index import columns
from rspnet.errors import ConfigError, VideoError
from rspnet.evaluation.few_shot import DRAWS
from rspnet.evaluation.interval import Ends, of_differences, of_draws, of_shares

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """The outcome of a protocol.

    Attributes:
        score: keys and values for the result.
        names: names of K numbers of the score.
        values: (N, K), the values in percent whose means these numbers are, for each test video or each draw.
        films: film of each of the N videos, if known.
        videos: names of the test videos; if `values` are of draws, also of the videos drawn from.
        file: name of the file for `lines`.
        lines: a line for each test video.
        confusion: text of confusion.csv.
    """

    score: dict[str, Any]
    names: list[str] = field(default_factory=list)
    values: Floats = field(default_factory=lambda: np.empty((0, 0)))
    films: list[str] | None = None
    videos: list[str] = field(default_factory=list)
    file: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    confusion: str = ""


UNMEASURED = "not_measured"
"""Key of a score that says why there is none."""


def if_possible(name: str, measure: Callable[[], Found]) -> Found:
    """Return the outcome of a protocol, or one that says why it could not be measured on these videos.

    So the outcomes of other protocols are not lost if the videos are too few or too short for this one.

    Args:
        name: Name of the protocol.
        measure: Measures it; raises ConfigError if it cannot.
    """
    try:
        return measure()
    except ConfigError as error:
        return Found({UNMEASURED: str(error).removeprefix(f"protocol: {name}; ")})


def check_some(found: dict[str, Found]) -> None:
    """Check that at least one protocol could be measured.

    Raises:
        ConfigError: None could; the message gives the reason of the first.
    """
    if all(UNMEASURED in each.score for each in found.values()):
        name, first = next(iter(found.items()))
        raise ConfigError(f"protocol: {name}; {first.score[UNMEASURED]}")


def of_videos(videos: datasets.Dataset, score: dict[str, Any], values: dict[str, Floats]) -> Found:
    """Return the outcome of means over videos: adds their intervals to the score, None for a single film or video.

    Args:
        videos: N rows of an index.
        score: The means, and other keys for the result.
        values: The values of each video (N,) in percent, by the name of the mean.
    """
    table = columns(videos, ["video", "label"])
    names = table["video"].to_pylist()
    films = films_of(names, table["label"].to_pylist())
    joined = np.stack(list(values.values()), axis=1)
    over = "videos" if films is None else some(len(set(films)), "film")
    over = some(1, "video") if len(joined) == 1 else over
    known = {"interval": dict(zip(values, of_shares(joined, films))), "interval_over": over}
    return Found(score | known, list(values), joined, films, names)


def of_hits(videos: datasets.Dataset, score: dict[str, Any], hits: dict[str, Tensor]) -> Found:
    """Return the same for accuracies, given which of the N videos are right, (N,) by name."""
    return of_videos(videos, score, {name: 100.0 * each.numpy() for name, each in hits.items()})


def over_draws(score: dict[str, Any], values: dict[str, list[float]], *, videos: list[str]) -> Found:
    """Return the outcome of means over draws of videos, given the value of each draw by name: adds their intervals."""
    known = {"interval": {name: of_draws(each) for name, each in values.items()}, "interval_over": "draws"}
    return Found(score | known | {"num_draws": DRAWS}, list(values), np.array(list(values.values())).T, videos=videos)


def beside(found: dict[str, Found], other: dict[str, Found]) -> None:
    """Add the comparison with another network to each score that could be measured, under the key `random`."""
    for name, each in found.items():
        if UNMEASURED not in each.score:
            each.score["random"] = compared(each, other[name])


def compared(found: Found, other: Found) -> dict[str, Any]:
    """Compare a network with another one by the same protocol.

    Args:
        found: Outcome of the first network.
        other: Outcome of the other network, on the same videos.

    Returns:
        The other network's score, and for each number `difference` (first minus other) and `difference_interval`. The
        interval is paired by test video (or film) or by draw, so that what is hard or easy for both does not widen it.

    Raises:
        VideoError: Some videos could be read for one network only.
    """
    if found.videos != other.videos:
        raise VideoError(
            "some videos could be read for one network and not for the other, so that these cannot be compared in "
            "pairs; give the same command again"
        )
    ahead = found.values - other.values
    draws = found.score.get("interval_over") == "draws"
    ends = [of_draws(each, least=-100.0) for each in ahead.T.tolist()] if draws else paired(ahead, found.films)
    differences = {
        "difference": dict(zip(found.names, ahead.mean(0).tolist() if ahead.size else [])),
        "difference_interval": dict(zip(found.names, ends)),
    }
    score = {name: value for name, value in other.score.items() if name != "class_accuracy"}
    return score | differences


def paired(ahead: Floats, films: list[str] | None) -> list[Ends | None]:
    """Return the intervals of the K mean differences of N videos (N, K); None for a single film, [] without numbers."""
    return of_differences(ahead, films) if ahead.size else []
