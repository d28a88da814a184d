"""What is measured of a network's outputs: the protocols of stages/evaluate.py, by name.

Each takes the outputs for the test videos, and those for the training videos where it looks at them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rspnet.console import some
from rspnet.data.groups import films_of
from rspnet.errors import ConfigError, VideoError
from rspnet.evaluation.accuracy import accuracy, chance_top, top_classes
from rspnet.evaluation.by_class import by_class
from rspnet.evaluation.clusters import v_measures
from rspnet.evaluation.few_shot import DRAWS, few_shot_accuracies
from rspnet.evaluation.interval import bootstrap, of_draws
from rspnet.evaluation.linear import linear_probe
from rspnet.evaluation.neighbours import chance_recall, hits, knn_votes, neighbours, percent_of
from rspnet.evaluation.predict import Outputs, nearest, predictions

SHOTS = (1, 5, 8, 10)
"""Training videos of each class."""
_KS = (1, 5, 10, 20, 50)
_NEAREST = 10


@dataclass(frozen=True)
class Found:
    """What a protocol found.

    Attributes:
        score: for the result.
        file: name of the file for the lines.
        lines: what is said of each test video.
        confusion: text of confusion.csv.
        values: (N, K), what the score's K numbers with an interval are the means of, percent: of each test video, or
            of each draw.
        films: of the N videos, where they are known.
    """

    score: dict[str, Any]
    values: npt.NDArray[np.float64]
    films: list[str] | None = None
    file: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    confusion: str = ""


def classify(tested: Outputs) -> Found:
    """Of logits."""
    names = tested.index.features["label"].names
    score: dict[str, Any] = {**accuracy(tested.values, tested.labels), "num_videos": len(tested)}
    right = top_classes(tested.values) == tested.labels[:, None]
    found = _of_videos(tested, score, {f"top{k}": right[:, :k].any(1) for k in (1, 5)})
    found.score["chance_top1"] = chance_top(len(names))["top1"]
    classes = by_class(tested.values, tested.labels, names)
    found.score["class_accuracy"] = classes.accuracy
    return replace(found, file="predictions.jsonl", lines=predictions(tested), confusion=classes.csv())


def retrieval(tested: Outputs, known: Outputs | None = None) -> Found:
    """Of features; where there is no gallery, each video's neighbours among the others, and no number."""
    gallery = tested if known is None else known
    places, similarities = neighbours(tested.values, gallery.values, max(_KS), exclude_self=known is None)
    found = Found({"num_gallery": len(gallery), "num_queries": len(tested)}, np.empty((0, 0)))
    if known is not None:
        right = hits(places, tested.labels, gallery_labels=known.labels, ks=_KS)
        found.score["recall"] = {str(k): percent_of(each) for k, each in right.items()}
        found.score["chance"] = {str(k): value for k, value in chance_recall(tested.labels, known.labels, _KS).items()}
        found = _of_videos(tested, found.score, {str(k): each for k, each in right.items()})
    lines = nearest(tested, gallery, places=places[:, :_NEAREST], similarities=similarities[:, :_NEAREST])
    return replace(found, file="neighbours.jsonl", lines=lines)


def knn(tested: Outputs, known: Outputs) -> Found:
    """Of features."""
    votes = knn_votes(tested.values, known.values, known.labels, num_classes=_num_classes(known))
    return _classified(tested, known, votes)


def linear(tested: Outputs, known: Outputs) -> Found:
    """Of features."""
    logits = linear_probe(known.values, known.labels, tested.values, num_classes=_num_classes(known))
    return _classified(tested, known, logits)


def few_shot(tested: Outputs, known: Outputs) -> Found:
    """Of features.

    Raises:
        ConfigError: there is one class alone.
    """
    train_labels, test_labels = known.labels.numpy(), tested.labels.numpy()
    counts = np.bincount(train_labels)
    counts = counts[counts > 0]
    if len(counts) < 2:
        raise ConfigError("protocol: few_shot; there are training videos of one class alone")
    found = {
        str(shots): few_shot_accuracies(
            known.values.numpy(), train_labels, tested.values.numpy(), test_labels=test_labels, shots=shots
        )
        for shots in SHOTS
    }
    score = {"top1": {shots: fmean(values) for shots, values in found.items()}, "num_videos": len(tested)}
    score["chance_top1"] = chance_top(_num_classes(known))["top1"]
    return _of_draws(score | {"fewest_of_a_class": int(counts.min()), "num_gallery": len(known)}, found)


def cluster(tested: Outputs, known: Outputs | None = None) -> Found:
    """Of features of the test videos; what is known is not looked at."""
    found, chance = v_measures(tested.values.numpy(), tested.labels.numpy())
    score = {"v_measure": fmean(found), "chance_v_measure": fmean(chance), "num_videos": len(tested)}
    return _of_draws(score, {"v_measure": found})


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
    if found.values.shape != other.values.shape:
        raise VideoError("test videos could be read once and not again, so that there are no pairs; give it again")
    ahead, names = found.values - other.values, list(found.score.get("interval", {}))
    draws = found.score.get("interval_over") == "draws"
    ends = [of_draws(each) for each in ahead.T.tolist()] if draws else bootstrap(ahead, found.films) if names else []
    differences = {
        "difference": dict(zip(names, ahead.mean(0).tolist())),
        "difference_interval": dict(zip(names, ends)),
    }
    score = {name: value for name, value in other.score.items() if name != "class_accuracy"}
    return score | differences


def _classified(tested: Outputs, known: Outputs, logits: Tensor) -> Found:
    found = classify(replace(tested, values=logits))
    return replace(found, score={"num_gallery": len(known), **found.score})


def _num_classes(known: Outputs) -> int:
    return int(known.index.features["label"].num_classes)


def _of_videos(tested: Outputs, score: dict[str, Any], hits: dict[str, Tensor]) -> Found:
    """With the intervals of shares of the videos that are right, by name, and over what they are."""
    index, label = tested.index.select(tested.rows), tested.index.features["label"]
    films = films_of(index["video"], [label.int2str(number) for number in index["label"]])
    values = np.stack([100.0 * each.numpy() for each in hits.values()], axis=1)
    over = "videos" if films is None else some(len(set(films)), "film")
    known = {"interval": dict(zip(hits, bootstrap(values, films))), "interval_over": over}
    return Found(score | known, values, films)


def _of_draws(score: dict[str, Any], values: dict[str, list[float]]) -> Found:
    """With the intervals of means over draws, by name."""
    known = {"interval": {name: of_draws(each) for name, each in values.items()}, "interval_over": "draws"}
    return Found(score | known | {"num_draws": DRAWS}, np.array(list(values.values())).T)


PROTOCOLS: dict[str, Callable[..., Found]] = {
    "classify": classify,
    "retrieval": retrieval,
    "knn": knn,
    "linear": linear,
    "few_shot": few_shot,
    "cluster": cluster,
}
