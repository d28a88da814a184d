"""Metrics against slow plain-Python versions, with ties, few classes, small galleries and uneven chunks."""

import math
from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from rspnet import metrics
from rspnet.metrics import TopK, chance_recall, chance_top, knn, linear_probe, neighbours, retrieval, top_classes
from tests import slow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tied_features(n, seed, low=-2, high=3, size=3):
    """Small whole numbers, so that many vectors are equal or parallel."""
    features = torch.randint(low, high, (n, size), generator=seeded(seed)).float()
    features[(features == 0).all(dim=1)] = 1.0
    return features


# Top-1 and top-5.


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


@pytest.mark.parametrize("k", [1, 3, 7, 40])
def test_largest_equals_a_stable_sort(k):
    scores = torch.randint(0, 6, (200, 40), generator=seeded(k)).float()
    values, places = metrics._largest(scores, k)
    expected = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected.values[:, :k])
    assert torch.equal(places, expected.indices[:, :k])


# Neighbours, retrieval, kNN.


@pytest.mark.parametrize("chunk", [1, 300, 1 << 22])
def test_neighbours_equal_the_slow_ones(monkeypatch, chunk):
    monkeypatch.setattr(metrics, "_CHUNK", chunk)  # one query, seven (the last part has two), all at once
    query, gallery = tied_features(23, seed=0), tied_features(40, seed=1)
    places, similarities = neighbours(query, gallery, k=9)
    expected, cosines = slow.neighbours(query.tolist(), gallery.tolist(), 9)
    assert places.tolist() == expected
    for row, cosine, place in zip(similarities.tolist(), cosines, expected, strict=True):
        assert row == [cosine[p] for p in place]


def test_equal_gallery_entries_come_in_gallery_order():
    """Copies far apart in a big gallery, where a matrix product may take another path for its edge."""
    gallery = torch.randn(1003, 65, generator=seeded())
    copies = [3, 500, 777, 1002]
    gallery[copies] = gallery[copies[0]] * torch.tensor([[1.0], [2.0], [0.5], [8.0]])
    query = torch.cat([gallery[3:4], torch.randn(30, 65, generator=seeded(1))])
    places, similarities = neighbours(query, gallery, k=1003)
    assert places[0, :4].tolist() == copies
    assert similarities[0, :4].tolist() == pytest.approx([1.0] * 4, abs=1e-7)
    for row in places.tolist():
        assert [place for place in row if place in copies] == copies


def test_neighbours_without_oneself(monkeypatch):
    monkeypatch.setattr(metrics, "_CHUNK", 60)
    features = tied_features(20, seed=3)
    places, similarities = neighbours(features, features, k=50, exclude_self=True)
    assert places.shape == (20, 19)
    assert similarities.isfinite().all()
    full, _ = slow.neighbours(features.tolist(), features.tolist(), 20)
    for n, row in enumerate(places.tolist()):
        assert row == [place for place in full[n] if place != n]


@pytest.mark.parametrize("gallery_size", [7, 60])
def test_retrieval_equals_the_slow_one(gallery_size):
    ks = (1, 5, 10, 20, 50)  # most of them larger than the small gallery
    query, gallery = tied_features(31, seed=0, size=4), tied_features(gallery_size, seed=1, size=4)
    query_labels = torch.randint(0, 6, (31,), generator=seeded(2))
    gallery_labels = torch.randint(0, 4, (gallery_size,), generator=seeded(3))  # two classes have no gallery entry
    recall = retrieval(query, query_labels, gallery, gallery_labels)
    by_hand = [each.tolist() for each in (query, query_labels, gallery, gallery_labels)]
    assert recall == pytest.approx(slow.recall(*by_hand, ks), abs=1e-9)
    assert 0 < recall[1] < 100
    assert list(recall) == list(ks)


@pytest.mark.parametrize("k", [1, 6, 100])
def test_knn_equals_the_slow_one(k):
    query, gallery = tied_features(17, seed=0), tied_features(40, seed=1)
    labels = torch.randint(0, 5, (40,), generator=seeded(2))
    logits = knn(query, gallery, labels, num_classes=6, k=k, temperature=0.2)
    expected = slow.shares(query.tolist(), gallery.tolist(), labels.tolist(), 6, k, 0.2)
    for row, share in zip(logits.softmax(dim=1).tolist(), expected, strict=True):
        assert row == pytest.approx(share, abs=1e-6)
    assert (logits[:, 5] == -math.inf).all()  # a class without an entry, which still has a place in the ranking
    assert top_classes(logits, k=6).tolist() == [slow.ranking([round(x, 7) for x in share]) for share in expected]


def test_a_tied_vote_goes_to_the_lower_class():
    """Two entries of one direction and two classes; only the earlier one votes where there is room for one."""
    query, gallery = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0], [0.5, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([3, 1, 0])
    assert top_classes(knn(query, gallery, labels, num_classes=4, k=2)).tolist() == [[1, 3, 0, 2]]
    assert top_classes(knn(query, gallery, labels, num_classes=4, k=1)).tolist() == [[3, 0, 1, 2]]


def test_the_length_of_a_feature_does_not_matter():
    """Down to the smallest numbers of float32; only zero has no direction, and is no nearer to one than to another."""
    query, gallery = torch.randn(5, 4, generator=seeded()), torch.randn(9, 4, generator=seeded(1))
    gallery[3] = 0
    places, similarities = neighbours(query, gallery, k=9)
    assert (similarities[places == 3] == 0).all()
    for factor in (1e-30, 1e30):
        scaled = neighbours(query * factor, gallery / factor, k=9)
        assert torch.equal(scaled[0], places)
        torch.testing.assert_close(scaled[1], similarities)


def test_features_that_cannot_be_compared_are_refused():
    good = torch.ones(4, 3)
    with pytest.raises(ValueError, match="NaN or infinity"):
        neighbours(torch.full((4, 3), math.nan), good, k=1)
    with pytest.raises(ValueError, match="features must be"):
        neighbours(good[:, :2], good, k=1)
    with pytest.raises(ValueError, match="4 entries, 3 queries"):
        neighbours(good[:3], good, k=1, exclude_self=True)
    with pytest.raises(ValueError, match="among 0 gallery entries"):
        neighbours(good, good[:0], k=1)


# Chance.


def test_chance_recall_equals_a_count_over_all_rankings():
    gallery_labels = [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
    query_labels = [0, 1, 1, 2, 3]  # class 3 is not in the gallery
    expected = {}
    for k in (1, 3, 6, 10, 50):
        hit = Fraction(0)
        for label in query_labels:
            others = 10 - gallery_labels.count(label)
            hit += 1 - Fraction(math.comb(others, min(k, 10)), math.comb(10, min(k, 10)))
        expected[k] = float(100 * hit / 5)
    recall = chance_recall(torch.tensor(query_labels), torch.tensor(gallery_labels), ks=(1, 3, 6, 10, 50))
    assert recall == pytest.approx(expected, abs=1e-9)
    assert recall[50] == pytest.approx(80)


def test_chance_recall_is_what_random_features_reach():
    query_labels = torch.arange(3000) % 12
    gallery_labels = torch.randint(0, 12, (400,), generator=seeded()).pow(2) // 12  # uneven classes
    features = torch.randn(3400, 16, generator=seeded(1))
    recall = retrieval(features[:3000], query_labels, features[3000:], gallery_labels)
    assert recall == pytest.approx(chance_recall(query_labels, gallery_labels), abs=2.5)


def test_chance_top():
    assert chance_top(101) == pytest.approx({"top1": 100 / 101, "top5": 500 / 101})
    assert chance_top(3) == pytest.approx({"top1": 100 / 3, "top5": 100})


# Linear probe.


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
    assert logits.isfinite().all()
    assert int(logits.argmax(dim=1).max()) < 4
    with pytest.raises(ValueError, match="must be positive"):
        linear_probe(features, labels, features, num_classes=4, l2=0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        linear_probe(features / 0, labels, features, num_classes=4)
