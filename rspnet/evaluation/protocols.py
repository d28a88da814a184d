"""The protocols of stages/evaluate.py that measure a network's outputs, by name.

Each takes the outputs for the test videos and, if it needs them, those for the training videos (`known`).
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rspnet.data.groups import films_of
from rspnet.errors import ConfigError
from rspnet.evaluation.accuracy import accuracy, chance_top, top_classes
from rspnet.evaluation.by_class import by_class
from rspnet.evaluation.clusters import v_measures
from rspnet.evaluation.few_shot import few_shot_classes
from rspnet.evaluation.found import Found, of_hits, over_draws
from rspnet.evaluation.linear import linear_probe
from rspnet.evaluation.neighbours import chance_recall, knn_votes, neighbours, percent_of
from rspnet.evaluation.predict import Outputs, nearest, predictions

SHOTS = (1, 5, 8, 10)
"""Numbers of training videos of each class in `few_shot`."""
_KS = (1, 5, 10, 20, 50)
_NEAREST = 10


def classify(tested: Outputs) -> Found:
    """Measure the accuracy of a classifier's logits."""
    names = tested.index.features["label"].names
    score: dict[str, Any] = {**accuracy(tested.values, tested.labels), "num_videos": len(tested)}
    right = top_classes(tested.values) == tested.labels[:, None]
    found = of_hits(tested.videos, score, {f"top{k}": right[:, :k].any(1) for k in (1, 5)})
    found.score.update({f"chance_{name}": value for name, value in chance_top(len(names)).items()})
    classes = by_class(tested.values, tested.labels, names)
    found.score["class_accuracy"] = classes.accuracy
    return replace(found, file="predictions.jsonl", lines=predictions(tested), confusion=classes.csv())


def retrieval(tested: Outputs, known: Outputs | None = None) -> Found:
    """Measure retrieval by features; without labels it only lists neighbours.

    Without training videos the other test videos are the gallery. Those of a query's own film then do not count,
    because they are near for other reasons than their class. The lines list them all the same, and name the nearest
    video of another film beside them.
    """
    gallery = tested if known is None else known
    places, similarities = neighbours(tested.values, gallery.values, max(_KS), exclude_self=known is None)
    lines = nearest(tested, gallery, places=places[:, :_NEAREST], similarities=similarities[:, :_NEAREST])
    found = Found({"num_gallery": len(gallery), "num_queries": len(tested)})
    if known is not None or (tested.index.features["label"].names and None not in tested.videos["label"]):
        groups = None if known is not None else _groups(tested)
        if groups is not None:
            places, similarities = neighbours(tested.values, gallery.values, max(_KS), exclude_self=True, groups=groups)
            if len(groups.unique()) < len(groups):  # there are films
                first = nearest(tested, gallery, places=places[:, :1], similarities=similarities[:, :1])
                none = similarities[:, 0].isneginf().tolist()  # if all other videos are of the same film
                for line, other, alone in zip(lines, first, none):
                    line["nearest_of_another_film"] = None if alone else other["neighbours"][0]
        labels = gallery.labels[places].masked_fill(similarities.isneginf(), -1)
        right = {k: (labels == tested.labels[:, None])[:, :k].any(1) for k in _KS}
        chance = chance_recall(tested.labels, gallery.labels, _KS, groups=groups)
        found.score["recall"] = {str(k): percent_of(each) for k, each in right.items()}
        found.score["chance"] = {str(k): value for k, value in chance.items()}
        found = of_hits(tested.videos, found.score, {str(k): each for k, each in right.items()})
    return replace(found, file="neighbours.jsonl", lines=lines)


def _groups(tested: Outputs) -> Tensor:
    """Return the number of each video's film, or of the video itself if films are not known."""
    label = tested.index.features["label"]
    films = films_of(tested.videos["video"], [label.int2str(number) for number in tested.labels.tolist()])
    return torch.arange(len(tested)) if films is None else torch.from_numpy(np.unique(films, return_inverse=True)[1])


def knn(tested: Outputs, known: Outputs) -> Found:
    """Measure the accuracy of a kNN classifier on features."""
    votes = knn_votes(tested.values, known.values, known.labels, num_classes=_num_classes(known))
    return _classified(tested, known, votes)


def linear(tested: Outputs, known: Outputs) -> Found:
    """Measure the accuracy of a linear probe on features."""
    logits = linear_probe(known.values, known.labels, tested.values, num_classes=_num_classes(known))
    return _classified(tested, known, logits)


def few_shot(tested: Outputs, known: Outputs) -> Found:
    """Measure the accuracy of logistic regression on the features of a few training videos of each class.

    Raises:
        ConfigError: The training videos are of a single class.
    """
    train_labels, test_labels = known.labels.numpy(), tested.labels.numpy()
    counts = np.bincount(train_labels, minlength=_num_classes(known))
    if np.count_nonzero(counts) < 2:
        raise ConfigError("protocol: few_shot; the training videos are of one class only")
    found = {
        str(shots): [
            100 * float(np.mean(said == test_labels))
            for said in few_shot_classes(known.values.numpy(), train_labels, tested.values.numpy(), shots=shots)
        ]
        for shots in SHOTS
    }
    score = {"top1": {shots: fmean(values) for shots, values in found.items()}, "num_videos": len(tested)}
    score["chance_top1"] = chance_top(_num_classes(known))["top1"]
    counts = counts[np.union1d(train_labels, test_labels)]  # 0 for a class that is tested and cannot be learnt
    score |= {"fewest_of_a_class": int(counts.min()), "num_gallery": len(known)}
    return over_draws(score, found, videos=[*tested.videos["video"], *known.videos["video"]])


def cluster(tested: Outputs, known: Outputs | None = None) -> Found:
    """Measure how well clusters of the test videos' features match the classes; `known` is ignored.

    Raises:
        ConfigError: The test videos are of a single class, so that there is nothing to match.
    """
    if len(tested.labels.unique()) < 2:
        raise ConfigError("protocol: cluster; the test videos are of one class only")
    found, chance = v_measures(tested.values.numpy(), tested.labels.numpy())
    score = {"v_measure": fmean(found), "chance_v_measure": fmean(chance), "num_videos": len(tested)}
    return over_draws(score, {"v_measure": found}, videos=list(tested.videos["video"]))


def _classified(tested: Outputs, known: Outputs, logits: Tensor) -> Found:
    found = classify(replace(tested, values=logits))
    return replace(found, score={"num_gallery": len(known), **found.score})


def _num_classes(known: Outputs) -> int:
    return int(known.index.features["label"].num_classes)


PROTOCOLS: dict[str, Callable[..., Found]] = {
    "classify": classify,
    "retrieval": retrieval,
    "knn": knn,
    "linear": linear,
    "few_shot": few_shot,
    "cluster": cluster,
}
