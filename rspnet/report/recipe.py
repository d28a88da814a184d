"""How a run's options differ from the recipe that its command named, or from its stage's defaults if it named none."""

import dataclasses
import importlib.util
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rspnet.cli import shipped
from rspnet.report.record import Record
from rspnet.running.record import flat, read_options
from rspnet.terminal import visible

_OWN = ("run_dir", "estimate")
_REMEDY = "install rspnet again"
ABSENT = "—"
"""Shown for an option that one of the sides does not have, as in a run of another version."""


@dataclass(frozen=True)
class Changes:
    """How a run's options differ from those of a recipe or the defaults.

    Attributes:
        against: What they are compared with, in words.
        rows: Name of an option, its value there, and its value in the run; as text.
    """

    against: str
    rows: list[tuple[str, str, str]]


def changes(record: Record) -> Changes | None:
    """Return how a run's options differ; None if its stage or its options are not known."""
    if record.stage not in shipped.stages() or not record.config:
        return None
    base, recipes, own = defaults(record.stage), list[str](), False
    for named in _configs(record.environment.get("command")):
        path = _shipped(named)
        own = own or path is None
        if path is not None:
            recipes.append(path.relative_to(shipped.home("configs")).as_posix())
            base |= {name: value for name, value in _options(path).items() if name in base}
    against = f"the recipe {' and '.join(recipes)}" if recipes else "the defaults"
    if own:
        against += "; its command also named a file that does not come with rspnet"
    return Changes(against, differing(base, flat(record.config)))


def differing(there: dict[str, Any], here: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the options that differ, by name, each with its value there and here."""
    names = sorted(name for name in there.keys() | here.keys() if name not in _OWN)
    pairs = [(name, *(shown(of[name]) if name in of else ABSENT for of in (there, here))) for name in names]
    return [(name, then, now) for name, then, now in pairs if then != now]


def shown(value: object) -> str:
    """Return the value of an option as text, as on the command line."""
    if value is None:
        return "none"
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def defaults(stage: str) -> dict[str, Any]:
    """Return the default options of a stage, by their flat names."""
    spec = importlib.util.spec_from_file_location(f"rspnet_options_of_{stage}", shipped.stages()[stage])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return flat(dataclasses.asdict(module.Config()))


def _configs(command: object) -> list[str]:
    """Return the files that a command named by --config, in its order: later ones win."""
    words = [word for word in command if isinstance(word, str)] if isinstance(command, list) else []
    return [
        after if word == "--config" else word.removeprefix("--config=")
        for word, after in pairwise([*words, ""])
        if word.startswith("--config=") or (word == "--config" and after)
    ]


def _shipped(named: str) -> Path | None:
    """Return the path of a recipe that comes with rspnet; None if the name is of another file."""
    home = shipped.home("configs")
    if Path(named).is_relative_to(home):
        return Path(named) if Path(named).is_file() else None
    found = shipped.find(named)
    return found if found is not None and found.is_relative_to(home) else None


def _options(path: Path) -> dict[str, Any]:
    """Return a recipe's options by their flat names, including those of the files that it names for its sections."""
    options = read_options(path, _REMEDY)
    inner = {
        section: read_options(path.parent / value, _REMEDY)
        for section, value in options.items()
        if isinstance(value, str) and value.endswith(".yaml")
    }
    return flat(options | inner)
