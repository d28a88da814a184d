"""Some of many videos, and the time that each takes."""

import pytest

from rspnet.running.trial import chosen, timed


def test_a_few_are_chosen_and_the_same_every_time():
    assert chosen(range(20), jobs=2) == list(range(20))
    some = chosen(range(10_000), jobs=2)
    assert (len(some), len(set(some))) == (24, 24)
    assert some == chosen(range(10_000), jobs=2)
    assert max(some) > 5000  # of all, not the first
    assert len(chosen(range(10_000), jobs=16)) == 96


def test_the_start_and_the_end_of_several_processes_do_not_count():
    # two processes start for 5 s, then end an item each half second, and the last one alone takes 7 s
    moments = iter([0.0, 5.0, 5.0, 5.5, 6.0, 6.5, 7.0, 14.0])
    results, seconds = timed("abcdefg", 2, clock=lambda: next(moments))
    assert results == list("abcdefg")
    assert seconds == pytest.approx(0.5)
    moments = iter([0.0, 5.0, 6.0])
    assert timed("ab", 2, clock=lambda: next(moments)) == (["a", "b"], 3.0)
