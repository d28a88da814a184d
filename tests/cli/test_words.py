"""Words of a command line that are no options, whatever they look like."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from rspnet.cli.config import parse
from rspnet.errors import ConfigError


@dataclass
class Config:
    """Any number of words."""

    sources: list[str]
    """Videos."""
    name: str = "x"
    """A name."""


@pytest.mark.parametrize("name", ["-a.mp4", "--a.mp4", "-h.mp4"])
def test_words_that_begin_as_options_do(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse(Config, ["--name", "n", "a", "--", name, "--switch"]) == Config(["a", name, "--switch"], "n")
    assert parse(Config, ["--name=-n", "--", name]) == Config([name], "-n")
    Path(name).touch()  # as the shell's *.mp4 gives it
    with pytest.raises(ConfigError, match=f"^{name}: begins like an option; to name the file, write ./{name}$"):
        parse(Config, [name, "b.mp4", "--name", "n"])


def test_empty_words(tmp_path, monkeypatch):
    """As of "$DATA", which the shell does not know: the current folder must not be taken instead."""
    monkeypatch.chdir(tmp_path)
    for argv in ([""], ["a", ""]):
        with pytest.raises(ConfigError, match=r"^sources: is empty; give a value, or leave it out$"):
            parse(Config, argv)


def test_words_that_are_no_text(tmp_path, monkeypatch):
    for argv in (["a", "\udcff.mp4"], ["--name", "\udcff.mp4", "a"], ["a", "--name=\udcff.mp4"]):
        with pytest.raises(ConfigError, match=r"\\xff.mp4: is not UTF-8; rename it"):
            parse(Config, argv)
    folder = tmp_path / "\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=r"\\xff: is not UTF-8; rename the folder that you are in"):
        parse(Config, ["a"])
