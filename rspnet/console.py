"""What is said to a person: lines and bars on stderr, counts and durations as words.

stdout belongs to results; nothing here writes to it.
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
"""Seconds in which a launcher ends the other processes when one has ended: a moment, or 13 on a busy machine."""


def is_main() -> bool:
    """Whether this process is the one that speaks (rank 0; torchrun and accelerate set RANK)."""
    return os.environ.get("RANK", "0") == "0"


def program() -> str:
    """What the user typed to start this program: ``rspnet verify``, or ``verify.py``."""
    name = Path(sys.argv[0])
    by_name = any(Path(word).stem == "rspnet" and after == name.stem for word, after in pairwise(sys.orig_argv))
    return f"rspnet {name.stem}" if by_name else name.name


def as_typed(text: str) -> str:
    """A text that names stages by their files and recipes by their paths, as who started this one by `rspnet` types it.

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
        lines: each is one, with escapes for what a terminal would obey.
        everywhere: from every process.
    """
    if not (is_main() or everywhere):
        return
    text = as_typed("\n".join(map(visible, lines)))
    with suppress(OSError):  # nobody listens, or a log's disk is full: no reason to lose the work
        if is_main() and multiprocessing.parent_process() is None:
            tqdm.write(text, file=sys.stderr)
        else:  # the bar is another process's, which draws it again below the line
            print(f"\r\033[K{text}" if sys.stderr.isatty() else text, file=sys.stderr)
        sys.stderr.flush()


def stand_in_for_closed_streams() -> None:
    """Open what this program was started without; else its own files would get the numbers, and libraries' messages.

    A closed stdout stays one that cannot be written to.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def forget_unsaid() -> None:
    """Throw away what stderr could not take; Python would try once more at exit, and change the exit status."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def say_last(text: str, after_others: bool | None = None) -> None:
    """Say why this process ends; where several do so for one reason, as they mostly do, the main process alone.

    The launcher ends all processes when it sees that one has ended. So the others wait a while for that before they
    speak: if it does not come, the main process knows nothing of their reason, and it must be heard. Where the launcher
    has done so already, while the training went on, nobody waits: it kills what is left soon.

    Args:
        text: why.
        after_others: whether this process waits; None: unless it is the main one.
    """
    is_ended = signal.SIGTERM in received
    if not is_ended and (after_others or (after_others is None and not is_main())):
        before = signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        time.sleep(LAST_WORDS)
        signal.signal(signal.SIGTERM, before)
    say(text if is_main() else f"[rank {os.environ['RANK']}] {text}", everywhere=not (after_others and is_ended))


def take_warnings() -> None:
    """Let the warnings of Python and of libraries come as lines of `say`, one for each, from the main process."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
    ) -> None:
        say(f"warning: {' '.join(str(message).split())} ({Path(filename).name}, line {lineno})")

    class Spoken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(self.format(record))

    warnings.showwarning = show
    logging.lastResort = Spoken(logging.WARNING)  # for all that asks for no handler of its own


def progress(items: Iterable[T], total: int | None, *, desc: str, unit: str, initial: int = 0) -> Iterator[T]:
    """Iterate with a bar on stderr where it is a terminal, else with a plain line every 30 seconds."""
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
    """A text in lines of at most 100 columns, the further ones indented; a word, as a path is, stays in one piece."""
    lines = (
        textwrap.fill(line, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "\n".join(lines)


def some(number: int, thing: str, things: str | None = None) -> str:
    """``1 video``, ``2 videos``: a number with its noun."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def figures(number: float) -> str:
    """A number by its first three digits: ``5.40``, ``0.693``, ``123``; the largest with an exponent: ``1.1e+09``."""
    if abs(number) >= 1e5:
        return f"{number:.3g}"
    return f"{number:.0f}" if abs(number) >= 99.95 else f"{number:#.3g}"


def percent(value: float, short: bool = False) -> str:
    """A percentage with one decimal, a smaller one than 1 by its first two digits: ``73.2``, ``50.0``, ``0.0061``.

    Args:
        value: 0 to 100.
        short: leave out a decimal that is 0: ``50``.
    """
    text = f"{value:.1f}" if value >= 0.995 or value == 0 else f"{value:.2g}"
    return text.removesuffix(".0") if short else text


def signed(difference: float, decimals: int = 1) -> str:
    """A difference with its sign, and without one where there is none to be seen: ``+5.8``, ``-3.0``, ``0.0``.

    Args:
        difference: Of percentages.
        decimals: How many are shown.
    """
    text = f"{difference:+.{decimals}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``42 s``, ``7 min``, ``3 h 20 min``, ``6 d 4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
