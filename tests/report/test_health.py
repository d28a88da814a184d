"""Whether a pretraining is well, on the page."""

from rspnet.report.health import health, wrong
from rspnet.report.record import Record
from tests.support.run_folders import course, write_run

WELL = {"queue_fill": 100.0, "queue_epochs": 0.9, "margins_met": 70.0, "motion_gap": 3.0, "effective_rank": 40.0}


def record(folder, **changes):
    return Record.read(write_run(folder, "pretrain", metrics=course("pretrain", **WELL | changes)))


def test_nothing_wrong(tmp_path):
    section = health(record(tmp_path / "p"))
    assert section.note == "These numbers show nothing wrong."
    for title in ("Queue filled", "Similarity", "Margins met", "Spread", "Effective rank"):
        assert title in section.html


def test_each_fault_is_a_sentence(tmp_path):
    collapsed = record(tmp_path / "c", spread=0.01, effective_rank=1.1, queue_epochs=2.0)
    first, second = wrong(collapsed)
    assert first.startswith("The embeddings have collapsed")
    assert second.startswith("The queue is longer than the data")
    assert health(collapsed).html.count("<li>") == 2
    at_chance = Record.read(
        write_run(tmp_path / "r", "pretrain", metrics=course("pretrain", steps=60, rsp_accuracy=50.5, **WELL))
    )
    (fault,) = wrong(at_chance)
    assert fault.startswith("Motion is at chance")


def test_what_has_no_such_task_has_no_such_section(tmp_path):
    assert health(Record.read(write_run(tmp_path / "f", "finetune"))) is None
    empty = health(Record.read(write_run(tmp_path / "p", "pretrain", metrics=[], result=None)))
    assert empty.note.startswith("Nothing to judge it by")
