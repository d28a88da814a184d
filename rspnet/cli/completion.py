"""Shell completion: ``rspnet pre<TAB>``, ``rspnet pretrain --opt<TAB>``.

Done by argcomplete, which is optional. The shell starts ``rspnet`` without arguments, and passes the line in
environment variables. Answering ends the process before any work: stages import slow packages after their options.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from types import NoneType
from typing import Literal, NoReturn, Protocol, get_args, get_origin

from rspnet.cli import shipped

_WORDS = "_ARGCOMPLETE"
"""Environment variable with the number of words that name the program: `rspnet`, or `python -m rspnet`."""


class _Completer(Protocol):
    def __call__(self, prefix: str, **asked: object) -> list[str]: ...


def is_asked_for() -> bool:
    """Whether a shell asks for completions, and argcomplete is installed to answer."""
    return _WORDS in os.environ and find_spec("argcomplete") is not None


def stage_named() -> str | None:
    """Return the stage on the line, and count it as part of the program's name; None if it is still being typed."""
    from argcomplete.lexers import split_line

    words: list[str] = split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))[3]
    before = int(os.environ[_WORDS])
    if len(words) <= before or words[before] == "--path":
        return None
    os.environ[_WORDS] = str(before + 1)
    return words[before]


def answer_without_stage() -> NoReturn:
    """Answer with the stages, and the other arguments of `rspnet`."""
    import argcomplete

    parser = argparse.ArgumentParser(prog="rspnet", allow_abbrev=False)
    parser.add_argument("stage", choices=[*shipped.stages()])
    parser.add_argument("--version", action="store_true")
    _tell(parser.add_argument("--path"), _one_of(shipped.names(*shipped.FOLDERS)))
    argcomplete.autocomplete(parser, always_complete_options=False)
    raise SystemExit(0)


def answer(parser: argparse.ArgumentParser, kinds: Mapping[str, object]) -> NoReturn:
    """Answer with a stage's options, or with the values of one.

    Args:
        parser: the stage's parser, of jsonargparse.
        kinds: each option's type by its flat name.
    """
    recipes = shipped.names("configs")
    for action in parser._actions:
        kind = kinds.get(action.dest)
        if action.dest == "config":
            _tell(action, _files_or(recipes))
        elif kind is not None:
            _tell(action, _files_or([]) if str in (kind, *get_args(kind)) else _one_of(_choices(kind)))
        elif any(name.startswith(f"{action.dest}.") for name in kinds):
            _tell(action, _files_or([name for name in recipes if name.startswith(f"{action.dest}/")]))
        if get_origin(kind) is list and not action.option_strings:
            action.nargs = "*"
        action.option_strings = [name for name in action.option_strings if not name.endswith("+")]  # as in its help
    parser.parse_args([])  # jsonargparse calls argcomplete here
    raise SystemExit(0)


def _choices(kind: object) -> list[str]:
    """Return the values of a type if they can be listed, else an empty list."""
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if kind in (bool, NoneType):
        return ["true", "false"] if kind is bool else ["null"]
    return [] if get_origin(kind) is list else [choice for part in get_args(kind) for choice in _choices(part)]


def _one_of(names: Iterable[str]) -> _Completer:
    return lambda prefix, **asked: [*names]


def _files_or(names: Iterable[str]) -> _Completer:
    from argcomplete.completers import FilesCompleter

    return lambda prefix, **asked: [*FilesCompleter()(prefix, **asked), *names]


def _tell(action: argparse.Action, completer: _Completer) -> None:
    action.completer = completer  # type: ignore[attr-defined]  # argcomplete looks for it there
