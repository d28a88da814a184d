"""The frame that every stage runs in: its exit status, its final error message, and the signals that end it."""

import os
import re
import select
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from rspnet.cli.config import parse
from rspnet.cli.endings import TerminatedError, be_deaf, ending_when_told, leave, quieten_threads, was_just_told
from rspnet.console import forget_unsaid, program, say, say_last, stand_in_for_closed_streams, take_warnings
from rspnet.disk import FAULTS, refusal
from rspnet.errors import ConfigError, LostError, RSPNetError
from rspnet.shortage import limit
from rspnet.signals import INTERRUPTED, end_at_once
from rspnet.stdout import forget_stdout

Config = TypeVar("Config")

_WRITTEN = ("run_dir", "dst", "out")
"""Options that name where a stage writes."""


def run(main: Callable[[Config], object], config_class: type[Config]) -> NoReturn:
    """Run a stage as a program: parse, call ``main(config)``, exit.

    Exit status: 0 done, 1 the work failed (one line if a disk, the machine or the loss is to blame, else a traceback;
    or main returned a non-zero ``exit_status``), 2 the command, config or data is wrong (one line), 130 interrupted
    (Ctrl-C, or a signal of a scheduler), 141 the reader of stdout left early (``verify ROOT | head``; silently, like
    any Unix filter).
    """
    is_program = main.__module__ == "__main__"
    if is_program:
        end_at_once()  # for signals that come before and after `ending_when_told` handles them
    stand_in_for_closed_streams()
    _leave_the_stages_folder(main)
    _tell_of_names()
    # On a CPU, torch's threads would spin while they wait and starve the decoding processes (measured: a training step
    # ten times slower with both cores of a small machine busy). Read when torch is loaded, hence here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    take_warnings()
    quieten_threads()
    try:
        with ending_when_told():
            status = _status(main, config_class)
    except KeyboardInterrupt:  # a second one, while the reason for ending is being reported
        status = INTERRUPTED
    if status == INTERRUPTED and is_program:
        leave()
    forget_unsaid()
    sys.exit(status)


def _status(main: Callable[[Config], object], config_class: type[Config]) -> int:
    """Parse, call main, report what went wrong, and return the exit status."""
    stage = program()
    config: Config | None = None
    try:
        config = parse(config_class)
        _check_written(config)
        result = main(config)
        status = int(result.get("exit_status", 0)) if isinstance(result, dict) else 0
    except RSPNetError as error:
        say_last(f"{stage}: {error}")
        status = error.exit_status
    except KeyboardInterrupt as error:  # all processes of a run have agreed on it
        be_deaf()
        # A launcher sends SIGTERM to the other processes when one has ended; that one has reported the reason.
        if not isinstance(error, TerminatedError) or os.environ.get("WORLD_SIZE", "1") == "1":
            say(f"{stage}: interrupted{f'; {error}' if str(error) else ''}")
        status = INTERRUPTED
    except FloatingPointError as error:
        say_last(f"{stage}: {error}")
        status = 1
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            forget_stdout()
            sys.exit(141)
        if was_just_told():
            be_deaf()
            say(f"{stage}: interrupted")
            return INTERRUPTED
        if isinstance(error, OSError) and error.errno in FAULTS:  # wherever a library wrote
            say_last(f"{stage}: {refusal(error.filename or _folder(config), error)}")
        elif isinstance(error, FileNotFoundError) and (gone := _lost_folder(config)):
            say_last(f"{stage}: {LostError.of(gone)}")
        elif said := limit(error):
            say_last(f"{stage}: {said}, or use fewer processes (--jobs, --data.num_workers)")
        elif _other_process_left(error):
            say_last(f"{stage}: another process of this run has ended; see its message", after_others=True)
        else:
            say(*traceback.format_exc().splitlines(), everywhere=True)
        status = 1
    return status


def _leave_the_stages_folder(main: Callable[[Config], object]) -> None:
    """Remove the folder of the started stage from Python's search path, before anything is imported from it.

    ``python stages/X.py`` puts it first, and ``import evaluate`` would find the stage of that name instead of the
    package. No stage imports another, so that the folder is not needed there.
    """
    stage = main.__globals__.get("__file__")  # None if main was typed in
    if stage and main.__module__ == "__main__":  # a program, under a profiler or a debugger too
        folder = os.path.dirname(os.path.realpath(stage))
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != folder]
        beside, used = os.path.join(os.path.dirname(folder), "rspnet"), str(Path(__file__).resolve().parent.parent)
        if os.path.isdir(beside) and beside != used:
            say(
                f"warning: {stage} uses the rspnet in {used}, not the one beside it; set "
                f"PYTHONPATH={os.path.dirname(beside)} to use that one"
            )


def _lost_folder(config: object) -> str | None:
    """Return the run's folder if it has been removed meanwhile, else None."""
    folder: str | None = getattr(config, "run_dir", None)
    return folder if folder and not os.path.lexists(folder) else None


def _tell_of_names() -> None:
    """Warn if file names are not read as UTF-8, which indexes use."""
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8"):
        say(f"warning: file names are read as {encoding} instead of UTF-8; set LC_ALL=C.UTF-8 or PYTHONUTF8=1")


def _other_process_left(error: Exception) -> bool:
    """Whether this is an error that torch raises when another process of the run is gone."""
    lost = r"Connection (closed by peer|reset by peer|refused)|NCCL|Socket Timeout|recvValue failed"
    return os.environ.get("WORLD_SIZE", "1") != "1" and re.search(lost, str(error)) is not None


def _check_written(config: object) -> None:
    """Raise a ConfigError if a stage is to write to a URL: it would become a local folder, called `s3:` or the like."""
    for name in _WRITTEN:
        if "://" in (place := getattr(config, name, None) or ""):
            raise ConfigError(f"{name}: {place} is a URL; stages write local files only: give a path on this machine")


def _folder(config: object) -> str:
    """Return where a stage writes by its options, or ``a file`` if they do not say."""
    return next((value for name in _WRITTEN if (value := getattr(config, name, None))), "a file")


def _reader_left() -> bool:
    """Whether the broken pipe is stdout, and not one to a worker process."""
    if sys.stdout is None:
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
