"""Which videos an evaluation is of: those that are tested, and those that are learnt from or looked among."""

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
"""Videos to learn from, and to test, below which a probe says nothing."""


class Lists(NamedTuple):
    """The videos of an evaluation.

    Attributes:
        tested: these.
        known: what is learnt from or looked among; None: nothing but the tested ones.
        left_out: for each of both how many videos were left out, by status.
        told: how they were chosen, in words; empty where the data set itself says it.
    """

    tested: "Dataset"
    known: "Dataset | None"
    left_out: list[Counter[str]]
    told: str = ""

    @property
    def named(self) -> "list[tuple[Dataset, str]]":
        """Each list and what to call it."""
        known = [] if self.known is None else [(self.known, "training videos")]
        return [(self.tested, "test videos"), *known]


def chosen(
    index: "Dataset", on_features: list[str], on_clips: list[str], *, fold: int, seed: int
) -> tuple[Lists | None, Lists | None]:
    """The videos for the protocols that look at features of videos, and for the probes of clips, where there are some.

    They are the same videos where the first have some to look among.

    Args:
        index: All videos.
        on_features: Names of the first.
        on_clips: Names of the probes.
        fold: Official one, from 1.
        seed: Of a draw, where there is no split.

    Raises:
        ConfigError: There are no such videos, or too few to learn from.
    """
    labelled = by_label(index, on_features, fold) if on_features else None
    if not on_clips:
        return labelled, None
    probed = labelled if labelled and labelled.known else without_labels(index, fold, seed)
    if min(len(probed.tested), len(probed.known or ())) < FEWEST:
        raise ConfigError(
            f"protocol: {','.join(on_clips)}; {some(len(probed.known or ()), 'video')} to learn from and "
            f"{len(probed.tested)} to test are too few to tell anything: give at least {FEWEST} of each"
        )
    return labelled, probed


def by_label(index: "Dataset", protocols: list[str], fold: int) -> Lists:
    """The videos of protocols that look at classes.

    Args:
        index: All videos.
        protocols: Their names: a retrieval alone needs no labels, clusters alone no training videos.
        fold: Official one, from 1.

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
    """The videos of probes that need no classes: the official split, or where there is none, halves that are drawn.

    Videos of one film resemble each other: where names tell films, each is in one half.

    Args:
        index: All videos.
        fold: Official one, from 1.
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
    if films is not None and len(set(films)) == 1:  # no half could be without it
        films = None
    is_known = _halves(list(range(len(videos))) if films is None else films, seed)
    known, tested = (videos.select(np.flatnonzero(is_known == half)) for half in (True, False))
    of = "" if films is None else f", film by film ({len(set(films))})"
    told = f"no split: {len(tested)} of {some(len(videos), 'video')} are tested, drawn with run.seed{of}"
    return Lists(tested, known, [left_out], told)


def _halves(groups: list[int] | list[str], seed: int) -> npt.NDArray[np.bool_]:
    """Whether each video (N,) is in the first half; those of one group are together, and the halves near in size."""
    _, members = np.unique(np.array(groups), return_inverse=True)
    sizes = np.bincount(members)
    rng = np.random.default_rng([seed, 0, 0, 3])  # a stream apart from those of the clips
    order = rng.permutation(len(sizes))
    is_first, balance = np.zeros(len(sizes), bool), 0
    for group in order[np.argsort(-sizes[order], kind="stable")]:  # large ones first
        is_first[group] = balance <= 0
        balance += sizes[group] if balance <= 0 else -sizes[group]
    halves: npt.NDArray[np.bool_] = is_first[members] ^ bool(rng.integers(2))
    return halves
