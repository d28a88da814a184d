"""The log of a run, across an interruption too."""

import json
import re
import time
from types import SimpleNamespace

import pytest

from rspnet.running.log import RunLog, plan


def steps(log, first, last, value=1.0):
    log.start()
    for step in range(first, last + 1):
        log.batch_arrived()
        log.step_done()
        if step % 2 == 0:
            log.interval(step, (step - 1) // 4, {"loss": value * step})
        if step % 4 == 0:
            log.epoch(step, step // 4, {"loss": value * step, "failed_videos": 2})


def read_log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def new_log(folder, step, tracked):
    return RunLog(
        folder,
        step,
        8,
        clips_per_step=16,
        track=lambda values, step: tracked.append((step, values)),
        chance={"loss": 5.0},
    )


@pytest.mark.parametrize(
    ("rest", "told"),
    [(b"", ""), (b'{"step": 4, "ev', ": its last line was cut short by an abrupt end, and is left out\n")],
)
def test_the_end_of_a_log(tmp_path, capsys, rest, told):
    """One that lacks its last line's end is whole; what a power cut leaves of a line is nobody's."""
    path, whole = tmp_path / "metrics.jsonl", b'{"step": 2}\n\n{"step": 4}\n{"step": 6}\n'
    path.write_bytes(whole + rest if rest else whole[:-1])
    new_log(tmp_path, 6, []).close()
    assert path.read_text() == '{"step": 2}\n{"step": 4}\n{"step": 6}\n'
    assert capsys.readouterr().err == (f"{path}{told}" if told else "")
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_log_goes_on_without_a_seam(tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    tracked = []
    log = new_log(whole, 0, tracked)
    steps(log, 1, 8)
    log.close()
    log = new_log(parts, 0, [])
    steps(log, 1, 7)  # killed here: the last checkpoint is of step 4
    log.close()
    with (parts / "metrics.jsonl").open("a") as file:
        file.write("[]\n")  # somebody's
        file.write('{"event": "interval", "st')  # the power went
    log = new_log(parts, 4, [])
    steps(log, 5, 8)
    log.close()
    times = ("data_time", "step_time", "clips_per_second", "seconds_left")
    one, two = ([{k: v for k, v in line.items() if k not in times} for line in read_log(f)] for f in (whole, parts))
    assert one == two
    assert [(line["event"], line["step"], line["epoch"]) for line in one] == [
        ("interval", 2, 0),
        ("interval", 4, 0),
        ("epoch", 4, 1),
        ("interval", 6, 1),
        ("interval", 8, 1),
        ("epoch", 8, 2),
    ]
    assert [step for step, _ in tracked] == [2, 4, 4, 6, 8, 8]
    assert tracked[2][1] == {"epoch/loss": 4.0, "epoch/failed_videos": 2}
    assert tracked[0][1].keys() >= {"interval/loss", "interval/clips_per_second"}
    lines = capsys.readouterr().err.splitlines()
    said = "log lines: accuracies in percent, with chance in brackets; every term is in"
    assert lines[:2] == [said, f"{whole}/metrics.jsonl"]
    lines = lines[1:]
    assert re.fullmatch(r"epoch 1 step 2/8: loss 2\.00 \(5\), \d+ clips/s, 0 s left", lines[1])
    assert lines[3] == "epoch 1 done: loss 4.00 (5)"


@pytest.mark.parametrize(
    ("clips", "values", "chance", "line"),
    [
        (
            128,
            {"loss": 12.3456, "loss_avid": 9.0, "avid_top1": 73.19999999999999, "rsp_accuracy": 81.04, "lr": 0.1},
            {"avid_top1": 100 / 16385, "avid_top5": 500 / 16385, "rsp_accuracy": 50},
            "epoch 200 step 100000/752000: loss 12.3, A-VID 73.2 (0.0061), RSP 81.0 (50), 859 clips/s, 27 h left",
        ),
        (
            40,
            {"loss": 0.0123456, "train_top1": 100.0, "lr": 0.005},
            {"val_top1": 10.0},
            "epoch 200 step 100000/752000: loss 0.0123, top-1 100.0, 268 clips/s, 27 h left",
        ),
    ],
    ids=["pretrain", "finetune"],
)
def test_a_line_of_the_largest_run_fits_a_terminal(clips, values, chance, line, tmp_path, monkeypatch, capsys):
    """Kinetics-400 for 200 epochs on many devices."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    log = RunLog(tmp_path, 0, 752000, clips_per_step=clips, track=lambda values, step: None, chance=chance)
    log.start()
    clock[0] += 0.149
    log.batch_arrived()
    log.step_done()
    log.interval(100000, 199, values)
    log.close()
    assert len(line) < 100
    assert capsys.readouterr().err.splitlines()[2:] == [line]
    (kept,) = read_log(tmp_path)
    assert {name: kept[name] for name in values} == values  # all of them, and every digit


def test_the_plan_of_the_largest_run_fits_a_terminal():
    class Videos:
        total_batch = 64

        def __len__(self):
            return 3746

    schedule = SimpleNamespace(epochs=200, milestones=(50, 200, 400), lr=0.005)
    line, late = plan(schedule, Videos(), world_size=4, device="cuda")
    assert line == "200 epochs of 3746 steps; 64 videos a step = 4 x 16; learning rate 0.005; on cuda"
    assert late == "the learning rate never reaches its milestones [200, 400]"
    schedule.milestones = (50,)
    assert plan(schedule, Videos(), world_size=4, device="cuda") == [line]


def test_long_times_are_short(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    log = new_log(tmp_path, 0, [])
    for hours in (0.1, 9.9, 27.0, 50.0):
        log.start()
        clock[0] += 3600 * hours
        log.batch_arrived()
        log.step_done()
        log.interval(7, 0, {})
    log.close()
    ends = [line.split(", ")[-1] for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert ends == ["6 min left", "9.9 h left", "27 h left", "2.1 d left"]


def test_waiting_for_data_is_said_once_where_it_matters(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    log = new_log(tmp_path, 0, [])
    for waited, said in ((90.0, False), (1.5, False), (5.0, True), (5.0, False)):  # the first: the workers start
        log.start()
        clock[0] += waited
        log.batch_arrived()
        clock[0] += 10
        log.step_done()
        log.interval(2, 0, {"loss": 1.0})
        lines = capsys.readouterr().err.splitlines()
        told = [line for line in lines if line.startswith("33.3 % of the time is spent waiting for data: more ")]
        assert bool(told) == said, waited
        assert all(len(line) <= 100 for line in lines if not line.endswith("metrics.jsonl"))
    log.close()


def test_times_are_those_of_the_steps(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    log = new_log(tmp_path, 0, [])
    clock[0] += 100  # building the model
    log.start()
    for _ in range(2):
        clock[0] += 1  # waiting for a batch
        log.batch_arrived()
        clock[0] += 3
        log.step_done()
    log.interval(2, 0, {})
    log.close()
    (line,) = read_log(tmp_path)
    found = [line[name] for name in ("data_time", "step_time", "clips_per_second", "seconds_left")]
    assert found == [1, 4, 16 / 4, 6 * 4]


def test_other_processes_log_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    tracked = []
    log = new_log(tmp_path, 0, tracked)
    steps(log, 1, 4)
    log.close()
    assert not list(tmp_path.iterdir())
    assert not tracked
    assert capsys.readouterr().err == ""
