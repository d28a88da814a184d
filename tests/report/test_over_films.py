"""Intervals of a test whose videos are cut from films."""

import pytest

from rspnet.evaluation.interval import interval
from rspnet.report.over_films import with_intervals
from rspnet.report.record import Record
from rspnet.report.results import measures, results
from tests.support.findings import guess
from tests.support.run_folders import write_lines, write_run

NAMES = [f"v_Run_g{film:02d}_c{clip:02d}.avi" for film in range(6) for clip in range(10)]


def folder_of(path, names, top1=50.0):
    """Of every second film all videos are right, of the others none is."""
    folder = write_run(path, "finetune", top1=top1, num_videos=len(names))
    lines = [guess(name, "Run", ("Run" if place // 10 % 2 else "Sit", 0.9)) for place, name in enumerate(names)]
    write_lines(folder / "predictions.jsonl", lines)
    return folder


def test_films_are_drawn_and_not_videos(tmp_path):
    record = Record.read(folder_of(tmp_path / "films", NAMES))
    low, high = measures(record)[0].interval
    assert high - low > 60
    assert "over 6 films" in results(record).html
    plain = Record.read(folder_of(tmp_path / "videos", [f"{place}.avi" for place in range(60)]))
    assert measures(plain)[0].interval == pytest.approx(interval(50, 60))


def test_lines_that_are_not_those_of_the_result_tell_nothing():
    result = {"num_videos": 2}
    good = [guess(name, "Run", ("Run", 0.9)) for name in NAMES[:2]]
    assert with_intervals(result, good)["interval_over"] == "1 film"
    odd = ([], good[:1], [good[0] | {"label": None}] * 2, [good[0] | {"predicted": "Run"}] * 2, [{}, {}])
    assert all(with_intervals(result, lines) is result for lines in odd)
    assert with_intervals(None, good) is None
