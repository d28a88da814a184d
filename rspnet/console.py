"""Messages for people: lines and progress bars on stderr, counts and durations in words.

stdout is for results; nothing here writes to it.
"""

import logging
import multiprocessing
import os
import re
import signal
import sys
import textwrap
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from rspnet.signals import received
from rspnet.terminal import visible

T = TypeVar("T")

LAST_WORDS = 30.0
"""Seconds given to a launcher to end the other processes once one has ended; on a busy machine it takes 13."""


def is_main() -> bool:
    """Whether this is the main process, the one that prints messages (rank 0; torchrun and accelerate set RANK)."""
    return os.environ.get("RANK", "0") == "0"


def program() -> str:
    """Return the name that the user started this program by: ``rspnet verify``, or ``verify.py``."""
    name = Path(sys.argv[0])
    by_name = any(Path(word).stem == "rspnet" and after == name.stem for word, after in pairwise(sys.orig_argv))
    return f"rspnet {name.stem}" if by_name else name.name


def as_typed(text: str) -> str:
    """Rewrite the commands in a text for the `rspnet` command, if this program was started by it.

    ``python stages/verify.py`` becomes ``rspnet verify``, ``--config configs/c3d.yaml`` becomes ``--config c3d.yaml``.
    """
    if not program().startswith("rspnet "):
        return text
    text = re.sub(r"(accelerate launch|torchrun) stages/(\w+)\.py", r"\1 -m rspnet \2", text)
    text = re.sub(r"(?<![\w./])(python )?stages/(\w+)\.py", r"rspnet \2", text)
    return re.sub(r"--config configs/", "--config ", text)


def say(*lines: str, everywhere: bool = False) -> None:
    """Print lines to stderr without tearing a progress bar; from the main process only, unless `everywhere`.

    Args:
        lines: the lines; control characters are printed as escapes.
        everywhere: print from every process.
    """
    if not (is_main() or everywhere):
        return
    text = as_typed("\n".join(map(visible, lines)))
    with suppress(OSError):  # a closed pipe, or a log on a full disk, is no reason to lose the work
        if is_main() and multiprocessing.parent_process() is None:
            tqdm.write(text, file=sys.stderr)
        else:  # the bar belongs to another process, which redraws it below the line
            print(f"\r\033[K{text}" if sys.stderr.isatty() else text, file=sys.stderr)
        sys.stderr.flush()


def stand_in_for_closed_streams() -> None:
    """Open the null device for each standard stream that this program was started without.

    Otherwise the first files that it opens would get those descriptors, and libraries' messages would go into them.
    ``sys.stdout`` stays None if stdout was closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def forget_unsaid() -> None:
    """Discard what could not be written to stderr; Python would try again at exit and change the exit status."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def say_last(text: str, after_others: bool | None = None) -> None:
    """Print why this process ends; if several end for the same reason, as they mostly do, only the main process prints.

    The launcher ends all processes when it sees that one has ended. So the other processes wait `LAST_WORDS` seconds
    for that before they print: if it does not come, the main process does not share their reason, which must be
    printed. If the launcher's signal came earlier, during the training, no process waits, because the launcher soon
    kills those that are left.

    Args:
        text: the reason.
        after_others: whether this process waits; None means unless it is the main one.
    """
    is_ended = signal.SIGTERM in received
    if not is_ended and (after_others or (after_others is None and not is_main())):
        before = signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        time.sleep(LAST_WORDS)
        signal.signal(signal.SIGTERM, before)
    say(text if is_main() else f"[rank {os.environ['RANK']}] {text}", everywhere=not (after_others and is_ended))


def take_warnings() -> None:
    """Print the warnings of Python and of libraries by `say`: one line each, from the main process only."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
    ) -> None:
        say(f"warning: {' '.join(str(message).split())} ({Path(filename).name}, line {lineno})")

    class Spoken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(self.format(record))

    warnings.showwarning = show
    logging.lastResort = Spoken(logging.WARNING)  # for all loggers without a handler


def progress(items: Iterable[T], total: int | None, *, desc: str, unit: str, initial: int = 0) -> Iterator[T]:
    """Iterate with a progress bar if stderr is a terminal, else with a plain line about every 30 seconds."""
    if not is_main():
        yield from items
    elif sys.stderr.isatty():
        yield from tqdm(
            items, desc=desc, unit=f" {unit}", total=total, initial=initial, dynamic_ncols=True, leave=False
        )
    else:
        started = spoken = time.monotonic()
        done = initial
        for done, item in enumerate(items, initial + 1):
            yield item
            now = time.monotonic()
            if now - spoken >= 30:
                spoken = now
                rate = (done - initial) / (now - started)
                left = f", {duration((total - done) / rate)} left" if total else ""
                say(f"{desc}: {done}{f' of {total}' if total else ''} {unit}, {rate:.1f} a second{left}")


def fitted(text: str) -> str:
    """Wrap each line of a text at 100 columns and indent continuation lines; words, such as paths, are never broken."""
    lines = (
        textwrap.fill(line, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "\n".join(lines)


def some(number: int, thing: str, things: str | None = None) -> str:
    """Return a number with its noun: ``1 video``, ``2 videos``."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def figures(number: float) -> str:
    """Format a number with three significant digits, from 100 on as a whole one: ``5.40``, ``1230``, ``1.1e+09``."""
    if abs(number) >= 1e5:
        return f"{number:.3g}"
    return f"{number:.0f}" if abs(number) >= 99.95 else f"{number:#.3g}"


def percent(value: float, short: bool = False) -> str:
    """Format a percentage with one decimal, or below 1 with two significant digits: ``73.2``, ``50.0``, ``0.0061``.

    Args:
        value: 0 to 100.
        short: leave out a decimal of 0: ``50``.
    """
    text = f"{value:.1f}" if value >= 0.995 or value == 0 else f"{value:.2g}"
    return text.removesuffix(".0") if short else text


def signed(difference: float, decimals: int = 1) -> str:
    """Format a difference with its sign, or without one if it rounds to 0: ``+5.8``, ``-3.0``, ``0.0``.

    Args:
        difference: Difference of two percentages.
        decimals: Number of decimals.
    """
    text = f"{difference:+.{decimals}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def duration(seconds: float) -> str:
    """Format a duration given in seconds: ``42 s``, ``7 min``, ``3 h 20 min``, ``6 d 4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
