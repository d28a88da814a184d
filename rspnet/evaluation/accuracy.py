"""Top-1 and top-5 accuracy, in percent from 0 to 100.

Of equal logits the lower class number always ranks first, so that a result does not depend on the device. Importing
this module takes seconds because of the evaluate package, so stages import it late.
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
    """Rank the classes of each sample, best first, for ``TopK``; of equal logits the lower class number comes first.

    Args:
        logits: (N, classes).
        k: How many to keep; all if there are fewer classes.

    Returns:
        (N, min(k, classes)) int64 class numbers.

    Raises:
        ValueError: A logit is NaN, so that there is no ranking.
    """
    if logits.isnan().any():
        raise ValueError("logits hold NaN: the network has diverged, or its weights or input are damaged")
    return largest(logits, min(k, logits.shape[1]))[1]


class TopK(evaluate.Metric):
    """Top-1 and top-5 accuracy from ranked class numbers; needs no internet access and no cache folder.

    Call ``add_batch(predictions=top_classes(logits), references=labels)`` for each batch, then ``compute()``, which
    returns {"top1", "top5"} in percent. With fewer than five classes top5 takes all of them. Ties are resolved by
    ``top_classes``. With several processes, gather their samples and add each of them once, on one process.
    """

    def __init__(self) -> None:
        # The folder is created but stays empty; the default is in the home folder, which may be read-only.
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
        """Return {"top1", "top5"} in percent over all samples added, and remove them.

        Raises:
            ValueError: Nothing was added.
            RuntimeError: This is not the process that computes.
        """
        if predictions is None and len(self) == 0:
            raise ValueError("no accuracy can be computed: no predictions were added")
        found = super().compute(predictions=predictions, references=references, **kwargs)
        if found is None:
            raise RuntimeError("only the first of the metric's processes computes it")
        return found

    def _compute(  # type: ignore[override]  # it gets only the features that `_info` names
        self, predictions: Sequence[Sequence[int]], references: Sequence[int]
    ) -> dict[str, float]:
        hits = np.asarray(predictions) == np.asarray(references)[:, None]
        return {f"top{k}": 100 * float(hits[:, :k].any(axis=1).mean()) for k in (1, 5)}


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return {"top1", "top5"} in percent for logits (N, classes) and labels (N,)."""
    return TopK().compute(predictions=top_classes(logits).tolist(), references=labels.tolist())


def chance_top(num_classes: int) -> dict[str, float]:
    """Return the top-1 and top-5 accuracy, in percent, of guessing among the classes at random."""
    return {f"top{k}": 100 * min(k, num_classes) / num_classes for k in (1, 5)}
