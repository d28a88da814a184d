"""Equality to the bit of whatever a torch file holds."""

import torch


def assert_same(one, two, where=""):
    """Compare types, order of keys, attributes and bytes: a NaN equals itself, and 0.0 does not equal -0.0."""
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape) == (two.dtype, two.shape), where
        bits = [tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, two)]
        assert torch.equal(*bits), where
    elif isinstance(one, dict):
        assert [(type(key), key) for key in one] == [(type(key), key) for key in two], where
        for key in one:
            assert_same(one[key], two[key], f"{where}.{key}")
        if type(one) is not dict:  # a state dict keeps its modules' versions there
            assert_same(vars(one), vars(two), f"{where}.__dict__")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for number, items in enumerate(zip(one, two)):
            assert_same(*items, f"{where}.{number}")
    else:
        assert repr(one) == repr(two), where
