"""The order of numbers in memory: weights and what is kept for them alike, and nothing of it in files."""

import torch
from torch import nn

from rspnet.running.layout import MEMORY_FORMAT, lay_out, lay_out_like_weights, plain


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))


def step(model, optimizer):
    model(torch.ones(1, 3, 3, 3, 3)).sum().backward()
    optimizer.step()


def test_weights_of_convolutions_and_their_momentum_lie_alike_also_from_a_file():
    model = network()
    numbers = [weight.clone() for weight in model.parameters()]
    lay_out(model)
    kernel = model[0].weight
    assert kernel.is_contiguous(memory_format=MEMORY_FORMAT)
    assert not kernel.is_contiguous()
    assert all(map(torch.equal, numbers, model.parameters()))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    step(model, optimizer)
    assert optimizer.state[kernel]["momentum_buffer"].stride() == kernel.stride()

    saved = plain(optimizer.state_dict())
    assert all(state["momentum_buffer"].is_contiguous() for state in saved["state"].values())
    again = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    again.load_state_dict(saved)
    lay_out_like_weights(again.state)
    for weight in model.parameters():
        assert again.state[weight]["momentum_buffer"].stride() == weight.stride()
        assert torch.equal(again.state[weight]["momentum_buffer"], optimizer.state[weight]["momentum_buffer"])


def test_plain_copies_only_what_lies_otherwise():
    value = torch.zeros(2, 3)
    state = {"a": [value, value.T], "b": ({"c": 1}, None), "d": {3: value}}
    found = plain(state)
    assert found["a"][0] is value
    assert found["d"][3] is value
    assert found["a"][1].is_contiguous()
    assert found["b"] == ({"c": 1}, None)
