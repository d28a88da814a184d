"""The curves of a training: what is drawn of metrics.jsonl, and what chance is."""

import re

import pytest

from rspnet.report.curves import Course, chance_of, curves, over_one_another
from rspnet.report.record import Record
from tests.support.run_folders import course, write_run


def test_epochs_are_drawn_over_what_was_logged_between(tmp_path):
    record = Record.read(write_run(tmp_path / "f", "finetune"))
    found = Course.of(record)
    assert (found.per_epoch, found.x_name) == (6, "epoch")
    by_epoch, often = found.points("loss")
    assert by_epoch == [(epoch, pytest.approx(3 - epoch / 2)) for epoch in (1, 2, 3, 4)]
    assert (len(often), often[0]) == (24, (1 / 6, pytest.approx(3 - 2 / 24)))
    assert found.last("val_top1") == 60


def test_a_run_within_its_first_epoch_is_drawn_by_steps(tmp_path):
    record = Record.read(write_run(tmp_path / "p", "pretrain", metrics=course("pretrain")[:5], result=None))
    found = Course.of(record)
    assert (found.x_name, len(found.points("loss")[0])) == ("step", 5)
    assert "<figure" in curves(record).html


def test_what_chance_gives(tmp_path):
    record = Record.read(write_run(tmp_path / "p", "pretrain"))
    found = chance_of(record, Course.of(record))
    assert (found["rsp_accuracy"], found["avid_top1"], found["avid_top5"]) == (50, 100 / 17, 500 / 17)
    record = Record.read(write_run(tmp_path / "f", "finetune"))
    assert chance_of(record, Course.of(record))["val_top1"] == 100 / 3
    lines = course("pretrain", monitor_knn_top1=40.0, chance_monitor_knn_top1=20.0)
    record = Record.read(write_run(tmp_path / "m", "pretrain", metrics=lines))
    assert chance_of(record, Course.of(record))["monitor_knn_top1"] == 20
    assert "kNN top-1: 40.0 at epoch 1, 40.0 at epoch 4, 20.0 by chance" in curves(record).html


def test_what_is_not_there_is_not_drawn(tmp_path):
    html = curves(Record.read(write_run(tmp_path / "f", "finetune"))).html
    assert "Learning rate" in html
    assert "A-VID" not in html
    assert curves(Record.read(write_run(tmp_path / "e", "evaluate"))) is None
    empty = curves(Record.read(write_run(tmp_path / "none", "pretrain", metrics=[], result=None)))
    assert (empty.html, empty.note[:10]) == ("", "No curves:")


def test_lines_that_hold_no_numbers(tmp_path):
    lines = course("finetune")
    for line, broken in zip(lines, ("x", None, [1], True, float("nan"), {"a": 1}, 10**400)):
        line |= {"loss": broken, "data_time": broken}
    lines += [{"event": "epoch", "step": "?", "epoch": 1}, {"event": ["interval"], "step": 9}]
    section = curves(Record.read(write_run(tmp_path / "f", "finetune", metrics=lines)))
    assert not re.search(r"\bnan\b", section.html)


def test_several_runs(tmp_path):
    names = {"one": "pretrain", "two": "pretrain", "three": "finetune"}
    records = [Record.read(write_run(tmp_path / name, stage)) for name, stage in names.items()]
    charts = "".join(over_one_another(records))
    assert "Loss: training" in charts
    assert charts.count("RSP accuracy") == 3  # above it, for those who do not see it, and of its table
    assert "validation" not in charts  # one has it, and there is nothing to compare
