"""Numbers as colours."""

import numpy as np

from rspnet.drawing.colours import Scale, bar, coloured, overlaid


def test_the_lighter_the_more():
    colours = bar(2, 256)
    assert colours.shape == (2, 256, 3)
    assert (np.diff(colours[0] @ [0.299, 0.587, 0.114]) > -0.5).all()
    assert colours[0, 0].tolist() == [0, 0, 4]  # RGB, not BGR: the middle is red
    assert colours[0, 128].argmax() == 0


def test_a_scale_goes_from_the_least_to_the_most():
    numbers = np.array([[[-2.0, 0.0, 2.0]]])
    scale = Scale.of(numbers)
    assert (scale.low, scale.high) == (-2, 2)
    assert scale.levels(numbers).tolist() == [[[0, 0.5, 1]]]
    assert scale.levels(np.array([9.0])).tolist() == [1]


def test_what_differs_by_rounding_alone_has_nothing_to_show():
    for numbers in ([3.0, 3.0], [0.0, 0.0], [-17000.0, -17000.01]):
        scale = Scale.of(np.array(numbers))
        assert scale.is_flat
        assert not scale.levels(np.array(numbers)).any()
    assert not Scale.of(np.array([0.0, 1e-30])).is_flat
    assert not Scale.of(np.array([-1.0, -1.001])).is_flat


def test_colours_lie_half_and_half_over_grey_pictures():
    pictures = np.zeros((2, 3, 4, 3), np.uint8)
    pictures[..., 0] = 200
    levels = np.random.default_rng(0).random((2, 3, 4))
    found = overlaid(pictures, levels)
    assert np.abs(2.0 * found - coloured(levels) - 0.299 * 200).max() <= 1
