"""What is said to a person, on a terminal and elsewhere, and by which process."""

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time

import pytest

from rspnet import console
from rspnet.console import as_typed, duration, figures, fitted, percent, program, signed, some
from tests.support import REPO


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


def test_texts_that_fit_a_terminal():
    text = f"not used: {'; '.join(f'reason-{number} (2)' for number in range(12))}\nsecond line"
    lines = fitted(text).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line[:2] for line in lines] == ["no", "  ", "se"]
    assert " ".join(fitted(text).split()) == " ".join(text.split())
    assert fitted(f"{'path-' * 30} is here") == f"{'path-' * 30}\n  is here"
    assert fitted("x" * 100) == "x" * 100


def test_numbers_as_people_write_them():
    numbers = (5.4, 0.69314, 12.345, 123.4, 1230.0, 0.00012345, 0.0)
    assert [figures(number) for number in numbers] == ["5.40", "0.693", "12.3", "123", "1230", "0.000123", "0.00"]
    assert [figures(number) for number in (1104919354.0, 99999.4, float("nan"))] == ["1.1e+09", "99999", "nan"]
    assert [figures(number) for number in (99.94, 99.95, -99.97)] == ["99.9", "100", "-100"]
    values = (73.19999999999999, 100.0, 50.0, 1.54, 0.25, 100 / 16385, 0.0)
    assert [percent(value) for value in values] == ["73.2", "100.0", "50.0", "1.5", "0.25", "0.0061", "0.0"]
    assert [percent(value, short=True) for value in values] == ["73.2", "100", "50", "1.5", "0.25", "0.0061", "0"]
    assert [percent(value) for value in (0.994, 0.996, 0.99999)] == ["0.99", "1.0", "1.0"]


def test_a_difference_has_a_sign_where_there_is_one():
    assert [signed(value) for value in (5.84, -3.0, 0.04, -0.04, 0.0)] == ["+5.8", "-3.0", "0.0", "0.0", "0.0"]
    assert [signed(value, 0) for value in (17.6, -0.3, -8)] == ["+18", "0", "-8"]


TEXT = "see python stages/subset.py --config configs/c3d.yaml, /a/stages/x.py"


@pytest.mark.parametrize(
    ("typed", "name", "text"),
    [
        (
            "python stages/verify.py",
            "verify.py",
            "see python stages/subset.py --config configs/c3d.yaml, /a/stages/x.py",
        ),
        ("python -m rspnet verify", "rspnet verify", "see rspnet subset --config c3d.yaml, /a/stages/x.py"),
        ("/bin/python /bin/rspnet verify", "rspnet verify", "see rspnet subset --config c3d.yaml, /a/stages/x.py"),
    ],
)
def test_commands_are_named_as_the_user_types_them(typed, name, text, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", typed.split())
    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/verify.py"])
    assert program() == name
    assert as_typed(TEXT) == text
    launch = "accelerate launch stages/pretrain.py"
    assert as_typed(launch) == ("accelerate launch -m rspnet pretrain" if name != "verify.py" else launch)


def test_only_the_main_process_speaks(monkeypatch, capsys):
    console.say("one")
    monkeypatch.setenv("RANK", "1")
    console.say("two")
    assert list(console.progress(range(3), 3, desc="d", unit="u")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "one\n")


def test_a_message_of_any_process_where_only_the_main_one_speaks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    console.say("not this")
    console.say("this", everywhere=True)
    assert capsys.readouterr() == ("", "this\n")


def last_words(rank, at_sleep):
    """What a process says at its end when `at_sleep` happens while it waits for its launcher; its exit status."""
    program = f"import os, time\nfrom rspnet import console\ntime.sleep = lambda s: {at_sleep}\nconsole.say_last('why')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"RANK": rank}, cwd=REPO, capture_output=True, text=True
    )
    return done.stderr, done.returncode


def test_processes_with_the_same_mistake_say_it_once():
    assert last_words("0", "1 / 0") == ("why\n", 0)
    assert last_words("1", "os.kill(os.getpid(), 15)") == ("", 143)
    assert last_words("1", "None") == ("[rank 1] why\n", 0)


def test_nobody_waits_for_a_launcher_that_has_spoken_already(monkeypatch, capsys):
    """While the training went on: it kills what is left half a minute later."""
    monkeypatch.setattr(console, "received", {signal.SIGTERM})
    monkeypatch.setattr(console.time, "sleep", lambda _: 1 / 0)
    for rank, after_others, said in (("0", True, "why\n"), ("1", True, ""), ("1", None, "[rank 1] why\n")):
        monkeypatch.setenv("RANK", rank)
        console.say_last("why", after_others)
        assert capsys.readouterr().err == said


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
from rspnet import console

def worker():
    console.say("from a worker")
    warnings.warn("of a worker")

console.take_warnings()
for item in console.progress(range(3), 3, desc="videos", unit="files"):
    if item == 1:
        console.say("a line")
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
    assert list(console.progress("abcde", 10, desc="videos", unit="files", initial=5)) == list("abcde")
    assert capsys.readouterr().err.splitlines() == [
        "videos: 7 of 10 files, 0.1 a second, 60 s left",
        "videos: 9 of 10 files, 0.1 a second, 20 s left",
    ]


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(console.progress(range(3), 3, desc="videos", unit="files")) == [0, 1, 2]
    assert "videos" in terminal.getvalue()
