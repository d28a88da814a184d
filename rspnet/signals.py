"""The signals that end a program, and how it handles them while it starts.

Imports nothing slow, so that a stage can call it before everything else.
"""

import os
import signal
import sys
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Ctrl-C (SIGINT), and what is sent before a job is killed: SIGTERM by Slurm, PBS and Kubernetes, SIGUSR1 and SIGUSR2
by Slurm's --signal and SGE, SIGXCPU at a limit of processor time, SIGHUP when a terminal closes."""

received: set[int] = set()
"""Signals that came during a training, which ends at its next opportunity; a launcher sends its own only once."""

INTERRUPTED = 130
"""Exit status of a program that was interrupted by a signal."""


def heard() -> list[signal.Signals]:
    """Return the signals of `ENDING` to handle: one that is ignored already (SIGHUP under nohup) stays ignored."""
    return [each for each in ENDING if each == signal.SIGTERM or signal.getsignal(each) is not signal.SIG_IGN]


def end_at_once() -> None:
    """Let each of these signals end this program at once, with a line and `INTERRUPTED`, until others handle them.

    For a program that starts: it has nothing to lose yet, and Python would print a traceback, or exit with another
    status.
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
    """Add to a KeyboardInterrupt where the work done so far is kept, from which the same command goes on."""
    if isinstance(error, KeyboardInterrupt) and not error.args:
        error.args = (f"what is done so far is kept in {path}; the same command goes on from there",)
