"""The surest errors: which, in which order, and what is said of each."""

from rspnet.report.errors import errors, surest
from rspnet.report.lines import judged
from tests.support.findings import NASTY, guess, query, record, rows_of, text_of


def test_the_surest_come_first_and_of_equal_ones_the_first(tmp_path):
    shares = [0.5, 0.9, 0.7, 0.9, 1.0]
    lines = [guess(f"{place}.mp4", "run", ("walk", share)) for place, share in enumerate(shares)]
    lines[4] = guess("4.mp4", "walk", ("walk", 1.0))
    found = surest(judged(record(tmp_path, predictions={"classify": lines})).guesses)
    assert [each.video for each in found] == ["1.mp4", "3.mp4", "2.mp4", "0.mp4"]


def test_what_is_said(tmp_path):
    lines = [
        guess("1.mp4", "run", ("walk", 0.8), ("run", 0.2)),
        guess("2.mp4", "jump", ("walk", 0.7), ("run", 0.3)),
        guess("3.mp4", "run", ("run", 1.0)),
    ]
    run = record(tmp_path, predictions={"classify": lines}, rows=rows_of(tmp_path, "1.mp4", "2.mp4", "3.mp4"))
    text = text_of(errors(run).html)
    assert "2 of 3 test videos are classified wrongly by the classifier, the most confident first." in text
    assert "is run (20 %, place 2) taken for walk (80 %)" in text
    assert "is jump (not among the first 2) taken for walk (70 %)" in text
    assert "3.mp4" not in text
    assert run.thumbnails.left_out() == "Shown without a picture: 2 videos not there any more, or damaged."


def test_many_are_cut_off_and_none_is_said(tmp_path):
    lines = [guess(f"{place}.mp4", "run", ("walk", 0.9)) for place in range(30)]
    html = errors(record(tmp_path, predictions={"classify": lines})).html
    assert html.count("<figure") == 12
    assert "these 12 with the most confidence" in html
    right = errors(record(tmp_path, predictions={"classify": [guess("1.mp4", "run", ("run", 0.9))]}))
    assert right.note == "No error among 1 test video."
    near = record(tmp_path, neighbours=[query("1.mp4", "run", ("2.mp4", "walk", 0.9))])
    assert errors(near) is None  # a neighbour is not sure of anything


def test_names_are_escaped(tmp_path):
    html = errors(record(tmp_path, predictions={"classify": [guess(NASTY, NASTY, ("<b>", 0.9))]})).html
    assert "<img" not in html
    assert "<b><b>" not in html
