"""Whether the contrastive task is well: its numbers at a log line, and what they say where something is wrong.

Steps add up; what is here is computed from the sums, on the host, where a log line has waited for the device anyway.
The numbers of several processes are averaged over them, the effective rank is that of all embeddings together.
Nothing here needs torch: a report reads rows of metrics.jsonl, too.
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
"""Steps after which a task that is still at chance is said to be."""
AT_CHANCE = 55.0
"""RSP accuracy, percent, below which it is at chance (50), with some room for the noise of an epoch of few videos."""
SOLVED = 90.0
"""A-VID accuracy, percent, above which the appearance head has little left to learn."""
FLAT = 0.1
"""Spread below which embeddings are as good as one: their mean is then longer than 0.995."""
LINE = 2.0
"""Effective rank below which they lie, as good as all, on a line."""
BARELY = 0.5
"""Difference of the logits of a query's own video and of others below which it is hardly nearer to its own."""
RARELY = 5.0
"""A-VID accuracy, percent, below which it is then not found; above, it is the temperature that makes logits small."""


def effective_rank(moments: "npt.NDArray[np.float64]") -> float:
    """Return how many directions embeddings fill: exp of the entropy of their normalised singular values.

    Roy & Vetterli, "The effective rank", EUSIPCO 2007; as in RankMe (Garrido et al., ICML 2023) of embeddings whose
    mean is not taken away, so that it is 1 where all are the same, and D where they fill all directions alike.

    Args:
        moments: mean of the products of unit-norm embeddings with themselves (D, D), whose eigenvalues are the squares
            of the singular values, over the number of embeddings.

    Returns:
        1 to D; no number where `moments` has such.
    """
    import numpy as np

    if not np.isfinite(moments).all():
        return math.nan
    values = np.sqrt(np.linalg.eigvalsh(moments).clip(min=0))
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def queue_terms(length: int, *, keys: int, videos: int) -> dict[str, float]:
    """Return what a log line says of the queue.

    Args:
        length: of it.
        keys: that were put into it so far, or were in it at the start.
        videos: of the training set.

    Returns:
        ``queue_fill``, percent of it that real keys have filled, the rest is drawn at random; ``queue_epochs``, how
        many times over it holds the training videos: above 1 a query's own video is in it, as a negative.
    """
    filled = min(keys, length)
    return {"queue_fill": 100 * filled / length, "queue_epochs": filled / videos}


def line(values: Mapping[str, float]) -> str | None:
    """Return the health of an epoch in a line that fits a terminal; None: it has no such numbers.

    Args:
        values: as in metrics.jsonl.
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
    """Return what is wrong with a pretraining, a plain sentence for each; nothing where nothing is.

    Args:
        rows: of its metrics.jsonl, in their order; those without the numbers, as of a fine-tuning, say nothing.
        pretext: its options of that section, as far as they are known; of a task whose weight is 0, which is not
            trained, nothing is said.
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
    if spread is None or rank is None or not (rank < LINE or 0 < spread < FLAT):  # 0 is also that of a batch of one
        return []
    return [
        f"the embeddings have collapsed (spread {spread:.2g} of 1, effective rank {rank:.1f}): all videos look alike "
        "to the network, and next to nothing is learnt; a lower optim.lr, more videos a step (optim.total_batch) or a "
        "pretext.temperature nearer to the published 0.07 may help"
    ]


def _is_trained(task: str, pretext: Row) -> bool:
    return _number(pretext, f"{task}_weight") != 0


def _motion(means: Mapping[str, float | None], step: int, pretext: Row) -> list[str]:
    """Of RSP in a network that has not collapsed."""
    top1, rsp = means["avid_top1"], means["rsp_accuracy"]
    if not _is_trained("motion", pretext) or rsp is None or rsp >= AT_CHANCE:
        return []
    if _is_trained("appearance", pretext) and top1 is not None and top1 > SOLVED:
        return [
            f"appearance is solved (A-VID {percent(top1)} %) and motion is at chance (RSP {percent(rsp)} %, chance "
            "50): colour and scene tell the videos apart; stronger colour jitter (augment), a lower "
            "pretext.appearance_weight or more videos make the network look at motion"
        ]
    return [
        f"motion is at chance after {step} steps (RSP {percent(rsp)} %, chance 50): which clip plays faster is "
        "not learnt; look whether the videos move at all, at clips.stride, and at optim.lr"
    ]


def _appearance(means: Mapping[str, float | None], step: int, pretext: Row) -> list[str]:
    """Of A-VID likewise: a query's own video is found no more often than by chance, or rarely and hardly nearer."""
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
        f"appearance is at chance after {step} steps (A-VID {percent(top1)} %{by_chance}; a query is as near to other "
        f"videos as to its own, {figures(own)} v {figures(others)}): look at augment and at optim.lr"
    ]


def _margin(pretext: Row) -> list[str]:
    """Of similarities that no network can set so far apart."""
    margin, temperature = _number(pretext, "margin"), _number(pretext, "temperature")
    if not _is_trained("motion", pretext) or margin is None or not temperature or margin * temperature <= 2:
        return []
    return [
        f"the margin between speeds cannot be met: pretext.margin is {figures(margin)}, and by pretext.temperature "
        f"{figures(temperature)} no two similarities are further apart than {figures(2 / temperature)}: lower it"
    ]


def _queue(last: Row) -> list[str]:
    """Of a queue that is longer than the data it matters little whether it was full."""
    fill, epochs = _number(last, "queue_fill"), _number(last, "queue_epochs")
    if epochs is not None and epochs > 1:
        return [
            f"the queue is longer than the data (it holds each video {epochs:.2g} times): other clips of the query's "
            "own video are in it as negatives; take a shorter pretext.queue_length, or more videos"
        ]
    if fill is not None and fill < 100:
        return [
            f"the queue was never full (keys are {percent(fill)} % of it, the rest is drawn at random and easy to tell "
            "apart): take a shorter pretext.queue_length, or more steps"
        ]
    return []


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [value for row in rows if (value := _number(row, name)) is not None]
    return sum(values) / len(values) if values else None


def _number(row: Row, name: str) -> float | None:
    """A finite number of a row, None where it is none: a file may have been edited."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
