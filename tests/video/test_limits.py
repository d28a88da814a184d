"""What is taken for a lie of a header, and what is not."""

import math

import pytest

from rspnet.video.limits import LONGEST, MAX_PIXELS, Limits, plausible_count, plausible_rate, plausible_seconds


def test_pictures():
    assert 7680 * 4320 < 8192 * 4320 < MAX_PIXELS < 16_000 * 16_000
    assert int(Limits().for_decoders["max_pixels"]) > MAX_PIXELS
    assert int(Limits(100).for_decoders["max_pixels"]) < 10**5


@pytest.mark.parametrize("rate", [1 / 3600, 1, 24000 / 1001, 240, 1000, 90_000])
def test_rates(rate):
    assert plausible_rate(rate)


@pytest.mark.parametrize("rate", [4.7e-10, 0, -25, math.nan, math.inf, -math.inf, 1e6])
def test_rates_that_are_none(rate):
    assert not plausible_rate(rate)


def test_durations():
    assert plausible_seconds(0.04)
    assert plausible_seconds(24 * 3600)
    assert plausible_seconds(LONGEST)
    assert plausible_seconds(5 * 3600, 1)
    assert plausible_seconds(1000 * 3600, 10**5)
    for seconds in (0, -1, math.nan, math.inf, LONGEST + 1, 6804747 * 3600):
        assert not plausible_seconds(seconds)
    assert not plausible_seconds(7 * 3600, 1)


def test_counts():
    assert plausible_count(0, 0)
    assert plausible_count(300, 5000)
    assert not plausible_count(-1, 5000)
    assert not plausible_count(5001, 5000)
