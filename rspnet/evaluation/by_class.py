"""A test class by class: how many videos of each are told right, and which classes are taken for which."""

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
        names: of the C classes.
        counts: (C, C) videos: rows are what they are, columns what they are taken for.
    """

    names: list[str]
    counts: Tensor

    @property
    def accuracy(self) -> dict[str, float | None]:
        """Top-1 accuracy of each class in percent; None for one that no video is of."""
        totals, right = self.counts.sum(1).tolist(), self.counts.diagonal().tolist()
        values = [round(100 * hits / total, 2) if total else None for hits, total in zip(right, totals)]
        return dict(zip(self.names, values))

    def csv(self) -> str:
        """The matrix as text: a head and a row for each class, that it is, and how often it is taken for which."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["label", *self.names])
        writer.writerows([name, *row] for name, row in zip(self.names, self.counts.tolist()))
        return text.getvalue()


def by_class(logits: Tensor, labels: Tensor, names: list[str]) -> ByClass:
    """Count what the videos of each class are taken for; of equal logits the lower class is, as in the accuracy.

    Args:
        logits: (N, C).
        labels: (N,) class numbers.
        names: of the C classes.
    """
    taken_for = top_classes(logits, 1)[:, 0]
    places = labels.to(taken_for.device) * len(names) + taken_for
    return ByClass(names, torch.bincount(places, minlength=len(names) ** 2).view(len(names), len(names)))
