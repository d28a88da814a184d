"""The linear probe against gradient descent by hand, and at the minimum of its own equation."""

import pytest
import torch
from torch.nn import functional

from rspnet.evaluation import linear
from rspnet.evaluation.linear import linear_probe
from tests.support import slow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def probe_data(n=120, size=7, classes=4):
    labels = torch.randint(0, classes, (n,), generator=seeded(1))
    means = torch.randn(classes, size, generator=seeded(2))
    features = means[labels] + torch.randn(n, size, generator=seeded(3))
    return features * torch.logspace(-3, 3, size) + 50, labels  # scales far apart, far from zero


@pytest.mark.parametrize("l2", [None, 1e-3, 1.0])
def test_probe_solves_its_equation(l2):
    """At the minimum, by hand: mean (probability - one-hot) x feature + l2 * weight = 0, and the same for the bias."""
    features, labels = probe_data()
    logits = linear_probe(features, labels, features, num_classes=4, l2=l2).double()
    standard = (features.double() - features.double().mean(0)) / features.double().std(0, correction=0)
    # The logits are linear in the features: read weight and bias off them.
    solution = torch.linalg.lstsq(functional.pad(standard, (0, 1), value=1.0), logits).solution
    weight, bias = solution[:-1], solution[-1]
    torch.testing.assert_close(standard @ weight + bias, logits, rtol=0, atol=1e-4)
    error = logits.softmax(dim=1) - functional.one_hot(labels, 4)
    penalty = 7 / 120 if l2 is None else l2
    slope = standard.T @ error / 120 + penalty * weight
    assert slope.abs().max() < 1e-5
    assert error.mean(dim=0).abs().max() < 1e-5


@pytest.mark.parametrize("classes", [2, 3])
def test_probe_equals_gradient_descent_by_hand(classes):
    features, labels = probe_data(n=18, size=3, classes=classes)
    features[:, 1] = 7.0  # tells nothing
    logits = linear_probe(features[:14], labels[:14], features, num_classes=classes)
    expected = slow.logistic_regression(
        features[:14].tolist(), labels[:14].tolist(), features.tolist(), classes, 3 / 14
    )
    torch.testing.assert_close(logits, torch.tensor(expected), rtol=0, atol=1e-4)


def test_probe_learns_repeats_itself_and_ignores_scale():
    features, labels = probe_data(n=300)
    train, test = slice(0, 200), slice(200, 300)
    logits = linear_probe(features[train], labels[train], features[test], num_classes=4)
    assert (logits.argmax(dim=1) == labels[test]).float().mean() > 0.75
    assert torch.equal(logits, linear_probe(features[train], labels[train], features[test], num_classes=4))
    scaled = features.double() * torch.tensor([1, 9, 1, 0.01, 1, 3, 1]) - 4
    torch.testing.assert_close(
        logits, linear_probe(scaled[train], labels[train], scaled[test], num_classes=4), rtol=0, atol=1e-3
    )


def test_probe_with_a_constant_feature_and_an_unseen_class():
    features, labels = probe_data()
    features[:, 0] = 3.0
    logits = linear_probe(features, labels, features + 1, num_classes=6)
    assert logits.shape == (120, 6)
    assert logits[:, :4].isfinite().all()
    assert (logits[:, 4:] == -torch.inf).all()
    assert torch.equal(linear_probe(features, labels * 2, features + 1, num_classes=8)[:, ::2], logits[:, :4])
    with pytest.raises(ValueError, match="must be positive"):
        linear_probe(features, labels, features, num_classes=4, l2=0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        linear_probe(features / 0, labels, features, num_classes=4)


def test_probe_of_one_class():
    features, labels = probe_data()
    logits = linear_probe(features, labels * 0 + 2, features, num_classes=4)
    assert torch.equal(logits.softmax(dim=1), functional.one_hot(torch.full((120,), 2), 4).float())


def test_probe_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(linear, "_MAX_ITER", 3)
    features, labels = probe_data()
    with pytest.warns(UserWarning, match=r"^the linear probe did not converge in 3 iterations: its accuracy is not"):
        linear_probe(features, labels, features, num_classes=4)
