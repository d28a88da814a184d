"""What was taken apart comes back without a difference, by way of JSON text; what would not is refused."""

import json
from collections import Counter, OrderedDict, defaultdict

import pytest
import torch
from torch import nn

from rspnet.nested import put_together, take_apart
from tests.exact import assert_same


def through_text(contents):
    outline, tensors = take_apart(contents)
    return put_together(json.loads(json.dumps(outline, allow_nan=False)), tensors)


@pytest.mark.parametrize(
    "contents",
    [
        None,
        {"epoch": 3, "flag": True, "one": 1, "real": 1.0, "text": "tensor", "nothing": None, "tiny": 5e-324},
        {1: "a", "1": "b", None: "c", 0: {}},
        [0.1, -0.0, float("inf"), float("-inf"), float("nan"), 2**80],
        ([1, 2], (3,), ()),
        OrderedDict([("b", 1), ("a", OrderedDict())]),
        {"milestones": Counter({50: 1, 30: 2, 70: 1}), "empty": Counter()},
        {"tensor": "name", "dict": [["a", 1]], "float": "x"},
        {"number": torch.tensor(3), "grid": torch.arange(6.0).reshape(2, 3).T, "none": torch.zeros(0, 4)},
        [torch.tensor([1, 0]).to(dtype) for dtype in (torch.float64, torch.float16, torch.uint8, torch.bool)],
        {"odd": torch.tensor([-0.0, float("nan"), float("inf"), 1e-45])},
    ],
    ids=repr,
)
def test_there_and_back(contents):
    assert_same(through_text(contents), contents)


def test_a_state_dict_keeps_its_versions():
    state = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict()
    again = through_text({"model": state})["model"]
    assert_same(again, state)
    assert again._metadata["1"] == {"version": 2}


def test_tensors_are_named_by_their_place():
    _, tensors = take_apart({"optimizer": {"state": {7: {"momentum_buffer": torch.zeros(1)}}}, "list": [torch.ones(1)]})
    assert list(tensors) == ["optimizer.state.7.momentum_buffer", "list.0"]


class Text(str):
    """Would come back as a plain str."""


def endless():
    loop = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"a": {1, 2}}, "a is of type set"),
        ({"a": [b"x"]}, "a.0 is of type bytes"),
        ({"a": Text("x")}, "a is of type Text"),
        ({"a": defaultdict(int)}, "a is of type defaultdict"),
        ({"a": nn.Parameter(torch.zeros(1))}, "a is of type Parameter"),
        ({"a": torch.zeros(1, requires_grad=True)}, "a is a tensor of a kind"),
        ({"a": torch.zeros(1, dtype=torch.complex64)}, "complex64"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "a is a tensor of a kind"),
        ({"a": {(1, 2): 3}}, "a has a key of type tuple"),
        ({"a.b": torch.zeros(1), "a": {"b": torch.zeros(1)}}, "a.b is the name of two tensors"),
        (3j, "it is of type complex"),
        (endless(), "holds itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_not_come_back_is_refused(contents, words):
    with pytest.raises(ValueError, match=words):
        take_apart(contents)


@pytest.mark.parametrize("outline", [{}, {"set": [1]}, {"tensor": "a"}, {"tensor": 3}, {"float": 1}, {"tuple": 1}])
def test_what_is_no_outline_is_refused(outline):
    with pytest.raises(ValueError, match="stands for nothing"):
        put_together(outline, {"b": torch.zeros(1)})
