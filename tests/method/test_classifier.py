"""Fine-tuning's module: gradients, the linear probe, several views."""

import math

import pytest
import torch
from torch import nn

from rspnet.encoders import create_encoder
from rspnet.method.classifier import Classifier


def clips(*leading: int) -> torch.Tensor:
    return torch.randn(*leading, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def build(frozen: bool = False) -> Classifier:
    torch.manual_seed(0)
    return Classifier(create_encoder("resnet18", width=8), num_classes=5, frozen=frozen)


def test_keys_are_those_of_the_published_fine_tuned_files():
    torch.manual_seed(0)
    model = Classifier(create_encoder("c3d", num_classes=1, width=8), num_classes=5)
    own = {f"encoder.{key}" for key in create_encoder("c3d", width=8).state_dict()}
    assert set(model.state_dict()) == own | {"fc.weight", "fc.bias"}


def test_loss_is_cross_entropy_of_the_logits():
    model, labels = build(), torch.tensor([0, 3, 4])
    output = model(clips(3), labels)
    rows = output["logits"].tolist()
    by_hand = [math.log(sum(math.exp(x) for x in row)) - row[label] for row, label in zip(rows, labels, strict=True)]
    assert output["loss"].item() == pytest.approx(sum(by_hand) / 3, rel=1e-5)
    torch.testing.assert_close(model(clips(3)), output["logits"])  # training mode: same batch, same statistics


def test_uniform_logits_cost_log_of_the_classes():
    model = build()
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    assert model(clips(2), torch.tensor([1, 2]))["loss"].item() == pytest.approx(math.log(5))


def test_every_parameter_gets_a_gradient():
    model = build()
    model(clips(2), torch.tensor([0, 1]))["loss"].backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


def test_views_are_averaged_as_logits():
    model, views = build().eval(), clips(2, 3)
    with torch.inference_mode():
        expected = torch.stack([torch.stack([model(view[None])[0] for view in video]).mean(0) for video in views])
        torch.testing.assert_close(model(views), expected)
        assert model(views).shape == (2, 5)
        # A video's logits are its own: the order of videos does not leak into the average.
        torch.testing.assert_close(model(views.flip(0)), expected.flip(0))


def test_frozen_encoder_neither_learns_nor_counts():
    model = build(frozen=True).train()
    assert model.training
    assert model.fc.training
    assert not any(module.training for module in model.encoder.modules())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0, weight_decay=0.1)
    model(clips(2), torch.tensor([0, 1]))["loss"].backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fc.weight", "fc.bias"}


def test_trained_encoder_moves_its_statistics():
    model = build().train()
    before = model.encoder.bn1.running_mean.clone()
    model(clips(2), torch.tensor([0, 1]))
    assert not torch.equal(before, model.encoder.bn1.running_mean)
