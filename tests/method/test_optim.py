import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rspnet.method import optim


def test_cosine_ends_at_a_thousandth():
    rate = optim.Schedule("cosine", 0.2, 200)
    assert rate(0) == pytest.approx(0.2)
    assert rate(100) == pytest.approx(0.2 * (1 + 1e-3) / 2)
    assert rate(200) == pytest.approx(0.2e-3)


def test_cosine_is_torchs():
    rate = optim.Schedule("cosine", 0.1, 30)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=1e-4)
    for epoch in range(30):
        assert rate(epoch) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_multi_step_divides_by_ten():
    rate = optim.Schedule("multi_step", 0.01, 50, [20, 40])
    assert [rate(e) for e in (0, 19, 20, 39, 40, 49)] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


def test_wrong_schedules_are_refused():
    with pytest.raises(ValueError, match="ascend"):
        optim.Schedule("multi_step", 0.1, 10, [5, 5])
    with pytest.raises(ValueError, match="cosine or multi_step"):
        optim.Schedule("linear", 0.1, 10)


def test_rate_scales_with_the_batch_where_asked():
    assert optim.scaled_lr(0.1, 128, 64) == pytest.approx(0.2)
    assert optim.scaled_lr(0.005, 40, None) == 0.005


def test_sgd_is_plain_momentum_with_decay_on_everything():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    reference = [p.detach().clone().requires_grad_() for p in module.parameters()]
    ours = optim.sgd(module, 0.1, momentum=0.9, weight_decay=0.01)
    theirs = torch.optim.SGD(reference, lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(3):
        for mine, other in zip(module.parameters(), reference):
            mine.grad = torch.full_like(mine, math.sin(step + 1))
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
    for mine, other in zip(module.parameters(), reference):
        assert torch.equal(mine, other)


def test_adam_is_torchs_by_the_papers_formulas():
    """With the gradient's and the square's means from nought, put right, and weight decay in the gradient."""
    module = nn.Linear(1, 1, bias=False).double()
    weight = module.weight.item()
    ours, first, second = optim.adam(module, 0.1, momentum=0.8, weight_decay=0.5), 0.0, 0.0
    for step in range(1, 5):
        gradient = math.sin(step) + 0.5 * weight
        module.weight.grad = torch.full_like(module.weight, math.sin(step))
        ours.step()
        first, second = 0.8 * first + 0.2 * gradient, 0.999 * second + 0.001 * gradient**2
        weight -= 0.1 * (first / (1 - 0.8**step)) / (math.sqrt(second / (1 - 0.999**step)) + 1e-8)
        assert module.weight.item() == pytest.approx(weight, rel=1e-9)


def test_what_is_frozen_is_not_listed():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    (group,) = optim.sgd(module, 0.1, momentum=0.9, weight_decay=0.01).param_groups
    assert list(map(id, group["params"])) == list(map(id, module[0].parameters()))


def test_set_lr_reaches_every_group():
    optimizer = torch.optim.SGD(
        [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))]}], lr=1
    )
    optim.set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


def test_a_recipe_is_an_optimiser_and_its_schedule():
    how = SimpleNamespace(
        epochs=30, total_batch=128, lr=0.1, lr_batch=64, momentum=0.8, weight_decay=0.02, schedule="multi_step"
    )
    more = {"milestones": [3, 6], "decay": 0.25}
    module = nn.Linear(2, 2)
    optimizer, rate = optim.recipe(module, SimpleNamespace(**vars(how), **more, optimizer="sgd"))
    (group,) = optimizer.param_groups
    assert group["params"] == list(module.parameters())
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.2, 0.8, 0.02)
    assert rate == optim.Schedule("multi_step", 0.2, 30, [3, 6], 0.25)
    assert rate(6) == 0.2 * 0.25**2
    optimizer, _ = optim.recipe(module, SimpleNamespace(**vars(how), **more, optimizer="adam"))
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.999)
