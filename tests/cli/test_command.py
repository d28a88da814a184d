"""The frame every stage runs in: exit statuses, last words, and who says them."""

import errno
import subprocess
import sys
from dataclasses import dataclass, make_dataclass

import pytest

from rspnet import console
from rspnet.cli.command import run
from rspnet.errors import VideoError
from tests.support import REPO


@dataclass
class Config:
    """Options for the tests."""

    name: str = "name"
    """A name."""


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        ({"top1": 1.0}, 0, ""),
        ({"exit_status": 1}, 1, ""),
        (None, 0, ""),
        (VideoError("v.mp4: cut; copy it again"), 2, "stage.py: v.mp4: cut; copy it again\n"),
        (FloatingPointError("step 3: no number"), 1, "stage.py: step 3: no number\n"),
        (KeyboardInterrupt(), 130, "stage.py: interrupted\n"),
        (KeyboardInterrupt("step 3 is kept"), 130, "stage.py: interrupted; step 3 is kept\n"),
    ],
)
def test_exit_status_and_last_words(outcome, status, message, monkeypatch, capsys):
    def main(config):
        assert config == Config(name="x")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(sys, "argv", ["stages/stage.py", "--name", "x"])
    with pytest.raises(SystemExit) as left:
        run(main, Config)
    assert left.value.code == status
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize("option", ["run_dir", "dst", "out"])
@pytest.mark.parametrize("url", ["s3://bucket/new", "file:///tmp/new"])
def test_nothing_is_written_to_a_server(option, url, monkeypatch, capsys):
    writing = make_dataclass("Writing", [(option, str, "here")])
    writing.__doc__ = "Options for the test."
    monkeypatch.setattr(sys, "argv", ["stage.py", f"--{option}", url])
    with pytest.raises(SystemExit) as left:
        run(lambda config: 1 / 0, writing)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(f"stage.py: {option}: {url} is a URL; stages write local files only")


def test_a_fault_of_ours_shows_where(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    with pytest.raises(SystemExit) as left:
        run(lambda config: 1 / 0, Config)
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("Traceback")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "may open no more files; raise `ulimit -n`"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "start no more processes"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "no memory left"),
        (RuntimeError("can't start new thread"), "start no more processes or threads"),
    ],
)
def test_limits_of_the_system_are_named(error, words, monkeypatch, capsys):
    def main(_):
        raise error

    monkeypatch.setattr(sys, "argv", ["stage.py"])
    with pytest.raises(SystemExit) as left:
        run(main, Config)
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said


def test_a_folder_that_was_removed_under_a_run_is_named(tmp_path, monkeypatch, capsys):
    @dataclass
    class Run:
        """Of a run."""

        run_dir: str = ""
        """Folder."""

    def main(config):
        (tmp_path / "run").mkdir()
        (tmp_path / "run").rmdir()
        list((tmp_path / "run").iterdir())

    monkeypatch.setattr(sys, "argv", ["stage.py", "--run_dir", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as left:
        run(main, Run)
    assert left.value.code == 1
    words = "was removed or renamed while this wrote to it; restore its name, or start again, with the same command"
    assert capsys.readouterr().err == f"stage.py: {tmp_path}/run: {words}\n"


CLOSED = """
import os
from contextlib import suppress
from dataclasses import dataclass
from rspnet import console, stdout
from rspnet.cli.command import run

@dataclass
class Config:
    out: str = ""
    "File."

def main(config):
    with open(config.out, "w") as file:
        console.say("said")
        with suppress(OSError):
            os.write(2, b"a library speaks")
        for _ in console.progress([1, 2], 2, desc="d", unit="u"):
            file.write("row")
    stdout.print_line("{}")

run(main, Config)
"""


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">&- 2>&-", "2>&-", ">&-", "2>/dev/full", "<&-"])
def test_streams_that_are_closed_or_full_cost_nothing(tmp_path, streams):
    """Nor does what is said get into a file that has the number of a closed one."""
    command = ["sh", "-c", f'"$@" {streams}', "sh", sys.executable, "-c", CLOSED, "--out", str(tmp_path / "out")]
    ended = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out").read_text() == "rowrow"
    assert "said" in ended.stderr or "2>" in streams
    assert ended.stdout == ("" if ">&-" in streams.replace("2>&-", "") else "{}\n")


def test_an_encoding_that_misreads_names_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    with pytest.raises(SystemExit) as left:
        run(lambda _: None, Config)
    assert left.value.code == 0
    assert "read as iso8859-1" in capsys.readouterr().err


def test_other_processes_say_who_they_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stage.py", "--nam", "x"])
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setattr(console, "LAST_WORDS", 0.0)
    with pytest.raises(SystemExit):
        run(lambda config: None, Config)
    assert capsys.readouterr().err == "[rank 3] stage.py: --nam: unknown option; did you mean --name?\n"


def test_a_process_that_another_left_alone_shows_no_traceback(monkeypatch, capsys):
    def main(config):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:24202")

    monkeypatch.setattr(sys, "argv", ["stage.py"])
    monkeypatch.setattr(console, "LAST_WORDS", 0.0)
    for processes, told in (("2", "stage.py: another process of this run has ended; "), ("1", "Traceback ")):
        monkeypatch.setenv("WORLD_SIZE", processes)
        with pytest.raises(SystemExit) as left:
            run(main, Config)
        assert left.value.code == 1
        assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("for _ in range(10**6): print('row', flush=True)", 141),
        ("print('row', flush=True); import time; time.sleep(0.3); print('last')", 141),
        ("print('row', flush=True); import os; r, w = os.pipe(); os.close(r); os.write(w, b'x')", 1),
    ],
    ids=["in the middle", "at the end", "another pipe"],
)
def test_a_reader_that_leaves_early_ends_the_stage_quietly(body, status):
    """As `verify ROOT | head` does; a broken pipe to a worker process is a fault all the same."""
    program = (
        "from dataclasses import dataclass\nfrom rspnet.cli.command import run\n"
        f"@dataclass\nclass Config:\n    pass\ndef main(config):\n    {body}\nrun(main, Config)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], cwd=REPO, text=True, **pipes) as process:
        assert process.stdout.readline() == "row\n"
        if status == 141:
            process.stdout.close()
        error = process.stderr.read()
        assert process.wait(10) == status
    assert ("BrokenPipeError" in error) is (status == 1)
    assert error == "" or status == 1
