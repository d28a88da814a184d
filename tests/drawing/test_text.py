"""Lines written into pictures."""

import numpy as np
import pytest

from rspnet.drawing import text


def written(words, width=300):
    picture = np.full((30, 320, 3), 255, np.uint8)
    text.write(picture, words, place=(4, 2), width=width)
    return picture


def test_a_line_lies_where_it_is_put():
    rows, columns = np.nonzero((written("Slide") < 128).all(2))
    assert rows.min() >= 2
    assert rows.max() <= 22
    assert columns.min() >= 4
    assert columns.max() <= 4 + text.length("Slide", 14)
    assert (written("") == 255).all()


def test_of_one_too_long_the_middle_is_left_out():
    words = "a/long/way/to/the/video_of_somebody.mp4"
    assert np.array_equal(written(words), written(words, width=310))
    columns = np.nonzero((written(words, width=100) < 128).all(2))[1]
    assert 60 < columns.max() <= 104
    assert text._fitted(words, 14, 100) == "a/long...dy.mp4"
    assert text._fitted(words, 14, 5) == ""


@pytest.fixture
def no_fonts(monkeypatch):
    """As on a machine without any."""
    monkeypatch.setattr(text, "_FONTS", ())
    text._fonts.cache_clear()
    yield
    text._fonts.cache_clear()


def test_letters_that_no_font_has_are_named(no_fonts):
    assert np.array_equal(written("日é.mp4"), written("<U+65E5><U+00E9>.mp4"))
    assert not np.array_equal(written("日.mp4"), written("中.mp4"))


def test_what_a_terminal_would_obey_is_escaped():
    assert np.array_equal(written("a\nb"), written(r"a\nb"))
