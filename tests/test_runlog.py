"""What a run says, and its log across an interruption."""

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from rspnet import runlog
from rspnet.errors import ConfigError
from rspnet.runlog import RunLog, check_accumulation, check_launch, check_precision, duration, some

REPO = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (6000, "1 h 40 min"),
        (7199, "2 h 0 min"),
        (2 * 86400 - 29, "2 d 0 h"),
        (6 * 86400 + 4 * 3600, "6 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_numbers_with_their_nouns():
    assert [some(number, "video") for number in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]
    assert [some(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]


def test_only_the_main_process_speaks(monkeypatch, capsys):
    runlog.say("one")
    monkeypatch.setenv("RANK", "1")
    runlog.say("two")
    assert list(runlog.progress(range(3), 3, "d", "u")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "one\n")


def test_a_message_of_any_process_where_only_the_main_one_speaks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    runlog.say("not this")
    runlog.say("this", everywhere=True)
    assert capsys.readouterr() == ("", "this\n")


def last_words(rank, at_sleep):
    """What a process says at its end when `at_sleep` happens while it waits for its launcher; its exit status."""
    program = f"import os, time\nfrom rspnet import runlog\ntime.sleep = lambda s: {at_sleep}\nrunlog.say_last('why')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"RANK": rank}, cwd=REPO, capture_output=True, text=True
    )
    return done.stderr, done.returncode


def test_processes_with_the_same_mistake_say_it_once():
    assert last_words("0", "1 / 0") == ("why\n", 0)
    assert last_words("1", "os.kill(os.getpid(), 15)") == ("", 143)
    assert last_words("1", "None") == ("[rank 1] why\n", 0)


def shown(written):
    """The lines that stand on a terminal after this was written to it."""
    lines, column = [""], 0
    for part in re.findall(r"\r|\n|\033\[K|[^\r\n\033]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
        elif part == "\033[K":
            lines[-1] = lines[-1][:column]
        else:
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


TALK = """
import logging, multiprocessing, warnings
from rspnet import runlog

def worker():
    runlog.say("from a worker")
    warnings.warn("of a worker")

runlog.take_warnings()
for item in runlog.progress(range(3), 3, "videos", "files"):
    if item == 1:
        runlog.say("a line")
        warnings.warn("several\\nlines")
        logging.getLogger("any").warning("of a %s", "library")
        process = multiprocessing.get_context("fork").Process(target=worker)
        process.start()
        process.join()
"""


def test_nothing_is_written_into_a_bar(tmp_path):
    """On a terminal: messages and warnings, of this process and of its workers, each have a line of their own."""
    own, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    (tmp_path / "talk.py").write_text(TALK)
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    with subprocess.Popen([sys.executable, "talk.py"], cwd=tmp_path, env=environment, stderr=terminal) as process:
        os.close(terminal)
        written = b""
        with contextlib.suppress(OSError):  # its end, on Linux
            while some_bytes := os.read(own, 4096):
                written += some_bytes
    os.close(own)
    assert process.returncode == 0
    assert "videos:   0%" in written.decode()
    assert shown(written.decode()) == [
        "a line",
        "warning: several lines (talk.py, line 13)",
        "of a library",
        "from a worker",
        "warning: of a worker (talk.py, line 7)",
        "",
    ]


def test_progress_is_a_plain_line_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert list(runlog.progress("abcde", 10, "videos", "files", initial=5)) == list("abcde")
    assert capsys.readouterr().err.splitlines() == [
        "videos: 7 of 10 files, 0.1 a second, 60 s left",
        "videos: 9 of 10 files, 0.1 a second, 20 s left",
    ]


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(runlog.progress(range(3), 3, "videos", "files")) == [0, 1, 2]
    assert "videos" in terminal.getvalue()


def test_processes_that_did_not_find_each_other_are_refused(monkeypatch):
    check_launch(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launch(2)
    with pytest.raises(ConfigError, match=r"2 processes were started, but each sees 1; .*ACCELERATE_USE_CPU=true"):
        check_launch(1)


def test_no_training_with_wrong_gradients():
    check_precision("cpu", "no")
    check_precision("cuda", "bf16")
    check_precision("cpu", "fp16")  # which accelerate computes in float32 there
    with pytest.raises(ConfigError, match=r"mixed precision bf16: on a CPU .* launch with --mixed_precision no"):
        check_precision("cpu", "bf16")


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


@pytest.mark.parametrize("steps", ["4", "0", "many"])
def test_accumulation_is_refused(monkeypatch, steps):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    check_accumulation()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", steps)
    with pytest.raises(ConfigError, match=rf"^ACCELERATE_GRADIENT_ACCUMULATION_STEPS={steps}: gradients are not acc"):
        check_accumulation()
