"""What a program writes to stdout: lines of JSON, for a reader who may leave or onto a disk that may be full."""

import json
import os
import sys

from rspnet.disk import refusal
from rspnet.terminal import visible_json


def print_line(text: str) -> None:
    """Print a line of JSON on stdout, at once.

    Raises:
        DiskError: stdout is a file, and its disk is full.
        BrokenPipeError: the reader has left.
    """
    if sys.stdout is None:  # closed by who started this: there is nobody who wants it
        return
    try:
        print(visible_json(text) if sys.stdout.isatty() else text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise refusal("standard output", error) from None


def print_json(value: object) -> None:
    """Print a value as a line of JSON; see `print_line`. Names stay as people write them, where stdout is UTF-8."""
    encoding = "" if sys.stdout is None else (sys.stdout.encoding or "").lower()
    print_line(json.dumps(value, ensure_ascii=encoding not in ("utf-8", "utf8")))


def forget_stdout() -> None:
    """Throw away what stdout could not take; Python would try once more at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
