"""What is measured of a network's outputs: the protocols of stages/evaluate.py, by name.

Each takes the outputs for the test videos, and those for the training videos where it looks at them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
from torch import Tensor

from rspnet.console import some
from rspnet.data.groups import films_of
from rspnet.errors import ConfigError
from rspnet.evaluation.accuracy import accuracy, chance_top, top_classes
from rspnet.evaluation.by_class import by_class
from rspnet.evaluation.clusters import v_measures
from rspnet.evaluation.few_shot import DRAWS, few_shot_accuracies
from rspnet.evaluation.interval import bootstrap, of_draws
from rspnet.evaluation.linear import linear_probe
from rspnet.evaluation.neighbours import chance_recall, knn_votes, neighbours
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
    """

    score: dict[str, Any]
    file: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    confusion: str = ""


def classify(tested: Outputs) -> Found:
    """Of logits."""
    names = tested.index.features["label"].names
    score: dict[str, Any] = {**accuracy(tested.values, tested.labels), "num_videos": len(tested)}
    hits = top_classes(tested.values) == tested.labels[:, None]
    score |= _intervals(tested, {f"top{k}": hits[:, :k].any(1) for k in (1, 5)})
    score["chance_top1"] = chance_top(len(names))["top1"]
    classes = by_class(tested.values, tested.labels, names)
    score["class_accuracy"] = classes.accuracy
    return Found(score, "predictions.jsonl", predictions(tested), classes.csv())


def retrieval(tested: Outputs, known: Outputs | None = None) -> Found:
    """Of features; where there is no gallery, each video's neighbours among the others, and no number."""
    gallery = tested if known is None else known
    places, similarities = neighbours(tested.values, gallery.values, max(_KS), exclude_self=known is None)
    score: dict[str, Any] = {"num_gallery": len(gallery), "num_queries": len(tested)}
    if known is not None:
        right = known.labels[places] == tested.labels[:, None]
        hits = {str(k): right[:, :k].any(1) for k in _KS}
        score["recall"] = {k: 100 * int(each.sum()) / len(tested) for k, each in hits.items()}
        score["chance"] = {str(k): value for k, value in chance_recall(tested.labels, known.labels, _KS).items()}
        score |= _intervals(tested, hits)
    lines = nearest(tested, gallery, places=places[:, :_NEAREST], similarities=similarities[:, :_NEAREST])
    return Found(score, "neighbours.jsonl", lines)


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
    top1, intervals = {}, {}
    for shots in SHOTS:
        found = few_shot_accuracies(
            known.values.numpy(), train_labels, tested.values.numpy(), test_labels=test_labels, shots=shots
        )
        top1[str(shots)], intervals[str(shots)] = fmean(found), of_draws(found)
    score = {"top1": top1, "interval": intervals, "interval_over": "draws", "num_draws": DRAWS}
    chance = {"chance_top1": chance_top(_num_classes(known))["top1"], "num_videos": len(tested)}
    return Found(score | chance | {"fewest_of_a_class": int(counts.min()), "num_gallery": len(known)})


def cluster(tested: Outputs, known: Outputs | None = None) -> Found:
    """Of features of the test videos; what is known is not looked at."""
    found, chance = v_measures(tested.values.numpy(), tested.labels.numpy())
    score = {"v_measure": fmean(found), "chance_v_measure": fmean(chance), "num_videos": len(tested)}
    return Found(
        score | {"interval": {"v_measure": of_draws(found)}, "interval_over": "draws", "num_draws": len(found)}
    )


def _classified(tested: Outputs, known: Outputs, logits: Tensor) -> Found:
    found = classify(replace(tested, values=logits))
    return replace(found, score={"num_gallery": len(known), **found.score})


def _num_classes(known: Outputs) -> int:
    return int(known.index.features["label"].num_classes)


def _intervals(tested: Outputs, hits: dict[str, Tensor]) -> dict[str, Any]:
    """Of shares of the videos that are right, by name, and over what."""
    index, label = tested.index.select(tested.rows), tested.index.features["label"]
    films = films_of(index["video"], [label.int2str(number) for number in index["label"]])
    values = np.stack([100.0 * each.numpy() for each in hits.values()], axis=1)
    return {
        "interval": dict(zip(hits, bootstrap(values, films))),
        "interval_over": "videos" if films is None else some(len(set(films)), "film"),
    }


PROTOCOLS: dict[str, Callable[..., Found]] = {
    "classify": classify,
    "retrieval": retrieval,
    "knn": knn,
    "linear": linear,
    "few_shot": few_shot,
    "cluster": cluster,
}
