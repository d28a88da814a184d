"""A few training videos of each class, drawn as the SEVERE benchmark draws them (Thoker et al., ECCV 2022)."""

import math
from typing import TYPE_CHECKING

import numpy as np

from rspnet.data.index import columns
from rspnet.errors import ConfigError

if TYPE_CHECKING:
    from datasets import Dataset


def draw(videos: "Dataset", number: int, seed: int) -> "Dataset":
    """Draw the same number of videos of each class, about `number` in all; a class with fewer gives all it has.

    `number` is divided by the number of classes and rounded up. Classes are drawn from in the order of their numbers,
    and the videos of each are in the order of the index. If that is the order of the benchmark's lists, as for UCF101,
    the same seed draws the same videos.

    Args:
        videos: each with a label.
        number: how many, before rounding.
        seed: of NumPy's legacy generator; 19 in the benchmark.

    Raises:
        ConfigError: there are fewer than `number` videos.
    """
    if number > len(videos):
        raise ConfigError(f"subset.videos: {number}; there are only {len(videos)} training videos")
    numbers = {name: place for place, name in enumerate(videos.features["label"].names)}
    labels = np.array([numbers[name] for name in columns(videos, ["label"])["label"].to_pylist()])
    classes, random = np.unique(labels), np.random.RandomState(seed)
    each = math.ceil(number / len(classes))
    chosen = []
    for label in classes:
        places = np.flatnonzero(labels == label)
        chosen.append(places[random.choice(len(places), min(each, len(places)), replace=False)])
    drawn: Dataset = videos.select(np.sort(np.concatenate(chosen)).tolist())
    return drawn
