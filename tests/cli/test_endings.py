"""A program ends when it is told to, by whomever, also where its main thread hears nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rspnet.cli.endings import TerminatedError, ending_when_told
from rspnet.signals import ENDING
from tests.support import REPO


@pytest.mark.parametrize("number", ENDING)
def test_each_ends_the_block(number):
    before = [signal.getsignal(each) for each in ENDING]
    kind = KeyboardInterrupt if number == signal.SIGINT else TerminatedError
    with pytest.raises(kind), ending_when_told():
        signal.raise_signal(number)
    assert [signal.getsignal(each) for each in ENDING] == before


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_when_told():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


PROGRAM = """
import ctypes, multiprocessing, os, signal, sys
from dataclasses import dataclass
from rspnet.cli.command import run

@dataclass
class Config:
    pass

def hang():
    signal.pause()

def main(config):
    child = multiprocessing.get_context("fork").Process(target=hang, daemon=True)
    child.start()
    os.kill(child.pid, signal.SIGSTOP)
    print(child.pid, flush=True)
    if IS_DEAF == 0:
        signal.pause()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    ctypes.CDLL(None).pause()  # as a library that waits and takes no notice

run(main, Config)
"""


def gone(pid):
    """Or dead, and not yet taken note of by who got it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("is_deaf", [0, 1])
def test_two_ctrl_c_end_a_program_that_hears_nothing(tmp_path, is_deaf):
    """Or waits for a process that is stopped; none is left."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.replace("IS_DEAF", str(is_deaf)))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=REPO) as program:
        child = int(program.stdout.readline())
        time.sleep(0.3)
        for _ in range(2):
            program.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert program.wait(12) == 130
    assert gone(child)


DEAF = """
import os, signal, sys, threading, time
from dataclasses import dataclass
from rspnet.cli.command import run

@dataclass
class Config:
    pass

class Late:
    def __del__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)  # while it is ending
            time.sleep(0.02)

def fail():
    time.sleep(0.1)
    raise ValueError("of a thread")

def main(config):
    try:
        threading.Thread(target=fail).start()
        os.kill(os.getpid(), getattr(signal, sys.argv[0]))
        signal.pause()
    except KeyboardInterrupt:
        time.sleep(0.2)
        raise OTHER("an import was cut short")

import atexit
atexit.register(Late().__del__)
SIGNAL = sys.argv[0] = sys.argv.pop()
run(main, Config)
"""


@pytest.mark.parametrize(("name", "error"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "ImportError")])
def test_nothing_disturbs_a_program_that_ends(tmp_path, name, error):
    """Neither more signals, nor its threads, nor what a library makes of an interrupt."""
    program = [sys.executable, "-c", DEAF.replace("OTHER", error), name]
    done = subprocess.run(program, cwd=REPO, capture_output=True, text=True, timeout=20)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "interrupted" in done.stderr


LAUNCH = """
import subprocess, sys, time
program = subprocess.Popen([sys.executable, "-c", sys.stdin.read()])
time.sleep(60)
"""

TRAINER = """
from dataclasses import dataclass
from rspnet.cli.command import run

@dataclass
class Config:
    pass

def main(config):
    import os, time
    print(os.getpid(), flush=True)
    time.sleep(4)
    print("left alone", flush=True)

run(main, Config)
"""


@pytest.mark.parametrize("name", ["accelerate", "shell"])
def test_the_end_of_a_launcher_is_heard_and_that_of_a_shell_is_not(tmp_path, name):
    (tmp_path / name).write_text(LAUNCH)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, tmp_path / name, "launch"], text=True, cwd=REPO, **pipes) as launcher:
        launcher.stdin.write(TRAINER)
        launcher.stdin.close()
        assert int(launcher.stdout.readline()) > 0
        launcher.terminate()
        out, err = launcher.stdout.read(), launcher.stderr.read()
    assert out == ("" if name == "accelerate" else "left alone\n")
    assert ("the launcher of this process has ended" in err) is (name == "accelerate")
    assert ("interrupted" in err) is (name == "accelerate")
