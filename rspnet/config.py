"""Command line and YAML -> a stage's typed `Config`, and the frame every stage runs in.

A stage's ``Config`` is a dataclass: fields without a default are positional arguments, the others are options, nested
dataclasses are sections (``--data.root``). ``--config FILE`` reads any of them from YAML, also a recipe that comes with
rspnet by its name (``c3d.yaml``); a section may name a file of its own (``data: data/ucf101.yaml``, relative to the
file that names it); the command line wins. What is not declared, of the wrong type, missing or given twice is refused
in one line.

A config class may say more about its options:

- ``unused``: sections that its files hold for another stage's sake; they are passed over.
- ``private``: options of its own that such a file has with another meaning (its ``run_dir``); passed over there too.
- ``refused``: section -> why a file that has it is no use here.
- ``implied``: a function from all options to defaults for some of them, flat; files and command line win over these.
"""

import argparse
import dataclasses
import difflib
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import yaml
from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, set_loader, set_parsing_settings

from rspnet import shipped
from rspnet.disk import FAULTS, forget_stdout, is_there, quieten_threads, reading, refusal
from rspnet.errors import ConfigError, RSPNetError
from rspnet.runlog import say, say_last, take_warnings

T = TypeVar("T")


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a repeated key, and reads ``1e-3`` as the number it is in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise yaml.YAMLError(f"line {line}: key {key!r} is no name of an option")
            if key in seen:
                raise yaml.YAMLError(f"line {line}: key '{key}' is given twice; keep one")
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts text that `_StrictLoader` would take for a number in quotes."""


_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
for _kind in (_StrictLoader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_yaml(text: str) -> Any:
    """Parse YAML text strictly (see `_StrictLoader`)."""
    return yaml.load(text, Loader=_StrictLoader)


set_loader("strict_yaml", read_yaml, exceptions=(yaml.YAMLError,))
set_parsing_settings(docstring_parse_attribute_docstrings=True)


def parse(config_class: type[T], argv: Sequence[str] | None = None) -> T:
    """Build `config_class` from command-line arguments.

    Args:
        config_class: a stage's dataclass; the text under each field is its help, the module's docstring the page's.
        argv: arguments without the program's name; those of this process when None.

    Raises:
        ConfigError: an unknown option, a wrong type, a missing or repeated key; the message is one line.
        SystemExit: after ``--help``.
    """
    argv = _spelled_out(list(sys.argv[1:] if argv is None else argv), config_class)
    parser = _parser(config_class)
    try:
        layers = [_read_file(parser, _found(path), config_class) for path in _config_files(argv)]
        config, namespace = _resolve(parser, argv, layers, config_class)
        if hasattr(config_class, "implied"):  # asked when all else is known to be right: it may have to load things
            layers.insert(0, config_class.implied(namespace))
            config, _ = _resolve(parser, argv, layers, config_class)
    except (ArgumentError, argparse.ArgumentError, TypeError) as error:
        raise ConfigError(_one_line(error, parser)) from None
    return config


def _resolve(
    parser: ArgumentParser, argv: Sequence[str], layers: Sequence[dict[str, Any]], config_class: type[T]
) -> tuple[T, Any]:
    """Return the config, and the same with each option by its flat name; a later layer wins, then the command line."""
    for layer in layers:
        parser.set_defaults(layer)
    namespace = parser.parse_args(argv)
    namespace.pop("config", None)
    return config_class(**vars(parser.instantiate(namespace))), namespace


def dump(config: Any) -> str:
    """The resolved config as YAML that ``--config`` takes back."""
    return yaml.dump(dataclasses.asdict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def run(main: Callable[[Any], Any], config_class: type) -> NoReturn:
    """Run a stage as a program: parse, call ``main(config)``, exit.

    Exit status: 0 done, 1 the work failed (one line where a disk or the loss is to blame, else a traceback; or main
    returned a non-zero ``exit_status``), 2 the command, config or data is wrong (one line), 130 interrupted, 141 the
    reader of stdout left early (``verify ROOT | head``, quiet as any Unix filter).
    """
    _leave_the_stages_folder(main)
    # On a CPU, torch's threads would spin while they wait and starve the decoding processes (measured: a training step
    # ten times slower with both cores of a small machine busy). Read when torch is loaded, hence here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    take_warnings()
    quieten_threads()
    before = signal.signal(signal.SIGTERM, _terminate)  # a scheduler's word ends a stage as Ctrl-C does
    try:
        status = _status(main, config_class)
    except KeyboardInterrupt:  # once more, in the middle of saying why it ends
        status = 130
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(status)


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM came."""


def _terminate(*_: Any) -> NoReturn:
    raise _TerminatedError


def _status(main: Callable[[Any], Any], config_class: type) -> int:
    """Parse, call main, and say what went wrong; the exit status."""
    stage = Path(sys.argv[0]).name
    config = None
    try:
        config = parse(config_class)
        result = main(config)
        status = result.get("exit_status", 0) if isinstance(result, dict) else 0
    except RSPNetError as error:
        say_last(f"{stage}: {error}")
        status = error.exit_status
    except KeyboardInterrupt as error:  # all processes of a run have agreed on it
        # A launcher ends so what is left when one process has ended, which has said why.
        if not isinstance(error, _TerminatedError) or os.environ.get("WORLD_SIZE", "1") == "1":
            say(f"{stage}: interrupted{f'; {error}' if str(error) else ''}")
        status = 130
    except FloatingPointError as error:
        say_last(f"{stage}: {error}")
        status = 1
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            forget_stdout()
            sys.exit(141)
        if isinstance(error, OSError) and error.errno in FAULTS:  # wherever a library wrote
            say_last(f"{stage}: {refusal(error.filename or _folder(config), error)}")
        elif _other_process_left(error):
            say_last(f"{stage}: another process of this run has ended; what it said is the reason", after_others=True)
        else:
            say(traceback.format_exc().rstrip(), everywhere=True)
        status = 1
    return status


def _leave_the_stages_folder(main: Callable[[Any], Any]) -> None:
    """Take the folder of the stage that was started off Python's search path, before anything is found there.

    ``python stages/X.py`` puts it first, and ``import evaluate`` would find the stage of that name instead of the
    package. No stage imports another, so the folder has no business there, in whatever checkout it lies.
    """
    stage = main.__globals__.get("__file__")  # none if it was typed in
    if stage and main.__module__ == "__main__":  # a program, under a profiler or a debugger too
        folder = os.path.dirname(os.path.realpath(stage))
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != folder]
        beside, used = os.path.join(os.path.dirname(folder), "rspnet"), os.path.dirname(os.path.realpath(__file__))
        if os.path.isdir(beside) and beside != used:
            say(
                f"warning: {stage} works with the rspnet in {used}, not with the one beside it; set "
                f"PYTHONPATH={os.path.dirname(beside)} to have that one"
            )


def _other_process_left(error: Exception) -> bool:
    """Whether it is what torch raises where a process waits for another that is gone."""
    lost = r"Connection (closed by peer|reset by peer|refused)|NCCL|Socket Timeout|recvValue failed"
    return os.environ.get("WORLD_SIZE", "1") != "1" and re.search(lost, str(error)) is not None


def _folder(config: Any) -> str:
    """Where a stage writes, as far as it says so."""
    return next((value for name in ("run_dir", "dst", "out") if (value := getattr(config, name, None))), "a file")


def _reader_left() -> bool:
    """Whether the broken pipe is stdout's, not one to a worker process."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Leaves the stage's docstring as it is written."""


def _positionals(config_class: type) -> list[str]:
    return [
        field.name.upper()
        for field in dataclasses.fields(config_class)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def _parser(config_class: type) -> ArgumentParser:
    parser = ArgumentParser(
        prog=Path(sys.argv[0]).name,
        usage=" ".join(
            ["%(prog)s", *map(str.upper, _positionals(config_class)), "[--config FILE] [--option VALUE ...]"]
        ),
        description=sys.modules[config_class.__module__].__doc__,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        parser_mode="strict_yaml",
    )
    parser.add_argument("--config", action="append", type=str, help="YAML file with any of the options below")
    parser.add_class_arguments(config_class, as_positional=True, sub_configs=True)
    return parser


def _spelled_out(argv: list[str], config_class: type) -> list[str]:
    """``--flag`` alone as ``--flag=true``, for a stage's own switches."""
    switches = {f"--{field.name}" for field in dataclasses.fields(config_class) if field.type in (bool, "bool")}
    following = [*argv[1:], "--"]
    return [
        f"{item}=true" if item in switches and after not in ("true", "false") else item
        for item, after in zip(argv, following)
    ]


def _config_files(argv: Sequence[str]) -> list[str]:
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", action="append", default=[])
    return finder.parse_known_args(argv)[0].config


def _found(path: str) -> str:
    """The user's own file, else the one of that name which comes with rspnet."""
    if is_there(path):
        return path
    shipped_one = shipped.find(path) if path.endswith(".yaml") else None
    if shipped_one is None:
        close = shipped.close_to(path, "configs")
        raise ConfigError(f"--config: no such file: {path}{f'; did you mean {close}?' if close else ''}")
    say(f"--config {path}: the one that comes with rspnet, {shipped_one}")
    return str(shipped_one)


def _read_file(parser: ArgumentParser, path: str, config_class: type) -> dict[str, Any]:
    """Options from one config file and the section files it names, flat (``data.root``), each checked."""
    sections = {name.split(".")[0] for name in _options(parser) if "." in name}
    not_null = _not_null(config_class)
    content = _read_mapping(path, "--config")
    unused, refused = getattr(config_class, "unused", ()), getattr(config_class, "refused", {})
    if any(key in content for key in unused):
        unused = (*unused, *getattr(config_class, "private", ()))
    options = {}
    for key, value in content.items():
        if key in refused:
            raise ConfigError(f"{path}: {key}: {refused[key]}")
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
            if "arguments are required" not in str(error):  # those come from the command line
                raise ConfigError(f"{source}: {_one_line(error, parser)}") from None
        flat = {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {key: value}
        for name in flat:
            if flat[name] is None and name in not_null:
                raise ConfigError(f"{source}: {name}: needs a value; leave the key out for the default")
        options |= flat
    return options


def _not_null(config_class: type, prefix: str = "") -> set[str]:
    """Options whose type leaves no room for null, which the parser lets pass all the same."""
    names = set()
    for field in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(field.type):
            names |= _not_null(field.type, f"{prefix}{field.name}.")
        elif type(None) not in get_args(field.type):
            names.add(f"{prefix}{field.name}")
    return names


def _read_mapping(path: str, named_by: str) -> dict[str, Any]:
    if not is_there(path) or not os.path.isfile(path):
        raise ConfigError(f"{named_by}: no such file: {path}")
    try:
        with reading(path):
            text = Path(path).read_text()
        content = read_yaml(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else repr(content)[:60]
        raise ConfigError(f"{path}: expected options as `name: value`, found {found}")
    return content


def _one_line(error: Exception, parser: ArgumentParser) -> str:
    """The parser's message with the full name of the option first, and the likely name of a mistyped one."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    if match := re.search(r"Group '([^']+)' does not accept option '([^']+)'", text):
        return _unknown(f"{match[1]}.{match[2]}", parser)
    if match := re.search(r"Option '([^']+)' is not accepted", text):
        return _unknown(match[1], parser)
    if match := re.search(r"unrecognized arguments: (\S+)", text):
        return _unknown(match[1].split("=")[0], parser)
    if match := re.search(r'Parser key "([^"]+)": Expected an? (.+?)\. Got value: (.*)', text):
        return f"{match[1]}: expected {_plain(match[2])}, got {match[3]}"
    if match := re.search(r"Unable to load config '([^']+)' - (.*)", text):
        return f"no such file: {match[1]}" if "Unable to load" in match[2] else f"{match[1]}: {match[2]}"
    if match := re.search(r'Parser key "([^"]+)": .* Union subtypes Subtypes: \[(.+?)\] Errors: .* value: (.*)', text):
        return f"{match[1]}: expected {_plain(match[2]).replace(', ', ' or ')}, got {match[3]}"
    return re.sub(r'Parser key "([^"]+)":', r"\1:", text)


def _plain(kind: str) -> str:
    """The parser's way to write a type, as a person would."""
    kind = re.sub(r"<class '([^']+)'>", r"\1", kind).replace("typing.", "").replace("NoneType", "null")
    kind = re.sub(r"Literal\[(.+)\]", r"one of \1", kind).replace("'", "")
    return re.sub(r"\bstr\b", "a quoted string", kind)


def _options(parser: ArgumentParser) -> list[str]:
    return [action.dest for action in parser._actions if action.dest not in ("help", "config", "print_config")]


def _unknown(name: str, parser: ArgumentParser) -> str:
    options = _options(parser)
    sections = {option.split(".")[0] for option in options}
    close = difflib.get_close_matches(name.lstrip("-"), [*options, *sections, "config"], n=1)
    dashes = "--" if name.startswith("--") else ""
    hint = f"did you mean {dashes}{close[0]}?" if close else "see --help for the options"
    return f"{name}: unknown option; {hint}"
