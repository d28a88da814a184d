"""The health of the contrastive task: its numbers in a log line, and a diagnosis in plain words if something is wrong.

The numbers are summed over steps on the device; the functions here get the means, on the host, when a log line waits
for the device anyway. Numbers of several processes are averaged; the effective rank is that of all their embeddings.
This module does without torch, because a report also uses it on rows of metrics.jsonl.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rspnet.console import figures, percent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Row = Mapping[str, object]
"""A line of metrics.jsonl."""

ENOUGH = 200
"""Number of steps before which being at chance is not reported."""
AT_CHANCE = 55.0
"""RSP accuracy, percent, below which it counts as chance (50), with some room for noise in epochs of few videos."""
SOLVED = 90.0
"""A-VID accuracy, percent, above which the appearance head has little left to learn."""
FLAT = 0.1
"""Spread below which the embeddings are practically equal: the length of their mean is then above 0.99."""
LINE = 2.0
"""Effective rank below which practically all embeddings lie on a line."""
BARELY = 0.5
"""Difference of the mean logits of a query with its own and with other videos below which it is hardly any closer."""
RARELY = 5.0
"""A-VID accuracy, percent, below which such a difference means chance; above, the temperature makes logits small."""


def effective_rank(moments: "npt.NDArray[np.float64]") -> float:
    """Return the effective rank of embeddings: exp of the entropy of their normalised singular values.

    Roy & Vetterli, "The effective rank", EUSIPCO 2007. As in RankMe (Garrido et al., ICML 2023) the mean is not
    subtracted, so that the rank is 1 if all embeddings are equal, and D if they fill all directions equally.

    Args:
        moments: mean outer product of unit-norm embeddings with themselves (D, D). Its eigenvalues are the squared
            singular values of the embeddings, divided by their number.

    Returns:
        A number from 1 to D; NaN if `moments` is not finite.
    """
    import numpy as np

    if not np.isfinite(moments).all():
        return math.nan
    values = np.sqrt(np.linalg.eigvalsh(moments).clip(min=0))
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def queue_terms(length: int, *, keys: int, videos: int) -> dict[str, float]:
    """Return the log terms of the queue.

    Args:
        length: length of the queue.
        keys: number of keys put into it so far, including those in it at the start.
        videos: number of videos in the training set.

    Returns:
        ``queue_fill``, the percentage of the queue that holds keys (the rest is random), and ``queue_epochs``, the
        number of keys in it over the number of videos: above 1, a query's own video is among its negatives.
    """
    filled = min(keys, length)
    return {"queue_fill": 100 * filled / length, "queue_epochs": filled / videos}


def line(values: Mapping[str, float]) -> str | None:
    """Return the health of an epoch as a line for the terminal, or None if the numbers are missing.

    Args:
        values: a row of metrics.jsonl.
    """
    try:
        own, others = (figures(values[f"{name}_similarity"]) for name in ("positive", "negative"))
        return (
            f"health: queue {percent(values['queue_fill'], short=True)} %, own {own} v others {others}, margins met "
            f"{percent(values['margins_met'])} %, gap {figures(values['motion_gap'])}, spread {values['spread']:.2f}, "
            f"rank {figures(values['effective_rank'])}"
        )
    except KeyError:
        return None


def verdict(rows: Sequence[Row], pretext: Row | None = None) -> list[str]:
    """Return a plain sentence for each thing that is wrong with a pretraining, judged by the last tenth of its epochs.

    Args:
        rows: rows of its metrics.jsonl, in order; rows without the numbers, such as those of a fine-tuning, are
            ignored.
        pretext: its options of the section `pretext`, as far as they are known. A task of weight 0 is not judged.
    """
    pretext = pretext or {}
    rows = [row for row in rows if _number(row, "spread") is not None]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    late = epochs[-max(1, len(epochs) // 10) :] or rows[-max(1, len(rows) // 10) :]
    if not late:
        return []
    means = {name: _mean(late, name) for name in _NAMES}
    step = int(_number(late[-1], "step") or 0)
    told = _collapse(means)
    if not told and step >= ENOUGH:
        told = [*_motion(means, step, pretext), *_appearance(means, step, pretext)]
    return told + _margin(pretext) + _queue(late[-1])


_NAMES = (
    *("avid_top1", "rsp_accuracy", "positive_similarity", "negative_similarity"),
    *("spread", "effective_rank"),
)


def _collapse(means: Mapping[str, float | None]) -> list[str]:
    spread, rank = means["spread"], means["effective_rank"]
    if spread is None or rank is None or not (rank < LINE or 0 < spread < FLAT):  # a batch of one also has spread 0
        return []
    return [
        f"the embeddings have collapsed (spread {spread:.2g} of 1, effective rank {rank:.1f}): all videos look alike "
        "to the network, and next to nothing is learnt; a lower optim.lr, more videos per step (optim.total_batch) or "
        "a pretext.temperature closer to the published 0.07 may help"
    ]


def _is_trained(task: str, pretext: Row) -> bool:
    return _number(pretext, f"{task}_weight") != 0


def _motion(means: Mapping[str, float | None], step: int, pretext: Row) -> list[str]:
    """Judge RSP, in a network that has not collapsed."""
    top1, rsp = means["avid_top1"], means["rsp_accuracy"]
    if not _is_trained("motion", pretext) or rsp is None or rsp >= AT_CHANCE:
        return []
    if _is_trained("appearance", pretext) and top1 is not None and top1 > SOLVED:
        return [
            f"appearance is solved (A-VID {percent(top1)} %) and motion is at chance (RSP {percent(rsp)} %, chance "
            "50): colour and scene suffice to tell the videos apart; stronger colour jitter (augment), a lower "
            "pretext.appearance_weight or more videos make the network look at motion"
        ]
    return [
        f"motion is at chance after {step} steps (RSP {percent(rsp)} %, chance 50): the network does not learn which "
        "clip plays faster; check whether there is motion in the videos, clips.stride and optim.lr"
    ]


def _appearance(means: Mapping[str, float | None], step: int, pretext: Row) -> list[str]:
    """Judge A-VID likewise: is a query's own video found only as often as by chance, or rarely and hardly closer?"""
    top1, own, others = means["avid_top1"], means["positive_similarity"], means["negative_similarity"]
    if not _is_trained("appearance", pretext) or top1 is None or own is None or others is None:
        return []
    length = _number(pretext, "queue_length")
    chance = None if length is None or length <= 0 else 100 / (1 + length)
    is_at_chance = chance is not None and top1 < 2 * chance
    if not is_at_chance and (top1 >= RARELY or own - others >= BARELY):
        return []
    by_chance = "" if chance is None else f", chance {percent(chance)}"
    return [
        f"appearance is at chance after {step} steps (A-VID {percent(top1)} %{by_chance}; a query is about as similar "
        f"to its own video as to others, {figures(own)} v {figures(others)}): check augment and optim.lr"
    ]


def _margin(pretext: Row) -> list[str]:
    """Judge the margin: two cosine similarities divided by the temperature differ by 2 / temperature at most."""
    margin, temperature = _number(pretext, "margin"), _number(pretext, "temperature")
    if not _is_trained("motion", pretext) or margin is None or not temperature or margin * temperature <= 2:
        return []
    return [
        f"the margin between speeds cannot be met: pretext.margin is {figures(margin)}, but with pretext.temperature "
        f"{figures(temperature)} no two similarities differ by more than {figures(2 / temperature)}; lower one of them"
    ]


def _queue(last: Row) -> list[str]:
    """Judge the queue; if it is longer than the data, it matters little whether it was full."""
    fill, epochs = _number(last, "queue_fill"), _number(last, "queue_epochs")
    if epochs is not None and epochs > 1:
        return [
            f"the queue is longer than the data (it holds each video {epochs:.2g} times): other clips of the query's "
            "own video are in it as negatives; take a shorter pretext.queue_length, or more videos"
        ]
    if fill is not None and fill < 100:
        return [
            f"the queue was never full (keys are {percent(fill)} % of it, the rest is random and easy to tell apart): "
            "take a shorter pretext.queue_length, or more steps"
        ]
    return []


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [value for row in rows if (value := _number(row, name)) is not None]
    return sum(values) / len(values) if values else None


def _number(row: Row, name: str) -> float | None:
    """Return a finite number of a row, or None if there is none (the file may have been edited)."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
