"""The layout of a stage's `--help`: readable texts and options, in the width of the terminal."""

import argparse
import shutil
import textwrap
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, get_args, get_origin

from jsonargparse import DefaultHelpFormatter

from rspnet.console import as_typed

WIDTH = 100
"""Most columns: longer lines are hard to read."""
_VALUES: dict[object, str] = {int: "INT", float: "NUMBER", bool: "[true|false]"}


class HelpFormatter(DefaultHelpFormatter):
    """Wraps a stage's docstring except indented parts (commands, tables), and shows each option's type briefly."""

    def __init__(self, prog: str, **settings: Any) -> None:
        width = min(shutil.get_terminal_size().columns - 2, WIDTH)
        super().__init__(prog, **settings | {"width": width})  # type: ignore[no-untyped-call]  # jsonargparse's

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap = partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
        parts = as_typed(text.strip()).split("\n\n")
        return "\n\n".join(part if part.startswith(" ") else wrap(part) for part in parts)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return action.dest.upper()
        names = ", ".join(name for name in action.option_strings if not name.endswith("+"))  # what appends to a list
        return f"{names} {action.metavar}" if action.metavar else names

    def _expand_help(self, action: argparse.Action) -> str:
        text = as_typed(" ".join((action.help or "").split()))
        told = action.option_strings and action.default != argparse.SUPPRESS
        return f"{text} (default: {_plain(action.default)})" if told else text


def describe(parser: argparse.ArgumentParser, kinds: Mapping[str, object]) -> None:
    """Set the placeholder of every option's value, and the help of the options that take a section's file.

    Args:
        parser: a stage's parser.
        kinds: each option's type by its flat name.
    """
    for action in parser._actions:
        if action.dest == "help":
            action.help = "Show this help and exit."
        elif action.dest in kinds:
            action.metavar = value_of(kinds[action.dest]) or action.dest.rpartition(".")[2].upper()
        elif any(name.startswith(f"{action.dest}.") for name in kinds):
            action.metavar, action.help = "FILE", "YAML file with options of this section."


def value_of(kind: object) -> str:
    """Return the placeholder of a value: ``INT``, ``{a,b}``, ``[INT,...]``; empty if the option's name serves."""
    inner = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return f"{{{','.join(inner)}}}"
    if get_origin(kind) is list:
        return f"[{value_of(inner[0]) or 'NAME'},...]"
    return value_of(inner[0]) if inner else _VALUES.get(kind, "")


def _plain(default: object) -> str:
    named = {None: "null", True: "true", False: "false"}
    if default is None or isinstance(default, bool):
        return named[default]
    return f"{default:g}" if isinstance(default, float) else str(default)
