"""Neighbours, retrieval and kNN against slow plain-Python versions, with ties, small galleries and uneven chunks."""

import math
import random
from fractions import Fraction

import pytest
import torch

from rspnet.evaluation import neighbours as module
from rspnet.evaluation.accuracy import top_classes
from rspnet.evaluation.neighbours import chance_recall, knn_votes, largest, neighbours, recall
from tests.support import slow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tied_features(n, seed, low=-2, high=3, size=3):
    """Small whole numbers, so that many vectors are equal or parallel."""
    features = torch.randint(low, high, (n, size), generator=seeded(seed)).float()
    features[(features == 0).all(dim=1)] = 1.0
    return features


@pytest.mark.parametrize("k", [1, 3, 7, 40])
def test_largest_equals_a_stable_sort(k):
    scores = torch.randint(0, 6, (200, 40), generator=seeded(k)).float()
    values, places = largest(scores, k)
    expected = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected.values[:, :k])
    assert torch.equal(places, expected.indices[:, :k])


@pytest.mark.parametrize("chunk", [1, 300, 1 << 22])
def test_neighbours_equal_the_slow_ones(monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)  # one query, seven (the last part has two), all at once
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
    monkeypatch.setattr(module, "_CHUNK", 60)
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
    found = recall(query, query_labels, gallery_features=gallery, gallery_labels=gallery_labels)
    by_hand = [each.tolist() for each in (query, query_labels, gallery, gallery_labels)]
    assert found == pytest.approx(slow.recall(*by_hand, ks), abs=1e-9)
    assert 0 < found[1] < 100
    assert list(found) == list(ks)


@pytest.mark.parametrize("k", [1, 6, 100])
def test_knn_equals_the_slow_one(k):
    query, gallery = tied_features(17, seed=0), tied_features(40, seed=1)
    labels = torch.randint(0, 5, (40,), generator=seeded(2))
    logits = knn_votes(query, gallery, labels, num_classes=6, k=k, temperature=0.2)
    expected = slow.shares(query.tolist(), gallery.tolist(), labels.tolist(), 6, k, 0.2)
    for row, share in zip(logits.softmax(dim=1).tolist(), expected, strict=True):
        assert row == pytest.approx(share, abs=1e-6)
    assert (logits[:, 5] == -math.inf).all()  # a class without an entry, which still has a place in the ranking
    assert top_classes(logits, k=6).tolist() == [slow.ranking([round(x, 7) for x in share]) for share in expected]


def test_a_tied_vote_goes_to_the_lower_class():
    """Two entries of one direction and two classes; only the earlier one votes where there is room for one."""
    query, gallery = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0], [0.5, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([3, 1, 0])
    assert top_classes(knn_votes(query, gallery, labels, num_classes=4, k=2)).tolist() == [[1, 3, 0, 2]]
    assert top_classes(knn_votes(query, gallery, labels, num_classes=4, k=1)).tolist() == [[3, 0, 1, 2]]


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
    found = recall(features[:3000], query_labels, gallery_features=features[3000:], gallery_labels=gallery_labels)
    assert found == pytest.approx(chance_recall(query_labels, gallery_labels), abs=2.5)


def test_nobody_of_ones_own_group_is_a_neighbour():
    """Nor counts for chance: against a ranking that is drawn many times, and by hand."""
    values, groups = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) // 4
    places, similarities = neighbours(values, values, 11, exclude_self=True, groups=groups)
    alone, _ = neighbours(values, values, 11, exclude_self=True)
    for query in range(12):
        others = [place for place in alone[query].tolist() if groups[place] != groups[query]]
        assert places[query, :8].tolist() == others
        assert similarities[query, 8:].isneginf().all()
    labels = torch.tensor([0, 0, 1, 1, 0, 1, 2, 1, 0, 0, 1, 3])
    found, rng, times = chance_recall(labels, labels, (1, 3, 50), groups=groups), random.Random(0), 3000
    for k, value in found.items():
        hits = 0
        for _ in range(times):
            query = rng.randrange(12)
            others = [place for place in range(12) if groups[place] != groups[query]]
            hits += any(labels[place] == labels[query] for place in rng.sample(others, min(k, len(others))))
        assert value == pytest.approx(100 * hits / times, abs=3)
    assert found[50] == pytest.approx(100 * 10 / 12)  # two are the only ones of their class
