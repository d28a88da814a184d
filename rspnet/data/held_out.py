"""Choose the videos of an evaluation: those that are tested, and those to learn from or to retrieve among."""

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from rspnet.console import some
from rspnet.data.clip_dataset import test_split
from rspnet.data.duplicates import tell_leaks
from rspnet.data.groups import films_of
from rspnet.data.index import check_labels, columns, labelled_splits, select
from rspnet.errors import ConfigError

if TYPE_CHECKING:
    from datasets import Dataset


FEWEST = 4
"""Fewest videos to learn from, and fewest to test, with which a probe is meaningful."""


class Lists(NamedTuple):
    """The videos of an evaluation.

    Attributes:
        tested: the videos that are tested.
        known: the videos to learn from or to retrieve among; None if there are only the tested ones.
        left_out: for each list, how many videos were left out, by status.
        told: a sentence on how they were chosen; empty if the splits of the data set decide it.
    """

    tested: "Dataset"
    known: "Dataset | None"
    left_out: list[Counter[str]]
    told: str = ""

    @property
    def named(self) -> "list[tuple[Dataset, str]]":
        """Each list with its name."""
        known = [] if self.known is None else [(self.known, "training videos")]
        return [(self.tested, "test videos"), *known]


def chosen(
    index: "Dataset", on_features: list[str], on_clips: list[str], *, fold: int, seed: int
) -> tuple[Lists | None, Lists | None]:
    """Choose the videos for protocols on features of videos, and for probes of clips.

    Both get the same videos if the former have videos to learn from.

    Args:
        index: All videos.
        on_features: Names of the protocols on features.
        on_clips: Names of the probes of clips.
        fold: Official fold, from 1.
        seed: Of the draw if there is no split.

    Returns:
        The videos of each kind; None for a kind without a protocol.

    Raises:
        ConfigError: There are no such videos, or too few to learn from or to test.
    """
    labelled = by_label(index, on_features, fold) if on_features else None
    if not on_clips:
        return labelled, None
    probed = labelled if labelled and labelled.known else without_labels(index, fold, seed)
    if min(len(probed.tested), len(probed.known or ())) < FEWEST:
        raise ConfigError(
            f"protocol: {','.join(on_clips)}; {some(len(probed.known or ()), 'video')} to learn from and "
            f"{len(probed.tested)} to test are too few for a result: give at least {FEWEST} of each"
        )
    return labelled, probed


def by_label(index: "Dataset", protocols: list[str], fold: int) -> Lists:
    """Choose the videos of protocols on features, by the official split.

    Args:
        index: All videos.
        protocols: Their names; "retrieval" alone needs no labels, "cluster" or "classify" alone no training videos.
        fold: Official fold, from 1.

    Raises:
        ConfigError: There are no such videos, or some of them have no label.
    """
    has_splits = set(index["split"]) != {None}
    if protocols == ["retrieval"] and not (has_splits and index.features["label"].names):
        videos, left_out = select(index, None, fold)
        return Lists(videos, None, [left_out])
    if protocols == ["cluster"]:
        tested, left_out = select(index, test_split(index) if has_splits else None, fold)
        check_labels(tested)
        return Lists(tested, None, [left_out])
    tested, left_out = select(index, test_split(index), fold)
    if protocols == ["classify"]:
        check_labels(tested)
        with suppress(ConfigError):  # a test set alone is enough
            tell_leaks(select(index, "train", fold)[0], tested)
        return Lists(tested, None, [left_out])
    known, known_left_out = select(index, "train", fold)
    check_labels(tested, known)
    tell_leaks(known, tested)
    return Lists(tested, known, [left_out, known_left_out])


def without_labels(index: "Dataset", fold: int, seed: int) -> Lists:
    """Choose the videos of probes that need no classes: by the official split, or if there is none, two random halves.

    Videos of one film resemble each other, so if their names tell the films, all videos of a film are in one half.

    Args:
        index: All videos.
        fold: Official fold, from 1.
        seed: Of the draw.

    Raises:
        ConfigError: No video is usable.
    """
    splits = {split for split, _ in labelled_splits(index)}
    if "train" in splits and splits & {"test", "val"}:
        (tested, out), (known, known_out) = (select(index, name, fold) for name in (test_split(index), "train"))
        tell_leaks(known, tested)
        return Lists(tested, known, [out, known_out])
    videos, left_out = select(index, None, fold)
    table = columns(videos, ["video", "label"])
    films = films_of(table["video"].to_pylist(), table["label"].to_pylist())
    if films is not None and len(set(films)) == 1:  # a single film cannot be divided
        films = None
    is_known = _halves(list(range(len(videos))) if films is None else films, seed)
    known, tested = (videos.select(np.flatnonzero(is_known == half)) for half in (True, False))
    of = "" if films is None else f", film by film ({len(set(films))})"
    told = f"no split: {len(tested)} of {some(len(videos), 'video')} are tested, drawn with run.seed{of}"
    return Lists(tested, known, [left_out], told)


def _halves(groups: list[int] | list[str], seed: int) -> npt.NDArray[np.bool_]:
    """Return whether each video is in the first half, (N,); groups stay together, and the halves are about equal."""
    _, members = np.unique(np.array(groups), return_inverse=True)
    sizes = np.bincount(members)
    rng = np.random.default_rng([seed, 0, 0, 3])  # independent of the generators of the clips
    order = rng.permutation(len(sizes))
    is_first, balance = np.zeros(len(sizes), bool), 0
    for group in order[np.argsort(-sizes[order], kind="stable")]:  # large groups first
        is_first[group] = balance <= 0
        balance += sizes[group] if balance <= 0 else -sizes[group]
    halves: npt.NDArray[np.bool_] = is_first[members] ^ bool(rng.integers(2))
    return halves
