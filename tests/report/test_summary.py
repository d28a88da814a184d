"""What one reads in five seconds."""

import pytest

from rspnet.report.record import Record
from rspnet.report.results import Measure, results
from rspnet.report.runs import runs
from rspnet.report.summary import against_chance, against_fresh, summary
from tests.support.run_folders import course, write_run


def test_a_test(tmp_path):
    found = summary(Record.read(write_run(tmp_path / "e", "evaluate")))
    assert (found.kind, found.title, found.number) == ("Evaluation · resnet18", "e", "60.0 %")
    assert (found.of, found.beside) == ("top-1, classifier", "[23.1, 88.2] · chance 33.3")
    assert found.verdict == "Not shown to differ from chance, 33.3 %: the interval includes it."
    assert found.tone == "bad"
    assert ("devices", "1 × cpu") in found.facts


@pytest.mark.parametrize(
    ("interval", "words", "tone"),
    [((20, 30), "Above chance", "good"), ((1, 4), "Below chance", "bad"), ((5, 15), "Not shown to differ", "bad")],
)
def test_against_chance(interval, words, tone):
    verdict, found = against_chance(Measure("kNN", "top-1", 10.0, interval, 10.0))
    assert verdict.startswith(words)
    assert found == tone
    assert against_chance(Measure("kNN", "top-1", 10.0))[1] == "plain"


@pytest.mark.parametrize(
    ("interval", "words", "tone"),
    [
        ((1, 9), "Training has taught", "good"),
        ((-9, -1), "Fresh weights do better", "bad"),
        ((-1, 9), "Not shown to differ", "bad"),
    ],
)
def test_against_fresh_weights(interval, words, tone):
    verdict, found = against_fresh(4.0, interval)
    assert verdict.startswith(words)
    assert found == tone


def test_fresh_weights_count_more_than_chance(tmp_path):
    random = {"top1": 50.0, "top5": 80.0, "difference": {"top1": 10.0}, "difference_interval": {"top1": [-2.0, 22.0]}}
    record = Record.read(write_run(tmp_path / "e", "evaluate", protocol="knn", random=random))
    assert summary(record).verdict.startswith("Not shown to differ from fresh weights: ahead by +10.0 [-2.0, +22.0]")


def test_draws_say_nothing_of_other_videos(tmp_path):
    ahead = {"top1": {"1": 20.0}, "difference": {"1": 9.0}, "difference_interval": {"1": [5.0, 13.0]}}
    said = {"protocol": "few_shot", "top1": {"1": 29.0}, "interval": {"1": [26.0, 31.0]}, "interval_over": "draws"}
    said |= {"num_draws": 10, "chance_top1": 10.0, "fewest_of_a_class": 1}
    found = summary(Record.read(write_run(tmp_path / "e", "evaluate", **said, random=ahead)))
    assert found.verdict.endswith(
        "+9.0 [+5.0, +13.0]. The interval is over draws of these videos, and says nothing about others."
    )
    assert found.tone == "plain"


@pytest.mark.parametrize(
    ("shuffled", "still", "end", "tone"),
    [
        ([2.0, 9.0], [1.0, 9.0], "+10.0 [+2.0, +18.0].", "good"),
        (
            [-2.0, 5.0],
            [1.0, 9.0],
            "Not shown to come from motion: it is not shown to be better than with frames shuffled.",
            "plain",
        ),
        (
            [-2.0, 5.0],
            [0.0, 9.0],
            "it is not shown to be better than with frames shuffled and with one frame repeated.",
            "plain",
        ),
    ],
)
def test_what_controls_do_as_well_is_no_motion(tmp_path, shuffled, still, end, tone):
    """Though it is above chance, and ahead of fresh weights."""
    controls = {"shuffled": {"difference_interval": shuffled}, "still": {"difference_interval": still}}
    controls = {name: {"top1": 60.0, "interval": {"top1": [55.0, 65.0]}} | each for name, each in controls.items()}
    said = {"protocol": "speed", "top1": 70.0, "interval": {"top1": [62.0, 78.0]}, "chance_top1": 50.0}
    said |= {"left_out": 0}
    fresh = {"top1": 60.0, "difference": {"top1": 10.0}, "difference_interval": {"top1": [2.0, 18.0]}}
    found = summary(Record.read(write_run(tmp_path / "e", "evaluate", **said, controls=controls, random=fresh)))
    assert found.verdict.startswith("Training has taught something")
    assert found.verdict.endswith(end)
    assert found.tone == tone


def test_a_pretraining(tmp_path):
    found = summary(Record.read(write_run(tmp_path / "p", "pretrain")))
    assert (found.number, found.of, found.beside) == ("81.0 %", "RSP accuracy, last epoch", "chance 50.0")
    assert found.tone == "good"
    found = summary(Record.read(write_run(tmp_path / "r", "pretrain", rsp_accuracy=51.0)))
    assert found.verdict == "Nothing is wrong, but RSP is at chance after 24 steps."
    found = summary(Record.read(write_run(tmp_path / "g", "pretrain", metrics=[])))
    assert found.verdict == "Whether it went well is not known: its log, metrics.jsonl, is gone or cannot be read."
    assert (found.number, found.tone) == ("81.0 %", "plain")
    lines = course("pretrain", spread=0.01, effective_rank=1.0)
    found = summary(Record.read(write_run(tmp_path / "c", "pretrain", metrics=lines)))
    assert found.verdict.startswith("The embeddings have collapsed")
    assert found.tone == "bad"


def test_what_is_not_finished(tmp_path):
    found = summary(Record.read(write_run(tmp_path / "p", "pretrain", result=None, metrics=course("pretrain")[:9])))
    assert found.verdict == "Not finished: 1 of 4 epochs, 8 steps are in its log. The same command goes on with it."
    found = summary(Record.read(write_run(tmp_path / "f", "finetune", result=None, metrics=[])))
    assert found.verdict.startswith("Not finished: it has not logged anything.")
    found = summary(Record.read(write_run(tmp_path / "e", "evaluate", result=None)))
    assert found.verdict == "Not finished. The same command measures it."
    assert found.number == ""


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "evaluate"])
def test_a_result_that_cannot_be_read_is_not_called_unfinished(tmp_path, stage):
    folder = write_run(tmp_path / "p", stage)
    (folder / "result.json").write_text('{"stage": "pretr')
    found = Record.read(folder)
    assert summary(found).verdict == "How it ended is not known: its result.json cannot be read."
    assert getattr(results(found), "note", "Its result.json cannot be read.") == "Its result.json cannot be read."
    assert runs([found, found]).note == ""
