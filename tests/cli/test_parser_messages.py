"""Each wording of the parser that is put into words of ours, provoked from the parser itself."""

import argparse
import re
from dataclasses import dataclass, field
from typing import Literal

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from rspnet.cli.parser_messages import WORDINGS, is_missing, one_line


@dataclass
class Section:
    """A section."""

    number: int = 1
    kind: Literal["a", "b"] = "a"
    place: str | None = None


@dataclass
class Options:
    """Options."""

    source: str
    section: Section = field(default_factory=Section)


def error(argv=None, content=None):
    """What the parser raises for a command line, or for the content of a file."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Options, as_positional=True, sub_configs=True)
    with pytest.raises((ArgumentError, argparse.ArgumentError, TypeError)) as caught:
        parser.parse_args(argv) if argv else parser.parse_object(content)
    return caught.value


OPTIONS = ["source", "section.number", "section.kind", "section.place"]


@pytest.mark.parametrize(
    ("row", "argv", "content", "said"),
    [
        (0, None, {"section": {"numbr": 1}}, "section.numbr: unknown option; did you mean section.number?"),
        (1, None, {"sektion": 3}, "sektion: unknown option; did you mean section?"),
        (1, None, {"sektion.kind": "a"}, "sektion.kind: unknown option; did you mean section.kind?"),
        (2, ["x", "--section.kin=a"], None, "--section.kin: unknown option; did you mean --section.kind?"),
        (2, ["x", "--source=y"], None, "--source: unknown option; give SOURCE alone, without --source"),
        (2, ["x", "y"], None, "y: surplus argument; "),
        (3, ["x", "--section.kind=c"], None, "section.kind: expected one of a, b, got c"),
        (3, None, {"section": {"number": 1.5}}, "section.number: expected int, got 1.5"),
        (4, ["x", "--section", "none.yaml"], None, "no such file: none.yaml"),
        (4, ["x", "--section", "[1"], None, "[1: while parsing a flow sequence in "),
        (5, None, {"section": {"place": 3}}, "section.place: expected a quoted string or null, got 3"),
        (None, ["x", "--section.kind"], None, "argument --section.kind: expected one argument"),
    ],
)
def test_every_wording_comes_from_the_parser(row, argv, content, said):
    text = " ".join(str(error(argv, content)).split())
    found = [number for number, (pattern, _) in enumerate(WORDINGS) if re.search(pattern, text)]
    assert found == ([] if row is None else [row])
    assert one_line(error(argv, content), OPTIONS).startswith(said)


def test_a_positional_argument_that_is_missing():
    missing = error(content={"section": {"number": 1}})
    assert is_missing(missing)
    assert one_line(missing, OPTIONS) == "the following arguments are required: source"
    assert not is_missing(error(["x", "--section.kind=c"]))
