"""The signals that end a program; and what they do to one that has only begun to start.

Loads nothing, so that a stage can call it before everything else.
"""

import os
import signal
import sys
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Ctrl-C, and what schedulers send before they kill a job: Slurm, PBS and Kubernetes SIGTERM, Slurm's --signal and SGE
SIGUSR1 and SIGUSR2, a limit of processor time SIGXCPU, a terminal that closes SIGHUP."""

received: set[int] = set()
"""Those that came while a training ran, which ends in its own time: a launcher says so once."""

INTERRUPTED = 130
"""Exit status of a program that was told to end."""


def heard() -> list[signal.Signals]:
    """Those of `ENDING` that this program is to hear: one that is ignored already (nohup's SIGHUP) stays so."""
    return [each for each in ENDING if each == signal.SIGTERM or signal.getsignal(each) is not signal.SIG_IGN]


def end_at_once() -> None:
    """Let each of these end this program there and then, with a line and its status, until somebody else takes them.

    For a program that starts: it has nothing to lose yet, and Python would answer with a traceback, or another status.
    """
    for number in heard():
        signal.signal(number, _end)


def _end(*_: object) -> NoReturn:
    try:
        if os.environ.get("RANK", "0") == "0" and sys.stderr is not None:
            os.write(2, os.fsencode(f"{os.path.basename(sys.argv[0])}: interrupted\n"))
    finally:
        os._exit(INTERRUPTED)


def tell_what_is_kept(error: BaseException | None, path: object) -> None:
    """Let an interruption say where what was done so far lies, from which the same command goes on."""
    if isinstance(error, KeyboardInterrupt) and not error.args:
        error.args = (f"what is done so far is kept in {path}; the same command goes on from there",)
