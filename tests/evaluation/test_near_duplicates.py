"""Nearest training videos of test videos, against one by one; which of them stand apart."""

import tracemalloc

import numpy as np
import pytest

from rspnet.evaluation import near_duplicates
from rspnet.evaluation.near_duplicates import Nearest, nearest_across, warning


def one_by_one(test, train):
    """(place, distance) of each test video, in the obvious way."""
    found = []
    for one in test.astype(np.float64):
        cosines = [float(one @ other / np.sqrt((one @ one) * (other @ other))) for other in train.astype(np.float64)]
        place = max(range(len(cosines)), key=lambda each: (np.float32(cosines[each]), -each))
        found.append((place, 1 - cosines[place]))
    return found


@pytest.mark.parametrize(("rows", "columns"), [(1024, 4096), (3, 4), (1, 1)])
def test_the_nearest_are_those_of_one_by_one_whatever_the_blocks(monkeypatch, rows, columns):
    monkeypatch.setattr(near_duplicates, "_ROWS", rows)
    monkeypatch.setattr(near_duplicates, "_COLUMNS", columns)
    rng = np.random.default_rng(0)
    test, train = (rng.normal(size=(number, 5)).astype(np.float32) for number in (7, 30))
    found = nearest_across(test, train)
    expected = one_by_one(test, train)
    assert found.places.tolist() == [place for place, _ in expected]
    assert np.allclose(found.distances, [distance for _, distance in expected], atol=1e-9)


def test_of_equal_ones_the_earlier_is_the_nearest_and_the_earlier_test_video_comes_first(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_COLUMNS", 2)
    one, other = [1.0, 0.0], [0.0, 2.0]
    found = nearest_across(np.array([other, one, other]), np.array([one, one, other, one, other]))
    assert found.places.tolist() == [2, 0, 2]
    assert found.distances.tolist() == [0, 0, 0]
    assert found.order.tolist() == [0, 1, 2]


def test_the_length_of_a_feature_does_not_matter_and_one_of_zeros_is_like_none():
    found = nearest_across(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[-1.0, 0.0], [30.0, 40.0]]))
    assert found.places.tolist() == [1, 0]
    assert found.distances.tolist() == [0, 1]


def test_those_that_stand_apart_are_named_in_a_line():
    """The nearest first; of many three. Where none does nothing is said."""
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(60, 8)), rng.normal(size=(40, 8))
    assert warning(nearest_across(test, train), "", "") == ""
    for place in range(4):
        test[place] = train[10 + place] + 10.0 ** -(2 + place)
    names = [f"a{place}" for place in range(40)], [f"b{place}" for place in range(60)]
    assert warning(nearest_across(test, train), *names) == (
        "warning: 4 of 40 test videos are much nearer to a training video than is usual: copies, or of the same film? "
        "a3 to b13, a2 to b12, a1 to b11 ...; the report shows them"
    )


def test_what_cannot_be_compared_is_refused():
    good = np.ones((2, 3))
    with pytest.raises(ValueError, match="NaN or infinity"):
        nearest_across(good, np.array([[1.0, np.nan, 0.0]]))
    for train in (np.ones((2, 4)), np.ones((0, 3)), np.ones((2, 3, 1))):
        with pytest.raises(ValueError, match="must be"):
            nearest_across(good, train)
    assert len(nearest_across(np.ones((0, 3)), good).places) == 0


def test_many_videos_take_no_more_memory_than_a_block():
    rng = np.random.default_rng(0)
    test, train = (rng.normal(size=(number, 8)).astype(np.float32) for number in (2000, 30_000))  # 480 MB at once
    tracemalloc.start()
    nearest_across(test, train)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6


def of_distances(distances):
    return Nearest(np.zeros(len(distances), np.int64), np.array(distances))


def test_copies_stand_apart_from_what_is_usual():
    usual = np.random.default_rng(0).uniform(0.05, 0.2, 98).tolist()
    assert of_distances([1e-6, *usual, 0.0]).apart.nonzero()[0].tolist() == [0, 99]
    assert not of_distances(usual).apart.any()


def test_where_all_are_near_none_stands_apart():
    collapsed = np.random.default_rng(0).uniform(1e-7, 1e-6, 100)
    assert not of_distances(collapsed).apart.any()
    assert not of_distances([0.0] * 100).apart.any()
    assert not of_distances([0.0, *[0.1] * 18]).apart.any()  # of nineteen nobody can say what is usual


def test_of_random_features_none_stands_apart_but_a_copy():
    rng = np.random.default_rng(0)
    test, train = (rng.normal(size=(number, 64)) for number in (1500, 4000))
    assert not nearest_across(test, train).apart.any()  # though some are far out of distances that are all but the same
    test[7] = 3 * train[11]
    assert nearest_across(test, train).apart.nonzero()[0].tolist() == [7]
