"""Reference metrics, one sample at a time with plain lists and loops, which the fast metrics must agree with."""

import math
import struct
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def ranking(scores: Sequence[float]) -> list[int]:
    """Return the places of the scores, largest first and earlier ones first among equals."""
    left = list(range(len(scores)))
    ranked = []
    while left:
        best = left[0]
        for place in left[1:]:
            if scores[place] > scores[best]:
                best = place
        left.remove(best)
        ranked.append(best)
    return ranked


def mean(rows: Rows) -> list[float]:
    """Return the mean row."""
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def accuracy(logits: Rows, labels: Sequence[int]) -> dict[str, float]:
    """Return top-1 and top-5 accuracy in percent."""
    hits = {1: 0, 5: 0}
    for row, label in zip(logits, labels, strict=True):
        for k in hits:
            hits[k] += label in ranking(row)[:k]
    return {f"top{k}": 100 * number / len(logits) for k, number in hits.items()}


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine in single precision, as the metrics have it, so that parallel vectors tie."""
    lengths = [math.sqrt(sum(value * value for value in vector)) for vector in (one, other)]
    if 0 in lengths:
        return 0.0
    exact = sum(a * b for a, b in zip(one, other, strict=True)) / (lengths[0] * lengths[1])
    return struct.unpack("f", struct.pack("f", exact))[0]


def neighbours(query: Rows, gallery: Rows, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """Return for each query the places of its k nearest, nearest first, and its cosines with the whole gallery."""
    cosines = [[cosine(row, entry) for entry in gallery] for row in query]
    return [ranking(row)[:k] for row in cosines], cosines


def recall(
    query: Rows, query_labels: Sequence[int], gallery: Rows, gallery_labels: Sequence[int], ks: Sequence[int]
) -> dict[int, float]:
    """Return the percentage of queries with one of their class among their k nearest."""
    ranked, _ = neighbours(query, gallery, len(gallery))
    found = dict.fromkeys(ks, 0)
    for row, label in zip(ranked, query_labels, strict=True):
        for k in ks:
            for place in row[:k]:
                if gallery_labels[place] == label:
                    found[k] += 1
                    break
    return {k: 100 * number / len(query) for k, number in found.items()}


def shares(
    query: Rows, gallery: Rows, labels: Sequence[int], num_classes: int, k: int, temperature: float
) -> list[list[float]]:
    """Return each class's share in the weighted vote of the k nearest."""
    ranked, cosines = neighbours(query, gallery, k)
    result = []
    for row, places in zip(cosines, ranked, strict=True):
        votes = [0.0] * num_classes
        for place in places:
            votes[labels[place]] += math.exp(row[place] / temperature)
        result.append([vote / sum(votes) for vote in votes])
    return result


def logistic_regression(
    train: Rows, labels: Sequence[int], test: Rows, num_classes: int, l2: float, rounds: int = 3000
) -> list[list[float]]:
    """Return the logits of the test rows after plain gradient descent from zero on standardised features."""
    size = len(train[0])
    means = mean(train)
    deviations = [math.sqrt(sum((row[d] - means[d]) ** 2 for row in train) / len(train)) or 1.0 for d in range(size)]
    train, test = (
        [[(row[d] - means[d]) / deviations[d] for d in range(size)] for row in rows] for rows in (train, test)
    )
    weights = [[0.0] * size for _ in range(num_classes)]
    biases = [0.0] * num_classes

    def logits_of(row: Sequence[float]) -> list[float]:
        return [
            sum(w * x for w, x in zip(weight, row, strict=True)) + bias
            for weight, bias in zip(weights, biases, strict=True)
        ]

    for _ in range(rounds):
        slopes = [[l2 * w for w in weight] for weight in weights]
        bias_slopes = [0.0] * num_classes
        for row, label in zip(train, labels, strict=True):
            powers = [math.exp(logit) for logit in logits_of(row)]
            for c in range(num_classes):
                error = (powers[c] / sum(powers) - (c == label)) / len(train)
                bias_slopes[c] += error
                for d in range(size):
                    slopes[c][d] += error * row[d]
        for c in range(num_classes):
            biases[c] -= 0.5 * bias_slopes[c]
            for d in range(size):
                weights[c][d] -= 0.5 * slopes[c][d]
    return [logits_of(row) for row in test]
