"""Prepares the arguments of a command line for the parser, by the fields of a stage's `Config`."""

import dataclasses
import json
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rspnet.cli.parser_messages import unknown
from rspnet.errors import ConfigError


def prepared(argv: Sequence[str], config_class: type) -> list[str]:
    """Return the arguments as the parser wants them: switches with a value, and positional lists as one argument.

    Args:
        argv: arguments without the program's name.
        config_class: a stage's dataclass.

    Raises:
        ConfigError: an argument begins with a single dash, names a file that begins like an option, or is not UTF-8.
    """
    _check_text(argv)
    return _gathered(_spelled_out(argv, config_class), config_class)


def _check_text(argv: Sequence[str]) -> None:
    """Check that the arguments and the current folder are UTF-8, because they are written to files as UTF-8."""
    here = list[str]()
    with suppress(OSError):  # the folder has been removed: reported if it is needed
        here.append(os.getcwd())
    for text in (*argv, *here):
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            what = "the folder that you are in" if text in here else "it"
            raise ConfigError(f"{shown}: is not UTF-8; rename {what}") from None


def required(config_class: type) -> "list[dataclasses.Field[Any]]":
    """Return the fields without a default, which are positional arguments."""
    return [
        field
        for field in dataclasses.fields(config_class)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def positionals(config_class: type) -> list[str]:
    """Return the names of the positional arguments, as the usage line shows them."""
    return [field.name.upper() + "..." * (field.type == list[str]) for field in required(config_class)]


def kinds(config_class: type, prefix: str = "") -> dict[str, object]:
    """Return the type of each option by its flat name."""
    found: dict[str, object] = {}
    for field in dataclasses.fields(config_class):
        name = f"{prefix}{field.name}"
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            found |= kinds(field.type, f"{name}.")
        else:
            found[name] = field.type
    return found


def _spelled_out(argv: Sequence[str], config_class: type) -> list[str]:
    """Give a stage's own switches their value: ``--flag`` and ``--flag True`` both become ``--flag=true``.

    If no positional argument is missing, any word after a switch is its value, so that a wrong value is refused as one.
    """
    switches = {f"--{field.name}" for field in dataclasses.fields(config_class) if field.type in (bool, "bool")}
    missing = len(positionals(config_class))
    names = list(kinds(config_class))
    left, spelled = deque(argv), list[str]()
    while left:
        word = left.popleft()
        if word == "--":  # all that follows are words, whatever they begin with
            return [*spelled, word, *left]
        after = left[0] if left else "--"
        if word in switches:
            truth = after.lower() in ("true", "false")
            value = left.popleft() if truth or (missing <= 0 and not after.startswith("-")) else "true"
            spelled.append(f"{word}={value.lower() if truth else value}")
            continue
        if word.startswith("-") and _is_no_option(word, names):
            raise ConfigError(unknown(word, names))
        spelled.append(word)
        if word.startswith("--") and "=" not in word and left:  # all options but switches have one value
            if after not in switches:
                spelled.append(left.popleft())
        elif not word.startswith("-") or word == "-":
            missing -= 1
    return spelled


def _is_no_option(word: str, names: Sequence[str]) -> bool:
    """Whether a word has one dash too few, or names a file that begins like an option."""
    if not word.startswith("--"):
        return word not in ("-", "-h")
    return word.removeprefix("--") not in names and os.path.lexists(word)


def _gathered(argv: list[str], config_class: type) -> list[str]:
    """Join the positional arguments into a single list, if the stage takes any number of them."""
    if not any(field.type == list[str] for field in required(config_class)):
        return argv
    left, options, words = deque(argv), list[str](), list[str]()
    while left:
        word = left.popleft()
        if word == "--":
            words += left
            break
        is_option = word.startswith("-") and word != "-"
        (options if is_option else words).append(word)
        if is_option and "=" not in word and word not in ("-h", "--help") and left:
            options.append(left.popleft())
    return [*([json.dumps(words)] if words else []), *options]
