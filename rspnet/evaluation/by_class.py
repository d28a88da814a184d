"""The results of a test class by class: the accuracy of each class, and which classes are confused."""

import csv
import io
from dataclasses import dataclass

import torch
from torch import Tensor

from rspnet.evaluation.accuracy import top_classes


@dataclass(frozen=True)
class ByClass:
    """The confusion matrix of a test.

    Attributes:
        names: names of the C classes.
        counts: number of videos (C, C), by true class (row) and predicted class (column).
    """

    names: list[str]
    counts: Tensor

    @property
    def accuracy(self) -> dict[str, float | None]:
        """Top-1 accuracy of each class in percent; None for a class without videos."""
        totals, right = self.counts.sum(1).tolist(), self.counts.diagonal().tolist()
        values = [round(100 * hits / total, 2) if total else None for hits, total in zip(right, totals)]
        return dict(zip(self.names, values))

    def csv(self) -> str:
        """Return the matrix as CSV: a header of the predicted classes, then a row for each true class."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["label", *self.names])
        writer.writerows([name, *row] for name, row in zip(self.names, self.counts.tolist()))
        return text.getvalue()


def by_class(logits: Tensor, labels: Tensor, names: list[str]) -> ByClass:
    """Count the predicted classes of the videos of each class; of equal logits the lower class number is predicted.

    Args:
        logits: (N, C).
        labels: class numbers (N,).
        names: names of the C classes.
    """
    taken_for = top_classes(logits, 1)[:, 0]
    places = labels.to(taken_for.device) * len(names) + taken_for
    return ByClass(names, torch.bincount(places, minlength=len(names) ** 2).view(len(names), len(names)))
