"""Marks that people count in, and curves that keep what is seen of them."""

import random

import pytest

from rspnet.report.scales import Scale, decades, marks, thinned, wants_log


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.3, 2.2, [0, 0.5, 1, 1.5, 2, 2.5]),
        (-3, 4, [-4, -2, 0, 2, 4]),
        (5, 5, [2, 3, 4, 5, 6, 7, 8]),
        (0, 0, [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]),
    ],
)
def test_marks_are_round(low, high, expected):
    assert marks(low, high) == pytest.approx(expected)


def test_marks_hold_the_numbers():
    rng = random.Random(0)
    for _ in range(500):
        low = rng.uniform(-1, 1) * 10 ** rng.randint(-9, 9)
        high = low + abs(rng.uniform(0, 1)) * 10 ** rng.randint(-6, 9)
        found = marks(low, high)
        slack = 1e-9 * max(abs(low), abs(high))
        assert found[0] <= low + slack
        assert found[-1] >= high - slack
        assert 2 <= len(found) <= 9, (low, high, found)


def test_a_scale_leads_from_end_to_end():
    scale = Scale.over([0, 7, 100], (200, 0))
    assert (scale(0), scale(50), scale(100)) == (200, 100, 0)
    tight = Scale.over([3, 17], (0, 140), tight=True)
    assert (tight(3), tight(17), tight.marks) == (0, 140, (5, 10, 15))
    log = Scale.over([0.001, 0.1], (0, 100), log=True)
    assert (log(0.001), log(0.01), log(0.1), log.marks) == (0, 50, 100, (0.001, 0.01, 0.1))


def test_whole_numbers_are_marked_where_half_ones_mean_nothing():
    assert Scale.over([1, 3], (0, 100), tight=True).marks == (1, 2, 3)
    assert Scale.over([0, 0.5], (0, 100), tight=True).marks == (0,)
    assert Scale.over([1, 12], (0, 100), tight=True).marks == (5, 10)  # not 2.5, 5 and so on


def test_decades_are_never_alone_where_there_are_others():
    assert decades(0.5, 30) == [1, 10]
    assert decades(0.15, 0.9) == [0.2, 0.5]
    assert decades(3, 3) == [3]


def test_what_only_factors_show():
    assert wants_log([1e-4, 0.1])
    assert not wants_log([0.05, 0.1])
    assert not wants_log([0.0, 1.0])  # a logarithm has no place for it
    assert not wants_log([])


def test_what_is_thinned_keeps_its_extremes_and_its_order():
    rng = random.Random(1)
    points = [(float(x), rng.gauss(0, 1)) for x in range(10_001)]
    points[5000] = (5000.0, 99.0)
    kept = thinned(points, 200)
    assert len(kept) <= 202
    assert kept == sorted(kept)
    assert {points[0][0], 5000.0, points[-1][0]} - {x for x, _ in kept} <= {points[0][0]}
    assert max(y for _, y in kept) == 99
    assert min(y for _, y in kept) == min(y for _, y in points)
    assert thinned(points[:150], 200) == points[:150]
