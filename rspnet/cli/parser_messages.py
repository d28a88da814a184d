"""The parser's error messages, rewritten to one line: the option's full name first, then what is wrong with it.

jsonargparse does not promise to keep its wording. So all rewriting is in one table, and
tests/cli/test_parser_messages.py provokes each row from the parser itself.
"""

import difflib
import os
import re
from collections.abc import Callable, Sequence

_MISSING = "arguments are required"


def _unaccepted(match: re.Match[str], options: Sequence[str]) -> str:
    return unknown(match[1].split("=")[0], options)


def _unaccepted_in_section(match: re.Match[str], options: Sequence[str]) -> str:
    return unknown(f"{match[1]}.{match[2]}", options)


def _of_another_type(match: re.Match[str], options: Sequence[str]) -> str:
    return f"{match[1]}: expected {_plain(match[2])}, got {match[3] or 'nothing'}"


def _of_no_type(match: re.Match[str], options: Sequence[str]) -> str:
    return f"{match[1]}: expected {_plain(match[2]).replace(', ', ' or ')}, got {match[3] or 'nothing'}"


def _unreadable_section(match: re.Match[str], options: Sequence[str]) -> str:
    if os.path.isdir(match[1]):
        return f"{match[1]} is a folder; name a YAML file of options"
    return f"no such file: {match[1]}" if "Unable to load" in match[2] else f"{match[1]}: {match[2]}"


def _surplus(match: re.Match[str], options: Sequence[str]) -> str:
    if match[1].startswith("-"):
        return _unaccepted(match, options)
    close = difflib.get_close_matches(match[1], options, n=1)
    hint = f"did you mean --{close[0]}?" if close else "a value with spaces needs quotes; see --help"
    return f"{match[1]}: surplus argument; {hint}"


WORDINGS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str]], str]], ...] = (
    (r"Group '([^']+)' does not accept option '([^']+)'", _unaccepted_in_section),
    (r"Option '([^']+)' is not accepted", _unaccepted),
    (r"unrecognized arguments: (\S+)", _surplus),
    (r'Parser key "([^"]+)": Expected an? (.+?)\. Got value: ?(.*)', _of_another_type),
    (r"Unable to load config '([^']+)' - (.*)", _unreadable_section),
    (r'Parser key "([^"]+)": .* Union subtypes Subtypes: \[(.+?)\] Errors: .* value: ?(.*)', _of_no_type),
)
"""Pattern of a message, and a function that returns its replacement; the first pattern that matches counts."""


def one_line(error: Exception, options: Sequence[str]) -> str:
    """Return the parser's error message as one line.

    Args:
        error: the parser's exception.
        options: names of all options, flat, from which corrections of mistyped ones are suggested.
    """
    text = " ".join(str(error).split())
    for pattern, said in WORDINGS:
        if match := re.search(pattern, text):
            return said(match, options)
    return text


def is_missing(error: Exception) -> bool:
    """Whether the error is that a positional argument is missing."""
    return _MISSING in str(error)


def _plain(kind: str) -> str:
    """Return a type in plain words, from the parser's way to write it."""
    kind = re.sub(r"<class '([^']+)'>", r"\1", kind).replace("typing.", "").replace("NoneType", "null")
    kind = re.sub(r"Literal\[(.+)\]", r"one of \1", kind).replace("'", "")
    kind = re.sub(r"\bbool\b", "true or false", kind)
    return re.sub(r"\bstr\b", "a quoted string", kind)


def unknown(name: str, options: Sequence[str]) -> str:
    """Return the error message for an option that does not exist.

    Args:
        name: the option as given, with its dashes if it has any.
        options: as for `one_line`.
    """
    if name.startswith("-") and os.path.lexists(name):
        return f"{name}: begins like an option; to name the file, write ./{name}"
    sections = {option.split(".")[0] for option in options}
    bare = name.lstrip("-").lower()
    close = [option for option in options if option.endswith(f".{bare}")]  # --lr for --optim.lr
    close += difflib.get_close_matches(bare, [*options, *sections, "config"], n=1)
    dashes = "--" if name.startswith("-") else ""
    hint = f"did you mean {dashes}{close[0]}?" if close else "see --help for the options"
    if close and f"{dashes}{close[0]}" == name:  # a positional argument, such as DST
        hint = f"give {close[0].upper()} alone, without {name}"
    return f"{name}: unknown option; {hint}"
