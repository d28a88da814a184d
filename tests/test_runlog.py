"""What a run says, its log across an interruption, and who may write to its folder."""

import fcntl
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rspnet import runlog
from rspnet.errors import ConfigError
from rspnet.runlog import RunLog, check_launch, duration, finished, open_run

CONFIG = {"run_dir": "x", "data": {"root": "a", "num_workers": 4}, "optim": {"lr": 0.1}, "run": {"log_every": 10}}


def opened(folder, **changes):
    """Open and leave a run; changes by `section__name`."""
    config = json.loads(json.dumps(CONFIG))
    for name, value in changes.items():
        section, key = name.split("__")
        config[section][key] = value
    with open_run(folder, config, json.dumps(config)):
        return json.loads((folder / "config.yaml").read_text())


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


def test_only_the_main_process_speaks(monkeypatch, capsys):
    runlog.say("one")
    monkeypatch.setenv("RANK", "1")
    runlog.say("two")
    assert list(runlog.progress(range(3), 3, "d", "u")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "one\n")


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


def test_files_are_whole_or_not_there(tmp_path):
    path = tmp_path / "a.json"
    runlog.write_json(path, {"ä": 1})
    with pytest.raises(TypeError):
        runlog.write_json(path, {"b": object()})
    assert json.loads(path.read_text()) == {"ä": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_new_folder_gets_config_and_environment(tmp_path):
    folder = tmp_path / "a" / "run"
    assert opened(folder) == CONFIG
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["versions"].keys() >= {"torch", "accelerate", "av", "rspnet"}
    assert opened(folder) == CONFIG
    assert finished(folder) is None
    runlog.write_json(folder / "result.json", {"stage": "x"})
    assert finished(folder) == {"stage": "x"}


def test_other_options_are_refused_once_there_is_something_to_protect(tmp_path):
    opened(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, optim__lr=0.2)
    text = "choose another --run_dir, or remove the folder to start again"
    assert str(caught.value) == f"{tmp_path}: holds a run with optim.lr=0.1, not 0.2; {text}"
    with pytest.raises(ConfigError, match=r"holds a run with optim\.epochs=None, not 3; "):
        opened(tmp_path, optim__epochs=3)
    # What changes no result may differ; the folder keeps what the run began with.
    assert opened(tmp_path, data__num_workers=0, run__log_every=1) == CONFIG
    tmp_path.rename(tmp_path.with_name("moved"))
    with open_run(tmp_path.with_name("moved"), CONFIG | {"run_dir": "y"}, ""):
        pass


def test_a_run_that_never_got_anywhere_begins_anew(tmp_path):
    """A mistyped data.root must not block the folder for the corrected command."""
    opened(tmp_path, data__root="typo")
    (tmp_path / "index.parquet").touch()
    assert opened(tmp_path) == CONFIG
    assert not (tmp_path / "index.parquet").exists()
    (tmp_path / "index.parquet").touch()
    opened(tmp_path, data__num_workers=1)
    assert (tmp_path / "index.parquet").exists()
    runlog.write_json(tmp_path / "result.json", {})
    with pytest.raises(ConfigError, match=r"data\.root=a, not b"):
        opened(tmp_path, data__root="b")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/run: cannot be made .*choose another --run_dir"):
        opened(tmp_path / "file" / "run")


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is no run folder, and not empty; choose another --run_dir"):
        opened(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "thesis.tex"]


def test_second_process_is_refused_while_the_first_lives(tmp_path):
    program = (
        "import sys, pathlib\n"
        "from rspnet.runlog import open_run\n"
        "with open_run(pathlib.Path(sys.argv[1]), {}, '{}'):\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    repo = Path(__file__).resolve().parent.parent
    with subprocess.Popen(command, cwd=repo, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "open\n"
        with pytest.raises(ConfigError, match=rf"{tmp_path}: process {first.pid} on .* is writing to this run; wait"):
            opened(tmp_path)
        first.kill()  # no farewell: the lock goes with the process
        first.wait(10)
        assert opened(tmp_path) == CONFIG


def test_lock_is_let_go_after_an_error(tmp_path):
    with pytest.raises(KeyError), open_run(tmp_path, CONFIG, "{}"):
        raise KeyError
    with (tmp_path / ".lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(ConfigError, match="is writing to this run"):
            opened(tmp_path)


def test_other_processes_leave_the_folder_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with open_run(tmp_path / "run", CONFIG, "{}"):
        assert not (tmp_path / "run").exists()


def test_processes_that_did_not_find_each_other_are_refused(monkeypatch):
    check_launch(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launch(2)
    with pytest.raises(ConfigError, match=r"2 processes were started, but each sees 1; .*ACCELERATE_USE_CPU=true"):
        check_launch(1)


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
