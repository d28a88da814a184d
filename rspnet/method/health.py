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
"""Difference of the logits of a query's own video and of others below which it is not found by it."""


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


def verdict(rows: Sequence[Row], *, motion_weight: float = 1.0, appearance_weight: float = 1.0) -> list[str]:
    """Return what is wrong with a pretraining, a plain sentence for each; nothing where nothing is.

    Args:
        rows: of its metrics.jsonl, in their order; those without the numbers, as of a fine-tuning, say nothing.
        motion_weight: of the RSP loss; with 0 the task is not trained, and nothing is said of it.
        appearance_weight: of the A-VID loss, likewise.
    """
    rows = [row for row in rows if _number(row, "spread") is not None]
    epochs = [row for row in rows if row.get("event") == "epoch"]
    late = epochs[-max(1, len(epochs) // 10) :] or rows[-max(1, len(rows) // 10) :]
    if not late:
        return []
    means = {name: _mean(late, name) for name in _NAMES}
    step = int(_number(late[-1], "step") or 0)
    collapsed = _collapse(means)
    told = [collapsed] if collapsed else _tasks(means, step, motion=motion_weight > 0, appearance=appearance_weight > 0)
    return told + _queue(late[-1])


_NAMES = (
    *("avid_top1", "rsp_accuracy", "positive_similarity", "negative_similarity"),
    *("spread", "effective_rank"),
)


def _collapse(means: Mapping[str, float | None]) -> str | None:
    spread, rank = means["spread"], means["effective_rank"]
    if spread is None or rank is None or not (rank < LINE or 0 < spread < FLAT):  # 0 is also that of a batch of one
        return None
    return (
        f"the embeddings have collapsed (spread {spread:.2g} of 1, effective rank {rank:.1f}): all videos look alike "
        "to the network, and nothing is learnt; a lower optim.lr or more videos a step (optim.total_batch) may help"
    )


def _tasks(means: Mapping[str, float | None], step: int, *, motion: bool, appearance: bool) -> list[str]:
    """Of the two tasks of a network that has not collapsed."""
    if step < ENOUGH:
        return []
    top1, rsp = means["avid_top1"], means["rsp_accuracy"]
    own, others = means["positive_similarity"], means["negative_similarity"]
    told = list[str]()
    if motion and rsp is not None and rsp < AT_CHANCE:
        if appearance and top1 is not None and top1 > SOLVED:
            told.append(
                f"appearance is solved (A-VID {percent(top1)} %) and motion is at chance (RSP {percent(rsp)} %, chance "
                "50): colour and scene tell the videos apart; stronger colour jitter (augment), a lower "
                "pretext.appearance_weight or more videos make the network look at motion"
            )
        else:
            told.append(
                f"motion is at chance after {step} steps (RSP {percent(rsp)} %, chance 50): which clip plays faster is "
                "not learnt; look whether the videos move at all, at clips.stride, and at optim.lr"
            )
    if appearance and own is not None and others is not None and own - others < BARELY:
        told.append(
            f"appearance is at chance after {step} steps (a query is as near to other videos as to its own, "
            f"{figures(own)} v {figures(others)}): look at augment and at optim.lr"
        )
    return told


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
