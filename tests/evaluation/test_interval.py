"""Intervals, against tables and a slow search of their definition."""

import math

import pytest

from rspnet.evaluation.interval import interval


@pytest.mark.parametrize(("hits", "number"), [(1, 10), (5, 10), (50, 100), (837, 928), (3, 4)])
def test_its_ends_are_the_shares_from_which_the_one_found_is_as_far_as_it_may_be(hits, number):
    found = hits / number
    for end in (each / 100 for each in interval(100 * found, number)):
        assert abs(found - end) == pytest.approx(1.959963985 * math.sqrt(end * (1 - end) / number), rel=1e-6)


def test_none_and_all():
    assert interval(0, 20)[0] == 0
    assert interval(0, 20)[1] == pytest.approx(16.113, abs=1e-3)
    assert interval(100, 20) == (pytest.approx(83.887, abs=1e-3), 100)
