import math

import pytest
import torch
import torch.nn.functional as F

from rspnet.method.losses import info_nce, relative_speed


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def slow_info_nce(query, positive, queue, temperature):
    """The paper's formula, one query and one negative at a time."""
    total = 0.0
    for q, p in zip(query.tolist(), positive.tolist()):
        own = math.exp(sum(a * b for a, b in zip(q, p)) / temperature)
        others = sum(math.exp(sum(a * b for a, b in zip(q, n)) / temperature) for n in queue.T.tolist())
        total -= math.log(own / (own + others))
    return total / len(query)


def slow_relative_speed(query, same, other, temperature, margin):
    total = 0.0
    for q, s, o in zip(query.tolist(), same.tolist(), other.tolist()):
        near = sum(a * b for a, b in zip(q, s)) / temperature
        far = sum(a * b for a, b in zip(q, o)) / temperature
        total += max(0.0, far - near + margin)
    return total / len(query)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_info_nce_equals_the_plain_formula(temperature):
    query, positive, queue = unit(5, 8), unit(5, 8, seed=1), unit(11, 8, seed=2).T
    loss, logits = info_nce(query, positive, queue, temperature=temperature)
    assert loss.item() == pytest.approx(slow_info_nce(query, positive, queue, temperature), rel=1e-12)
    assert logits.shape == (5, 12)
    torch.testing.assert_close(logits[:, 0], (query * positive).sum(1) / temperature)


def test_info_nce_is_log_of_the_choices_when_all_agree():
    same = torch.ones(3, 4, dtype=torch.float64) / 2
    loss, _ = info_nce(same, same, same[:1].T.repeat(1, 9), temperature=0.07)
    assert loss.item() == pytest.approx(math.log(10), rel=1e-12)


@pytest.mark.parametrize("margin", [0.0, 2.0])
def test_relative_speed_equals_the_plain_formula(margin):
    query, same, other = unit(6, 8), unit(6, 8, seed=1), unit(6, 8, seed=2)
    loss, near, far = relative_speed(query, same, other, temperature=0.07, margin=margin)
    assert loss.item() == pytest.approx(slow_relative_speed(query, same, other, 0.07, margin), rel=1e-12)
    assert near.shape == far.shape == (6,)


def test_relative_speed_is_the_margin_when_it_cannot_tell_and_zero_when_it_can():
    query = unit(4, 8)
    assert relative_speed(query, query, query, temperature=0.07, margin=2.0)[0].item() == pytest.approx(2.0)
    assert relative_speed(query, query, -query, temperature=0.07, margin=2.0)[0].item() == 0.0
