"""Intervals, against tables and a slow search of their definition."""

import math
import random
from statistics import fmean

import numpy as np
import pytest

from rspnet.evaluation.interval import bootstrap, interval, of_differences, of_draws, of_shares


@pytest.mark.parametrize(("hits", "number"), [(1, 10), (5, 10), (50, 100), (837, 928), (3, 4)])
def test_its_ends_are_the_shares_from_which_the_one_found_is_as_far_as_it_may_be(hits, number):
    found = hits / number
    for end in (each / 100 for each in interval(100 * found, number)):
        assert abs(found - end) == pytest.approx(1.959963985 * math.sqrt(end * (1 - end) / number), rel=1e-6)


def test_none_and_all():
    assert all(interval(0, number)[0] == 0 and interval(100, number)[1] == 100 for number in range(1, 400))
    assert interval(0, 20)[1] == pytest.approx(16.113, abs=1e-3)
    assert interval(100, 20) == (pytest.approx(83.887, abs=1e-3), 100)


def slow_bootstrap(values, groups, number):
    """Films drawn one by one, and the mean over all their videos."""
    rng, means, films = random.Random(0), [], sorted(set(groups))
    for _ in range(number):
        drawn = [rng.choice(films) for _ in films]
        videos = [value for film in drawn for value, group in zip(values, groups) if group == film]
        means.append(fmean(videos))
    means.sort()
    return means[round(0.025 * number)], means[round(0.975 * number)]


def test_the_bootstrap_draws_films():
    rng = random.Random(1)
    groups = [rng.randrange(12) for _ in range(60)]
    right = [rng.random() < 0.2 + 0.05 * group for group in groups]
    values = np.array([[100.0 * each, 1.0] for each in right])
    (low, high), same = bootstrap(values, groups)
    assert same == (1, 1)
    slow = slow_bootstrap(values[:, 0].tolist(), groups, 4000)
    assert (low, high) == (pytest.approx(slow[0], abs=1.5), pytest.approx(slow[1], abs=1.5))
    alone = bootstrap(values)[0]
    assert alone == pytest.approx(interval(values[:, 0].mean(), 60), abs=3)
    assert high - low != pytest.approx(alone[1] - alone[0], abs=0.5)
    assert bootstrap(values, groups) == [(low, high), same]


def test_videos_that_are_copies_tell_nothing_new():
    values = np.array([[100.0], [0.0], [0.0], [100.0], [100.0]])
    copies = np.repeat(values, 20, axis=0)
    assert bootstrap(copies, np.repeat(range(5), 20).tolist()) == bootstrap(values)
    assert bootstrap(copies)[0][0] > bootstrap(values)[0][0] + 20


def test_one_film_alone_tells_nothing_of_others():
    """Nor one video."""
    values = np.array([[100.0, 3.0], [0.0, 5.0]])
    assert bootstrap(values, ["a", "a"]) == of_shares(values, ["a", "a"]) == [None, None]
    assert bootstrap(values[:1]) == of_shares(values[:1]) == [None, None]


def test_all_right_is_not_surely_all_right():
    """Of four films more is open than of the twelve videos that they have. So it is where half of each is right."""
    values = np.array([[100.0, 0.0, 50.0, 100.0 * (place > 0)] for place in range(12)])
    films = [place // 3 for place in range(12)]
    for groups, number in ((None, 12), (films, 4)):
        half = interval(0, number)[1] / 2
        ends = [interval(100, number), interval(0, number), (50 - half, 50 + half)]
        assert of_shares(values, groups)[:3] == [*ends[:2], pytest.approx(ends[2])]
        assert of_shares(values, groups)[3] == bootstrap(values, groups)[3]


def test_films_of_which_each_is_right_as_often_leave_as_much_open():
    values = np.array([[0.0], [0.0], [100.0]] * 5)
    films = [place // 3 for place in range(15)]
    open_share = interval(0, 5)[1] / 100
    (found,) = of_shares(values, films)
    assert found == pytest.approx((100 / 3 * (1 - open_share), 100 / 3 + 200 / 3 * open_share))
    assert of_shares(values) == bootstrap(values)


def test_networks_that_are_right_on_the_same_videos_are_not_surely_alike():
    """Another video may well be one on which one alone is right."""
    values = np.array([[0.0, 100.0, -100.0, 25.0, 100.0 * (place > 0)] for place in range(12)])
    films = [place // 3 for place in range(12)]
    for groups, number in ((None, 12), (films, 4)):
        high = interval(0, number)[1]
        found = of_differences(values, groups)
        assert found[:4] == [(-high, high), (100 - high, 100), (-100, high - 100), (25 - high, 25 + high)]
        assert found[4:] == bootstrap(values, groups)[4:]
    assert of_differences(values, ["a"] * 12) == [None] * 5


def test_draws_that_are_all_alike():
    assert of_draws([12.5] * 10) is None
    assert of_draws([100.0] * 9 + [100 - 1e-13]) is None  # as v-measures of perfect clusters are


def test_draws_near_the_end_of_what_is_possible():
    """Of a single test video; symmetric about the mean, the intervals would reach from -12.6 to 32.6 and so on."""
    few, most = [0.0] * 9 + [100.0], [100.0] * 9 + [0.0]
    (low, high), (others_low, others_high) = of_draws(few), of_draws(most)
    assert (low, others_high) == (0, 100)
    assert (high, others_low) == (pytest.approx(32.62, abs=0.01), pytest.approx(67.38, abs=0.01))
    assert of_draws([-each for each in most], least=-100.0) == (-100, pytest.approx(-67.38, abs=0.01))
    assert of_draws([-each for each in few], least=-100.0) == pytest.approx((-32.62, 12.62), abs=0.01)


def test_draws():
    values = [10.0, 12.0, 11.0, 9.0, 13.0, 10.5, 11.5, 12.5, 9.5, 11.0]
    half = 2.262157 * np.std(values, ddof=1) / math.sqrt(10)
    assert of_draws(values) == pytest.approx((11 - half, 11 + half), rel=1e-6)
    with pytest.raises(ValueError, match="9 draws"):
        of_draws(values[:9])
