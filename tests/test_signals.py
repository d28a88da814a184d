"""What ends a program can be heard, from its first moment, and what cannot is not among it."""

import ast
import signal
import subprocess
import sys

import pytest

from rspnet.signals import ENDING
from tests.support import REPO


def test_what_ends_a_program_can_be_heard():
    assert signal.SIGKILL not in ENDING
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1} <= set(ENDING)


PROGRAM = """
from rspnet.signals import end_at_once
end_at_once()
import sys, time
print(*sys.modules, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [None, *ENDING])
def test_a_program_that_starts_ends_without_a_traceback(number):
    """Python would show one for Ctrl-C, and end with another status for all others; what is ignored stays so."""
    command = [sys.executable, "-c", PROGRAM]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN) if number is None else None
    with subprocess.Popen(command, cwd=REPO, **pipes) as program:
        if before is not None:
            signal.signal(signal.SIGHUP, before)
        loaded = program.stdout.readline().split()
        if number is None:
            program.send_signal(signal.SIGHUP)
        program.send_signal(number or signal.SIGTERM)
        assert program.wait(10) == 130
        assert program.stderr.read() == "-c: interrupted\n"
    assert not {"json", "tempfile", "yaml", "tqdm"} & set(loaded)  # it has not waited for these


PROGRAMS = [*sorted((REPO / "stages").glob("*.py")), REPO / "rspnet/__main__.py"]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_that_is_the_first_thing_that_a_program_does(path):
    first = ast.parse(path.read_text()).body[1]  # after its docstring
    wanted = "if __name__ == '__main__':\n    from rspnet.signals import end_at_once\n    end_at_once()"
    assert ast.unparse(first) == wanted
