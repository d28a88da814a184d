"""The log of a run, across an interruption too."""

import json
import time

from rspnet.runlog import RunLog


def steps(log, first, last, value=1.0):
    log.start()
    for step in range(first, last + 1):
        log.batch_arrived()
        log.step_done()
        if step % 2 == 0:
            log.interval(step, (step - 1) // 4, {"loss": value * step})
        if step % 4 == 0:
            log.epoch(step, step // 4, {"loss": value * step})


def read_log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def new_log(folder, step, tracked):
    return RunLog(folder, step, 8, 16, lambda values, step: tracked.append((step, values)), {"loss": 5.0})


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
    assert tracked[2][1] == {"epoch/loss": 4.0}
    assert tracked[0][1].keys() >= {"interval/loss", "interval/clips_per_second"}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("step 2/8  loss 2 (chance 5)  data 0.000 of 0.000 s, ")
    assert lines[0].endswith(" clips/s, 0 s left")
    assert lines[2] == "epoch 1 done  loss 4 (chance 5)"


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
