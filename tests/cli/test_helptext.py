"""`--help` as a person reads it, in terminals of two widths, in a checkout and where rspnet is installed."""

import importlib
import re
import sys
from typing import Literal

import pytest

from rspnet.cli.config import parse
from rspnet.cli.helptext import value_of
from tests.support import REPO

STAGES = sorted(path.stem for path in (REPO / "stages").glob("*.py"))


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a stage's help shows: `shown(stage, columns, command)`."""

    def of(stage, columns=100, command=()):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", [f"somewhere/{stage}.py"])
        monkeypatch.setattr(sys, "orig_argv", [*command, stage, "--help"])
        with pytest.raises(SystemExit):
            parse(importlib.import_module(f"stages.{stage}").Config, ["--help"])
        return capsys.readouterr().out

    return of


@pytest.mark.parametrize("stage", STAGES)
def test_two_examples_come_first_and_all_fits_the_terminal(stage, shown):
    text = shown(stage)
    assert max(map(len, text.splitlines())) <= 100
    usage, summary, examples, *_ = text.split("\n\n")
    assert usage.startswith(f"usage: {stage}.py ")
    assert summary.endswith(".")
    commands = examples.replace("\\\n", "").splitlines()
    assert len(commands) == 2
    for command in commands:
        assert re.match(rf" {{4}}\S.* stages/{stage}\.py ", command), command
    # Commands are not broken anywhere else: they are to be copied.
    assert all(len(line) <= 80 or line.startswith("    ") for line in shown(stage, columns=80).splitlines())


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_has_a_text(stage, shown):
    """It stands behind its name, or on the next line."""
    options = shown(stage).split("\noptions:\n")[1]
    found = re.findall(r"^  (--?[a-z]\S*|[A-Z]+)(?: \S+)?(?:\n {10,}|  +|, --help +)(\S)", options, re.MULTILINE)
    named = re.findall(r"^  (--?[a-z]\S*|[A-Z]+)", options, re.MULTILINE)
    assert [name.rstrip(",") for name, _ in found] == [name.rstrip(",") for name in named]
    assert all(text.isupper() or name == "-h," for name, text in found)


@pytest.mark.parametrize("stage", STAGES)
def test_who_typed_rspnet_reads_rspnet(stage, shown):
    for command in (["/usr/bin/python", "/usr/bin/rspnet"], ["python", "-m", "rspnet"]):
        text = shown(stage, command=command)
        assert text.startswith(f"usage: rspnet {stage} ")
        assert re.search(rf"^    .*rspnet {stage} ", text, re.MULTILINE)
        assert "stages/" not in text
        assert "--config configs/" not in text


def test_values_are_told_in_short():
    kinds = (int, float | None, bool, str, list[int], Literal["a", "b"])
    assert [value_of(kind) for kind in kinds] == ["INT", "NUMBER", "[true|false]", "", "[INT,...]", "{a,b}"]


def test_defaults_are_told_as_they_are_written(shown):
    text = re.sub(r"\s+", " ", shown("finetune"))
    for default in ("null", "false", "[0.25, 1.0]", "0.0001", "40", "60"):
        assert f"(default: {default})" in text
    assert "--frozen [true|false]" in text
