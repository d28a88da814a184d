"""Points of classes: where they are drawn, and by which colour and shape."""

import re

import numpy as np
import pytest

from rspnet.report.points import MARKS, SIDE, drawing, fitted, legend, mark, marks_of


def test_places_keep_their_proportions_and_what_is_up():
    places = fitted(np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 5.0]]))
    (left, bottom), (right, _), (_, top) = places.tolist()
    assert (left, right) == (12, SIDE - 12)
    assert bottom - top == pytest.approx((right - left) / 2)
    assert bottom > top  # an SVG counts from above
    assert fitted(np.zeros((3, 2))).tolist() == [[SIDE / 2, SIDE / 2]] * 3


def test_each_class_that_has_a_mark_has_one_of_its_own():
    assert len({mark(number) for number in (*range(MARKS), None)}) == MARKS + 1


def test_the_most_frequent_classes_have_marks():
    labels = [f"class {number:02d}" for number in range(30) for _ in range(1 + (number == 29))] + [None] * 5
    marks = marks_of(labels)
    assert list(marks)[:3] == ["class 29", "class 00", "class 01"]
    assert list(marks.values()) == list(range(MARKS))
    assert None not in marks


def test_every_point_is_drawn_and_counted_once():
    labels = ["b", "a", None, "a"]
    marks = marks_of(labels)
    svg = str(drawing(np.arange(8.0).reshape(4, 2), labels, marks, title="<b>"))
    assert re.findall(r"M([\d.]+ [\d.]+)", svg) == ["4 5", "2 3", "6 7", "0 1"]
    assert "<b>" not in svg
    shown = str(legend(labels, marks, list(marks)))
    assert re.findall(r"<small>(\d)</small>", shown) == ["2", "1", "1"]
