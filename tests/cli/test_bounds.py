"""Numbers that are absurd are refused by the options alone, each by its name and with what it may be."""

import dataclasses
import importlib
import math
import re
import typing

import pytest

from rspnet.cli import bounds
from rspnet.cli.config import parse
from rspnet.errors import ConfigError
from tests.support import REPO

STAGES = sorted(path.stem for path in (REPO / "stages").glob("*.py"))


ABSURD = 10**20


def _numbers(config_class, prefix=""):
    """Each option that is a number: the class that looks at it, its name there and in full, and an absurd value."""
    for item in dataclasses.fields(config_class):
        kinds = {item.type, *typing.get_args(item.type)} - {type(None)}
        if dataclasses.is_dataclass(item.type):
            yield from _numbers(item.type, f"{prefix}{item.name}.")
        elif kinds & {int, float}:
            is_list = typing.get_origin(item.type) is list
            yield config_class, item.name, f"{prefix}{item.name}", [ABSURD] if is_list else ABSURD


def _needed(config_class):
    """A value for each option that must be given."""
    missing = dataclasses.MISSING
    return ["a" for item in dataclasses.fields(config_class) if (item.default, item.default_factory) == (missing,) * 2]


@pytest.mark.parametrize("stage", STAGES)
def test_an_absurd_number_is_refused_in_one_line_that_names_the_bound(stage):
    stage_class = importlib.import_module(f"stages.{stage}").Config
    numbers = list(_numbers(stage_class))
    assert len(numbers) >= 2 or stage in ("convert", "export", "merge", "report", "table"), numbers
    for config_class, short, name, value in numbers:
        for given in (value, [-number for number in value] if isinstance(value, list) else -value):
            with pytest.raises(ConfigError) as caught:
                config_class(*_needed(config_class), **{short: given})
            message = str(caught.value)
            assert message.removeprefix("--").startswith(name), message
            assert "\n" not in message
            assert re.search(r"between|at most|from \d|give", message), message
    for _, _, name, value in numbers[:1]:  # and as it is typed in
        with pytest.raises(ConfigError, match=f"^(--)?{re.escape(name)}"):
            parse(stage_class, [*_needed(stage_class), f"--{name}={value}"])


def test_a_number_on_its_bound_is_taken():
    @dataclasses.dataclass
    class Config:
        count: int | None = 5
        many: list[int] = dataclasses.field(default_factory=lambda: [1, 5])

    @dataclasses.dataclass
    class Part(Config):
        pass

    bounds.within(Config(), 1, 5, "count", "many")
    bounds.positive(Config(), 5, "count")
    bounds.within(Config(None, []), 1, 5, "count", "many")
    bounds.positive(Config(None), 5, "count")
    for value in (0, 6, math.inf, math.nan):
        with pytest.raises(ConfigError, match=rf"^count: {value}; it must be between 1 and 5$"):
            bounds.within(Part(value), 1, 5, "count")
        with pytest.raises(ConfigError, match=rf"^count: {value}; it must be more than 0 and at most 5$"):
            bounds.positive(Config(value), 5, "count")
    with pytest.raises(ConfigError, match=r"^many: \[1, 6\]; it must be between 1 and 5$"):
        bounds.within(Config(many=[1, 6]), 1, 5, "many")
