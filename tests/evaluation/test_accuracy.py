"""Top-1 and top-5 against a slow plain-Python version, with ties and few classes."""

import math

import pytest
import torch

from rspnet.evaluation.accuracy import TopK, chance_top, top_classes
from tests.support import slow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("classes", [1, 2, 4, 5, 6, 50])
def test_accuracy_equals_the_slow_one(classes):
    logits = torch.randint(-3, 4, (83, classes), generator=seeded(classes)).float()  # ties in every row
    labels = torch.randint(0, classes, (83,), generator=seeded(1))
    expected = slow.accuracy(logits.tolist(), labels.tolist())
    metric = TopK()
    for start in range(0, 83, 20):  # the last batch has 3
        part = slice(start, start + 20)
        metric.add_batch(predictions=top_classes(logits[part]), references=labels[part])
    assert metric.compute() == pytest.approx(expected, abs=1e-9)
    if classes <= 5:
        assert expected["top5"] == 100


def test_accuracy_starts_afresh_and_needs_something():
    metric = TopK()
    with pytest.raises(ValueError, match="no predictions were added"):
        metric.compute()
    assert metric.compute(predictions=[[1, 0], [0, 1]], references=[1, 1]) == {"top1": 50.0, "top5": 100.0}
    metric.add_batch(predictions=[[2, 0, 1]], references=[0])
    assert metric.compute() == {"top1": 0.0, "top5": 100.0}


def test_ranked_classes_break_ties_by_the_lower_number():
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0, 3.0, 1.0, 1.0]])
    assert top_classes(logits).tolist() == [[1, 2, 4, 0, 5]]
    assert top_classes(torch.zeros(2, 400), k=3).tolist() == [[0, 1, 2]] * 2
    assert top_classes(logits[:, :2]).tolist() == [[1, 0]]
    assert top_classes(torch.tensor([[-math.inf, 0.0, -math.inf]]), k=2).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="NaN"):
        top_classes(torch.tensor([[0.0, math.nan]]))


def test_chance_top():
    assert chance_top(101) == pytest.approx({"top1": 100 / 101, "top5": 500 / 101})
    assert chance_top(3) == pytest.approx({"top1": 100 / 3, "top5": 100})
