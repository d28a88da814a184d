"""Command line and YAML -> a stage's typed `Config`, and back to YAML.

A stage's ``Config`` is a dataclass: fields without a default are positional arguments (a list of texts takes any number
of words), the others are options, nested dataclasses are sections (``--data.root``). ``--config FILE`` reads any of
them from YAML, also a recipe that comes with rspnet by its name (``c3d.yaml``); a section may name a file of its own
(``data: data/ucf101.yaml``, relative to the file that names it); the command line wins. What is not declared, of the
wrong type, missing or given twice is refused in one line.

A config class may have further attributes on its options:

- ``unused``: sections of config files that belong to other stages; they are ignored.
- ``private``: options of its own that mean something else in a file with such sections (``run_dir``); ignored there.
- ``refused``: section or option -> why a file that contains it is refused.
- ``implied``: a function from all options to defaults for some of them, flat; files and command line win over these.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_loader, set_parsing_settings

from rspnet.cli import completion, shipped
from rspnet.cli.helptext import HelpFormatter, describe
from rspnet.cli.parser_messages import is_missing, one_line
from rspnet.cli.strict_yaml import read_yaml, write_yaml
from rspnet.cli.words import kinds, positionals, prepared
from rspnet.console import program, say
from rspnet.disk import is_there, reading
from rspnet.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from rspnet.cli.implied import Options

T = TypeVar("T")

_CONFIG = (
    "YAML file with any of the options below: your own, or one that comes with rspnet, by its name. May be given more "
    "than once: later ones win over earlier ones, the command line over all."
)


set_loader("strict_yaml", read_yaml, exceptions=(yaml.YAMLError,))
set_parsing_settings(docstring_parse_attribute_docstrings=True)


def parse(config_class: type[T], argv: Sequence[str] | None = None) -> T:
    """Build `config_class` from command-line arguments.

    Args:
        config_class: a stage's dataclass; the docstring of each field is its help, that of the module the description.
        argv: arguments without the program's name; None for those of this process.

    Raises:
        ConfigError: an unknown option, a wrong type, a missing or repeated key; the message is one line.
        SystemExit: after ``--help``.
    """
    argv = prepared(sys.argv[1:] if argv is None else argv, config_class)
    argv = _sections_found(argv, config_class)
    parser = _parser(config_class)
    if completion.is_asked_for():
        completion.answer(parser, kinds(config_class))
    try:
        layers = [_read_file(parser, _found(path), config_class) for path in _config_files(argv)]
        config, namespace = _resolve(parser, argv, layers, config_class=config_class)
        implied: Callable[[Options], dict[str, Any]] | None = getattr(config_class, "implied", None)
        if implied is not None:  # called when all else is known to be right, because it may have to load files
            layers.insert(0, implied(namespace))
            config, _ = _resolve(parser, argv, layers, config_class=config_class)
    except (ArgumentError, argparse.ArgumentError, TypeError) as error:
        raise ConfigError(one_line(error, _options(parser))) from None
    return config


def _resolve(
    parser: ArgumentParser, argv: Sequence[str], layers: Sequence[dict[str, Any]], *, config_class: type[T]
) -> tuple[T, Namespace]:
    """Return the config, and all options by their flat names; later layers win, and the command line over all."""
    for layer in layers:
        parser.set_defaults(layer)
    namespace = parser.parse_args(argv)
    namespace.pop("config", None)
    for name, value in list(namespace.items()):
        if isinstance(value, str) and value.startswith("~/"):  # from a file, or --run_dir=~/runs, which shells leave
            namespace[name] = os.path.expanduser(value)
        if value == "" or (isinstance(value, list) and "" in value):  # as of "$DATA", which the shell does not know
            raise ConfigError(f"{name}: is empty; give a value, or leave it out")
    return config_class(**vars(parser.instantiate(namespace))), namespace


def dump(config: "DataclassInstance") -> str:
    """Return the resolved config as YAML that ``--config`` can read."""
    return write_yaml(dataclasses.asdict(config))


def _parser(config_class: type) -> ArgumentParser:
    parser = ArgumentParser(
        prog=program(),
        usage=" ".join(["%(prog)s", *positionals(config_class), "[--config FILE] [--option VALUE ...]"]),
        description=sys.modules[config_class.__module__].__doc__,
        formatter_class=HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        parser_mode="strict_yaml",
    )
    parser.add_argument("--config", action="append", type=str, metavar="FILE", help=_CONFIG, default=argparse.SUPPRESS)
    parser.add_class_arguments(config_class, as_positional=True, sub_configs=True)
    describe(parser, kinds(config_class))
    return parser


def _config_files(argv: Sequence[str]) -> list[str]:
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", action="append", default=[])
    found: list[str] = finder.parse_known_args(argv)[0].config
    return found


def _found(path: str) -> str:
    """Return the user's own file, else the one of that name that comes with rspnet.

    Raises:
        ConfigError: there is neither.
    """
    if is_there(path):
        return path
    shipped_one = shipped.find(path) if path.endswith(".yaml") else None
    if shipped_one is None:
        close = shipped.close_to(path, "configs")
        raise ConfigError(f"--config: no such file: {path}{f'; did you mean {close}?' if close else ''}")
    say(f"--config {path}: the one that comes with rspnet, {shipped_one}")
    return str(shipped_one)


def _sections_found(argv: list[str], config_class: type) -> list[str]:
    """Replace names such as ``--data data/ucf101.yaml`` by the file that comes with rspnet, if the user has none."""
    sections = {f"--{field.name}" for field in dataclasses.fields(config_class) if dataclasses.is_dataclass(field.type)}
    found = []
    for before, item in zip(["", *argv], argv):
        option, given, path = item.partition("=")
        name = path if given and option in sections else item if before in sections else ""
        inside = shipped.find(name) if name.endswith(".yaml") and not is_there(name) else None
        if inside is not None:
            say(f"{option if given else before} {name}: the one that comes with rspnet, {inside}")
        found.append(item if inside is None else f"{option}={inside}" if given else str(inside))
    return found


def _read_file(parser: ArgumentParser, path: str, config_class: type) -> dict[str, Any]:
    """Return the checked options of a config file and the section files that it names, flat (``data.root``)."""
    sections = {name.split(".")[0] for name in _options(parser) if "." in name}
    # Options that cannot be null; the parser does not check this.
    not_null = {name for name, kind in kinds(config_class).items() if type(None) not in get_args(kind)}
    content = _read_mapping(path, "--config")
    unused, refused = getattr(config_class, "unused", ()), getattr(config_class, "refused", {})
    if any(key in content for key in unused):
        unused = (*unused, *getattr(config_class, "private", ()))
    inner = {f"{key}.{name}" for key, value in content.items() if isinstance(value, dict) for name in value}
    for name in refused:
        if name in content or name in inner:
            raise ConfigError(f"{path}: {name}: {refused[name]}")
    options: dict[str, Any] = {}
    for key, value in content.items():
        if key in unused:
            continue
        source = path
        if key in sections and isinstance(value, str):
            source = str(Path(path).parent / value)
            value = _read_mapping(source, f"{path}: {key}")
        if key in sections and not isinstance(value, dict):
            raise ConfigError(f"{path}: {key}: expected its options as `name: value`, or a file of them, got {value!r}")
        if key == "config":
            raise ConfigError(f"{path}: config: a file cannot name another; give --config twice, the later one wins")
        try:
            parser.parse_object({key: value})
        except (ArgumentError, TypeError) as error:
            if not is_missing(error):  # those come from the command line
                raise ConfigError(f"{source}: {one_line(error, _options(parser))}") from None
        flat = {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {key: value}
        for name in flat:
            if name in options:
                raise ConfigError(f"{source}: {name} is given twice, alone and in its section; keep one")
            if flat[name] is None and name in not_null:
                raise ConfigError(f"{source}: {name}: needs a value; leave the key out for the default")
        options |= flat
    return options


def _read_mapping(path: str, named_by: str) -> dict[str, Any]:
    if is_there(path) and os.path.isdir(path):
        raise ConfigError(f"{named_by}: {path} is a folder; name a YAML file of options")
    if not is_there(path) or not os.path.isfile(path):
        raise ConfigError(f"{named_by}: no such file: {path}")
    try:
        with reading(path):
            text = Path(path).read_text(encoding="utf-8")
        content = read_yaml(text)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else repr(content)[:60]
        raise ConfigError(f"{path}: expected options as `name: value`, found {found}")
    return content


def _options(parser: ArgumentParser) -> list[str]:
    return [action.dest for action in parser._actions if action.dest not in ("help", "config", "print_config")]
