"""Class by class, against counts by hand."""

import pytest

from rspnet.evaluation.interval import interval
from rspnet.report.classes import by_class, classes
from rspnet.report.lines import judged
from tests.support.findings import NASTY, guess, record, rows_of, text_of


def run_of(tmp_path, pairs, rows=()):
    lines = [guess(f"{place}.mp4", label, (taken, 0.9)) for place, (label, taken) in enumerate(pairs)]
    return record(tmp_path, predictions={"classify": lines}, rows=rows)


def test_counts_intervals_and_order(tmp_path):
    pairs = [("b", "b"), ("b", "a"), ("a", "a"), ("c", "a"), ("b", "b"), ("C", "a")]
    found = by_class(judged(run_of(tmp_path, pairs)))
    assert [(dot.name, dot.number) for dot in found] == [("C", 1), ("c", 1), ("b", 3), ("a", 1)]
    assert [dot.value for dot in found] == pytest.approx([0, 0, 200 / 3, 100])
    assert found[2].interval == interval(200 / 3, 3)


def test_the_table_says_all_and_what_is_missing(tmp_path):
    rows = [*rows_of(tmp_path, "0.mp4", label="a"), *rows_of(tmp_path, "x.mp4", label="never tested")]
    section = classes(run_of(tmp_path, [("a", "a"), ("a", "b")], rows))
    text = text_of(section.html)
    assert "50.0 % on average over 1 class" in text
    assert "50.0 [9.5, 90.5]" in text
    assert "1 further class has no test video." in text
    assert "film" not in text


def test_of_many_classes_the_worst_and_the_best_stand_first(tmp_path):
    pairs = [
        (f"class {number:03d}", f"class {number if place < number else 0:03d}")
        for number in range(1, 41)
        for place in range(40)
    ]
    html = str(classes(run_of(tmp_path, pairs)).html)
    shown, folded = html.split("<details>")
    assert shown.count('<tr><th scope="row">') == 20
    assert shown.index("class 001") < shown.index("class 015") < shown.index("class 036") < shown.index("class 040")
    assert "class 020" not in shown
    assert folded.count('<tr><th scope="row">') == 40


def test_films_are_said(tmp_path):
    lines = [guess(f"v_Run_g01_c0{place}.avi", "Run", ("Run", 0.9)) for place in range(3)]
    assert "cut from 1 film" in text_of(classes(record(tmp_path, predictions={"classify": lines})).html)


def test_names_are_escaped_and_without_labels_there_is_nothing(tmp_path):
    html = classes(run_of(tmp_path, [(NASTY, NASTY)])).html
    assert "<img" not in html
    assert "&lt;img src=x" in html
    assert classes(record(tmp_path)) is None
