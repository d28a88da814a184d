"""What is no number is found, and named."""

import math

import torch

from rspnet.weights.finite import not_finite


def test_what_is_no_number_is_named():
    good = {"a": torch.ones(3), "b": [torch.arange(2), {"c": torch.zeros(0)}], "d": 5, "e": torch.ones(1).bool()}
    assert not_finite(good) == ""
    assert not_finite({}) == ""
    assert not_finite(torch.tensor(1e38)) == ""  # whose square is infinite
    bad = torch.ones(2, 2)
    bad[1, 1] = math.nan
    assert not_finite(good | {"f": (1, bad)}) == "f.1"
    assert not_finite({"a": torch.ones(2), "b": torch.ones(2, device="meta")}) == "b"  # which has no values at all
    assert not_finite({"a": bad, "b": {"c": bad.half(), "d": torch.tensor([-math.inf])}}) == "a, b.c and 1 more"
