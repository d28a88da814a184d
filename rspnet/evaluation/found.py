"""What a protocol found: its score, how far that can be trusted, and how far one network is ahead of another."""

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
    """What a protocol found.

    Attributes:
        score: for the result.
        names: of K numbers.
        values: (N, K), what these are the means of, percent: of each test video, or of each draw.
        films: of the N videos, where they are known.
        videos: names of those that are tested; of draws also of those that are drawn from.
        file: name of the file for the lines.
        lines: what is said of each test video.
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
"""Of a score: why there is none."""


def if_possible(name: str, measure: Callable[[], Found]) -> Found:
    """What a protocol finds, or, where these videos are too few or too short for it, why it finds nothing.

    So it takes nothing along of what others found on the way.

    Args:
        name: Of the protocol.
        measure: Measures it; raises ConfigError where it cannot.
    """
    try:
        return measure()
    except ConfigError as error:
        return Found({UNMEASURED: str(error).removeprefix(f"protocol: {name}; ")})


def check_some(found: dict[str, Found]) -> None:
    """See that at least one protocol found something.

    Raises:
        ConfigError: None did, and why the first did not.
    """
    if all(UNMEASURED in each.score for each in found.values()):
        name, first = next(iter(found.items()))
        raise ConfigError(f"protocol: {name}; {first.score[UNMEASURED]}")


def of_videos(videos: datasets.Dataset, score: dict[str, Any], values: dict[str, Floats]) -> Found:
    """A score with the intervals of means over videos, by name, and over what they are; None of one film alone.

    Args:
        videos: N of an index.
        score: their means, and what else a result says.
        values: by name, of each video (N,), percent.
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
    """The same of shares of the videos that are right: by name which of them (N,)."""
    return of_videos(videos, score, {name: 100.0 * each.numpy() for name, each in hits.items()})


def over_draws(score: dict[str, Any], values: dict[str, list[float]], *, videos: list[str]) -> Found:
    """A score with the intervals of means over draws of videos, by name."""
    known = {"interval": {name: of_draws(each) for name, each in values.items()}, "interval_over": "draws"}
    return Found(score | known | {"num_draws": DRAWS}, list(values), np.array(list(values.values())).T, videos=videos)


def beside(found: dict[str, Found], other: dict[str, Found]) -> None:
    """Put what another network reaches into the scores of one, as `random`, where something was found."""
    for name, each in found.items():
        if UNMEASURED not in each.score:
            each.score["random"] = compared(each, other[name])


def compared(found: Found, other: Found) -> dict[str, Any]:
    """Another network by the same protocol, and how far the first is ahead of it.

    Args:
        found: Of the first network.
        other: Of the other one, on the same videos.

    Returns:
        The other's score, and of each number `difference` and `difference_interval`: paired, by test video (or film)
        or by draw, so that what all networks find hard or easy does not blur it.

    Raises:
        VideoError: videos could be read once and not again.
    """
    if found.videos != other.videos:
        raise VideoError("videos could be read once and not again, so that there are no pairs; give it again")
    ahead = found.values - other.values
    draws = found.score.get("interval_over") == "draws"
    ends = [of_draws(each) for each in ahead.T.tolist()] if draws else paired(ahead, found.films)
    differences = {
        "difference": dict(zip(found.names, ahead.mean(0).tolist() if ahead.size else [])),
        "difference_interval": dict(zip(found.names, ends)),
    }
    score = {name: value for name, value in other.score.items() if name != "class_accuracy"}
    return score | differences


def paired(ahead: Floats, films: list[str] | None) -> list[Ends | None]:
    """The intervals of K mean differences (N, K) of N videos; none where nothing was measured, None of one film."""
    return of_differences(ahead, films) if ahead.size else []
