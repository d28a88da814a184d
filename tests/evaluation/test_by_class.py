"""A test class by class, from what can be counted by hand."""

import csv
import io

import torch

from rspnet.evaluation.accuracy import accuracy
from rspnet.evaluation.by_class import by_class

NAMES = ["a", 'b, "c"', "d", "e"]


def test_counts_and_accuracy():
    labels = torch.tensor([0, 0, 0, 1, 1, 3])
    logits = torch.eye(4)[torch.tensor([0, 0, 1, 1, 1, 0])]
    logits[2] = torch.tensor([1.0, 1, 0, 0])  # of equal ones the lower class, as in top-1
    found = by_class(logits, labels, NAMES)
    assert found.counts.tolist() == [[3, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert found.accuracy == {"a": 100.0, 'b, "c"': 100.0, "d": None, "e": 0.0}
    assert 100 * found.counts.trace() / 6 == accuracy(logits, labels)["top1"]


def test_the_matrix_as_text():
    rows = list(csv.reader(io.StringIO(by_class(torch.eye(4), torch.tensor([3, 1, 2, 0]), NAMES).csv())))
    assert rows[0] == ["label", *NAMES]
    assert [row[0] for row in rows[1:]] == NAMES
    assert [list(map(int, row[1:])) for row in rows[1:]] == [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
