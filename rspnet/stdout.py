"""Print lines of JSON to stdout, whose reader may close the pipe, and which may be a file on a full disk."""

import json
import os
import sys

from rspnet.disk import refusal
from rspnet.terminal import visible_json


def print_line(text: str) -> None:
    """Print a line of JSON to stdout, and flush it.

    Raises:
        DiskError: stdout is a file, and its disk is full, read-only or broken.
        MachineError, ConfigError: it cannot be written for another reason; see `rspnet.disk.refusal`.
        BrokenPipeError: the reader has closed the pipe.
    """
    if sys.stdout is None:  # the program was started with stdout closed
        return
    try:
        print(visible_json(text) if sys.stdout.isatty() else text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise refusal("standard output", error) from None


def print_json(value: object) -> None:
    """Print a value as a line of JSON; see `print_line`. Non-ASCII characters are escaped unless stdout is UTF-8."""
    encoding = "" if sys.stdout is None else (sys.stdout.encoding or "").lower()
    print_line(json.dumps(value, ensure_ascii=encoding not in ("utf-8", "utf8")))


def forget_stdout() -> None:
    """Discard what could not be written to stdout; Python would try again at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
