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


def test_what_it_is_told_and_what_it_is_by_default():
    torch.manual_seed(0)
    model = Classifier(create_encoder("resnet18", width=8), 3, class_names=("a", "b", "c"))
    assert (model.num_classes, model.class_names, model.frozen) == (3, ["a", "b", "c"], False)
    assert model.fc.out_features == 3
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    assert build().class_names is None


@pytest.mark.parametrize(("num_classes", "top1", "top5"), [(50, 2, 10), (4, 25, 100), (5, 20, 100)])
def test_chance(num_classes, top1, top5):
    assert Classifier(Mean(), num_classes).chance == {"train_top1": top1, "val_top1": top1, "val_top5": top5}


def test_top1_is_the_percentage_told_right():
    model = build().eval()
    told = model(clips(4)).argmax(1)
    assert model(clips(4), told)["top1"] == 100
    assert model(clips(4), torch.cat([told[:1], (told[1:] + 1) % 5]))["top1"] == 25


def test_logits_of_halves_are_averaged_in_full():
    """Two views whose logits differ by less than bfloat16 can tell at their size."""
    model = Classifier(Mean(), 2).bfloat16()
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
        model.fc.bias.zero_()
    views = torch.ones(1, 2, 3, 1, 1, 1, dtype=torch.bfloat16)
    views[0, 1] += 2**-7
    assert model(views).tolist() == [[1 + 2**-8] * 2]
    assert model(views).dtype == torch.float32
    assert model.double()(views.double()).dtype == torch.float64


class Mean(nn.Module):
    """The mean of each colour, as a trained scale has it."""

    num_features = 3

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def reset_classifier(self, num_classes):
        assert num_classes == 0

    def forward(self, clips):
        return self.scale * clips.mean((2, 3, 4))


def colours():
    """Six classes, whose probabilities for a clip of ones are as these numbers to their sum; two are even."""
    model = Classifier(Mean(), 6)
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.tensor([1.0, 4, 2, 4, 6, 3]).log())
    return model


def test_the_likeliest_classes_come_first():
    model, video = colours(), torch.ones(2, 3, 1, 2, 2)
    expected = [("4", 6 / 20), ("1", 4 / 20), ("3", 4 / 20), ("5", 3 / 20), ("2", 2 / 20), ("0", 1 / 20)]
    for k, kept in ((1, 1), (2, 2), (6, 6), (9, 6)):
        found = model.predict(video, k)
        assert [name for name, _ in found] == [name for name, _ in expected[:kept]]
        assert {type(share) for _, share in found} == {float}
        assert [share for _, share in found] == pytest.approx([share for _, share in expected[:kept]])
    assert len(model.predict(video)) == 5
    even = Classifier(Mean(), 500)
    nn.init.zeros_(even.fc.weight)
    nn.init.zeros_(even.fc.bias)
    assert [name for name, _ in even.predict(video, 500)] == list(map(str, range(500)))
    model.class_names = list("abcdef")
    assert [name for name, _ in model.predict(video, 3)] == ["e", "b", "d"]


@pytest.mark.parametrize("training", [True, False])
def test_predicting_is_testing_and_leaves_the_model_as_it_was(monkeypatch, training):
    model, seen = colours().train(training), []
    model.encoder.register_forward_hook(lambda module, _, out: seen.append((module.training, out.requires_grad)))
    model.predict(torch.ones(2, 3, 1, 2, 2))
    assert seen == [(False, False)]
    assert model.training == model.encoder.training == training
    monkeypatch.setattr(Mean, "forward", lambda *_: pytest.fail("refused", pytrace=False))
    with pytest.raises(pytest.fail.Exception, match="refused"):
        model.predict(torch.ones(2, 3, 1, 2, 2))
    assert model.training == model.encoder.training == training


def test_a_file_is_read_for_the_model_that_asks(monkeypatch):
    model, asked = colours(), []

    def read(*given):
        asked.append(given)
        return torch.ones(2, 3, 1, 2, 2)

    monkeypatch.setattr("rspnet.data.one_video.read_clips", read)
    assert model.predict("a.mp4") == model.predict(torch.ones(2, 3, 1, 2, 2))
    assert asked == [("a.mp4", model)]


def test_frozen_encoder_is_out_of_training_at_once():
    model = build(frozen=True)
    assert model.frozen
    assert not any(module.training for module in model.encoder.modules())
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert model.train() is model
    assert not model.train(False).fc.training


def test_frozen_encoder_keeps_nothing_for_gradients():
    """Not even of clips that want one."""
    for model, kept in ((Classifier(Mean(), 2, frozen=True), False), (Classifier(Mean(), 2), True)):
        wanted = torch.ones(1, 3, 1, 1, 1, requires_grad=True)
        features = []
        model.encoder.register_forward_hook(lambda *given, to=features: to.append(given[-1]))
        assert model(wanted).requires_grad
        assert features[0].requires_grad == kept
        with torch.no_grad():
            assert not model(wanted).requires_grad
        assert not features[1].requires_grad


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
