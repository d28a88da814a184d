"""Failed and slow videos: each once, with what is known of it."""

import numpy as np

from rspnet.report.unread import failures, slowest, unread
from tests.support.findings import NASTY, features, record, rows_of, text_of


def test_failures_of_the_index_and_of_the_features(tmp_path):
    rows = rows_of(tmp_path, "0.mp4", "1.mp4") + rows_of(tmp_path, "cut.mp4", status="truncated", reason="ends early")
    known = features([[1.0], [np.nan], [np.nan]], names=["0.mp4", "1.mp4", "cut.mp4"])
    run = record(tmp_path, rows=rows, features=known, result={"num_failed": 1})
    assert failures(run) == [("cut.mp4", "truncated", "ends early"), ("1.mp4", "broken", "has no feature")]
    text = text_of(unread(run).html)
    assert "2 videos without a result" in text
    assert "cut.mp4 truncated ends early" in text


def test_failures_of_which_only_the_number_is_known(tmp_path):
    run = record(tmp_path, rows=rows_of(tmp_path, "0.mp4"), result={"num_failed": 3})
    assert "3 videos could not be read in this run, by its result." in text_of(unread(run).html)


def test_failures_of_a_training_are_in_its_log(tmp_path):
    """Its result counts those of the test alone, and has none of a pretraining; a pass counts each again."""
    lines = [{"event": "epoch", "step": step, "failed_videos": number} for step, number in enumerate([3, 4, 0])]
    known = {"rows": rows_of(tmp_path, "0.mp4"), "metrics": [*lines, {"event": "interval"}, {"failed_videos": "9"}]}
    told = "At least {} could not be read in an epoch of this run, by its log."
    assert told.format("4 videos") in text_of(unread(record(tmp_path, **known)).html)
    twice = record(tmp_path, **known, config={"optim": {"passes": 2}}, result={"num_failed": 1})
    assert f"by its result. {told.format('2 videos')}" in text_of(unread(twice).html)
    assert "by its log" not in unread(record(tmp_path, **known, result={"num_failed": 4})).html


def test_no_failure_is_said_and_of_nothing_nothing(tmp_path):
    section = unread(record(tmp_path, rows=rows_of(tmp_path, "0.mp4")))
    assert not section.html
    assert section.note.startswith("No video failed.")
    assert unread(record(tmp_path)) is None
    run = record(tmp_path, rows=rows_of(tmp_path, "0.mp4"))
    run.thumbnails.seconds.append((rows_of(tmp_path, "0.mp4")[0], 0.02))
    assert unread(run).note.endswith(" Read for this page, eight frames of each: 1 video, none of which took 0.5 s.")


def test_the_slowest_of_those_that_were_read(tmp_path):
    rows = rows_of(tmp_path, *(f"{place}{NASTY}" for place in range(8)), width=640, height=480, codec="h264")
    run = record(tmp_path, rows=rows)
    run.thumbnails.seconds.extend(zip(rows, [0.1, 3.0, 0.6, 0.49, 2.0, 9.0, 0.7, 0.8]))
    assert [name[0] for name in slowest(run).ranked] == ["5", "1", "4", "7", "6"]
    html = unread(run).html
    assert "9.0 640 x 480, h264" in text_of(html)
    assert "Slowest of the 8 videos that were read for this page" in html
    assert "<img" not in html


def test_the_slowest_of_a_training(tmp_path):
    epochs = [{"a": 2.0, "b": 0.9}, {"a": 1.0, f"c{NASTY}": 4.5, "b": 0.2}, {"a": 2.5}, {"b": None}, "no such thing"]
    lines = [{"event": "epoch", "step": step, "slowest_videos": slow} for step, slow in enumerate(epochs)]
    run = record(tmp_path, rows=rows_of(tmp_path, "a", width=64, height=48, codec="av1"), metrics=lines)
    run.thumbnails.seconds.append((rows_of(tmp_path, "a")[0], 99.0))  # for the page: the training tells more
    assert slowest(run).ranked == ["a", f"c{NASTY}", "b"]  # three times 2.5, once 4.5, twice 0.9
    html = unread(run).html
    assert "a 2.5 3 64 x 48, av1" in text_of(html)
    assert "Slowest to read in training" in html
    assert "<img" not in html
    quick = record(tmp_path, rows=rows_of(tmp_path, "a"), metrics=[lines[0] | {"slowest_videos": {"a": 0.1}}])
    assert unread(quick).note == "No video failed. In training none took 0.5 s to read."


def test_many_failures_are_cut_off(tmp_path):
    rows = rows_of(tmp_path, *(f"{place}{NASTY}" for place in range(60)), status="broken", reason=NASTY)
    html = unread(record(tmp_path, rows=rows)).html
    assert "60 videos without a result, the first 50 of them" in html
    assert "<img" not in html
