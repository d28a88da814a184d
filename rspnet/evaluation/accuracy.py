"""Top-1 and top-5 accuracy, in percent from 0 to 100.

Of equal logits the lower class number always ranks first, so a result does not depend on the device. Importing this
module takes seconds (the evaluate package): stages import it late.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import torch

from rspnet.evaluation.neighbours import largest


def top_classes(logits: torch.Tensor, k: int = 5) -> torch.Tensor:
    """Rank the classes of each sample, best first, as ``TopK`` takes them; of equal logits the lower class is better.

    Args:
        logits: (N, classes).
        k: How many to keep; all where there are fewer classes.

    Returns:
        (N, min(k, classes)) int64 class numbers.

    Raises:
        ValueError: a logit is NaN, so there is no ranking.
    """
    if logits.isnan().any():
        raise ValueError("logits hold NaN: the network has diverged, or its weights or input are damaged")
    return largest(logits, min(k, logits.shape[1]))[1]


class TopK(evaluate.Metric):
    """Top-1 and top-5 accuracy, kept as a handful of class numbers per sample; needs no network and no cache folder.

    ``add_batch(predictions=top_classes(logits), references=labels)`` per batch, then ``compute()`` gives
    {"top1", "top5"} in percent. With fewer than five classes top5 looks at all of them. A sample counts as right by
    the place of its class in the ranking, so of tied classes ``top_classes`` has decided. To be fed by one process,
    with what was gathered from all: each sample once.
    """

    def __init__(self) -> None:
        # The folder is made but stays empty; the default one lies in the home folder, which may be read-only.
        super().__init__(keep_in_memory=True, cache_dir=str(Path(tempfile.gettempdir()) / "rspnet"))

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Top-1 and top-5 accuracy in percent.",
            citation="",
            inputs_description="predictions: class numbers, best first, for each sample; references: the right class.",
            features=datasets.Features(
                predictions=datasets.Sequence(datasets.Value("int64")), references=datasets.Value("int64")
            ),
        )

    def compute(
        self,
        *,
        predictions: Sequence[Sequence[int]] | None = None,
        references: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Return {"top1", "top5"} in percent over all that was added, and start afresh.

        Raises:
            ValueError: nothing was added.
            RuntimeError: this is not the process that computes.
        """
        if predictions is None and len(self) == 0:
            raise ValueError("no accuracy can be computed: no predictions were added")
        found = super().compute(predictions=predictions, references=references, **kwargs)
        if found is None:
            raise RuntimeError("only the first of the metric's processes computes it")
        return found

    def _compute(  # type: ignore[override]  # nothing else is handed in than what `_info` names
        self, predictions: Sequence[Sequence[int]], references: Sequence[int]
    ) -> dict[str, float]:
        hits = np.asarray(predictions) == np.asarray(references)[:, None]
        return {f"top{k}": 100 * float(hits[:, :k].any(axis=1).mean()) for k in (1, 5)}


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return {"top1", "top5"} in percent, of the logits (N, classes) of samples with these labels (N,)."""
    return TopK().compute(predictions=top_classes(logits).tolist(), references=labels.tolist())


def chance_top(num_classes: int) -> dict[str, float]:
    """Return the top-1 and top-5 accuracy, in percent, of guessing among the classes at random."""
    return {f"top{k}": 100 * min(k, num_classes) / num_classes for k in (1, 5)}
