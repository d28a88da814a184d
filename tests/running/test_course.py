"""What a run costs: which of its steps are measured, what follows, what is advised."""

from types import SimpleNamespace

import pytest
import torch

from rspnet.method.optim import Schedule
from rspnet.running import course, machine
from rspnet.running.course import Course, Pace
from rspnet.running.estimate import EstimatedError
from rspnet.running.team import Team


def made(pids=(), estimate=True, views=None, **changes):
    settings = {"epochs": 10, "epoch_steps": 20, "every": 500} | changes
    config = {"estimate": estimate, "frozen": False, "clips": {} if views is None else {"views": views}}
    run = SimpleNamespace(config=config, team=Team(), accelerator=SimpleNamespace(device=torch.device("cpu")))
    train_set = type("Set", (), {"pids": list(pids), "__len__": lambda _: settings["epoch_steps"]})()
    keeper = SimpleNamespace(size=lambda: 1_000_000, at_once=3)
    schedule = Schedule("cosine", 0.1, settings["epochs"])
    return Course(run, schedule, train_set, keeper=keeper, every=settings["every"])


def test_the_first_steps_are_passed_over_and_some_dozen_measured(capsys):
    run = made()
    for _ in range(2):
        run.took(4, waited=4.0, seconds=40.0)
    for _ in range(6):
        assert run.pace is None
        run.took(4, waited=0.4, seconds=2.0)
    assert (run.pace.steps, run.pace.step, run.pace.data) == (24, pytest.approx(0.5), pytest.approx(0.1))
    told = capsys.readouterr().err
    assert "a step takes 0.500 s (0.100 waiting for data, 0.400 computing; 24 steps measured)" in told
    assert "checkpoints: 1.0 MB each, 3 at a time, 3.0 MB" in told
    run.saving = 3.0
    with pytest.raises(EstimatedError) as ended:
        run.end_if_enough()
    result = ended.value.result
    assert result == result | {
        "stage": "finetune",
        "epochs": 10,
        "steps": 200,
        "disk_bytes": 3_000_000,
        "bound": "data",
    }
    assert result["seconds"] == pytest.approx(200 * 0.5 + 10 * 3.0, rel=1e-3)
    assert result["device_hours"] == pytest.approx(result["seconds"] / 3600, abs=1e-3)


def test_slow_steps_are_enough_in_two_minutes():
    run = made()
    run.took(8, waited=0.0, seconds=400.0)
    run.took(4, waited=0.0, seconds=200.0)
    assert run.enough
    assert run.pace.steps == 4


@pytest.mark.parametrize(("every", "saves"), [(6, 40), (20, 10), (30, 13), (500, 10), (1, 200)])
def test_tests_and_every_checkpoint_count(monkeypatch, every, saves):
    """The steps from one checkpoint to the next are counted over the whole run, not in each epoch."""
    run = made(views=10, every=every)
    clock = iter((100.0, 107.0))
    monkeypatch.setattr(course, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    run.took(4, waited=0.0, seconds=4.0)
    run.tested()
    run.saving = 2.0
    with pytest.raises(EstimatedError) as ended:
        run.end_if_enough(last=True)  # of a run so short that nothing but its first steps can be measured
    due = {step for step in range(1, 201) if step % every == 0 or step % 20 == 0}
    assert len(due) == saves
    # ten epochs of twenty steps and a validation; the checkpoints; a test with ten times as many clips
    assert ended.value.result["seconds"] == pytest.approx(10 * (20 * 1.0 + 7.0) + saves * 2.0 + 10 * 7.0)


def test_a_run_is_not_ended(capsys):
    run = made(estimate=False)
    for _ in range(20):
        run.took(4, waited=0.0, seconds=4.0)
        run.end_if_enough()
    run.end_if_enough(last=True)
    assert not run.enough
    assert capsys.readouterr().err.count("a step takes 1.00 s") == 1


@pytest.mark.parametrize(
    ("waited", "reading", "workers", "bound", "balanced", "words"),
    [
        (0.01, 0.7, 4, "network", 1, "the network sets the pace: of 4 decoding processes, 1 would keep up"),
        (0.5, 2.0, 2, "data", 4, "reading sets the pace: 4 instead of 2 decoding processes would keep up"),
        (0.2, 0.2, 0, "data", 1, "reading and the network take turns: 1 instead of 0 decoding processes would"),
        (0.5, 4.0, 4, "data", 8, "with the 4 cores here, videos that are read faster (stages/transcode.py) would help"),
        (0.5, 1.4, 4, "data", 3, "reading sets the pace, though 4 decoding processes should keep up: others use"),
        (0.5, None, 4, "data", None, "reading sets the pace"),
        (0.0, None, 4, "network", None, "the network sets the pace"),
    ],
)
def test_advice(monkeypatch, waited, reading, workers, bound, balanced, words):
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    pace = Pace(24, 1.0, waited, 0.0, reading, workers)
    assert (pace.bound, pace.balanced) == (bound, balanced)
    assert words in pace.advice()
    assert ("transcode" in pace.advice()) == (balanced == 8)


def test_more_processes_than_cores_have_one_each(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert "with the 1 core here" in Pace(24, 1.0, 0.5, 0.0, 4.0, 1).advice()
