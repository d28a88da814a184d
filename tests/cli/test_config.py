"""Reading options: strict YAML, one clear line per mistake, and what is shipped."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from rspnet.cli.config import dump, parse
from rspnet.errors import ConfigError


@dataclass
class Section:
    """A section."""

    number: int = 1
    """A whole number."""
    rate: float = 0.5
    """A number."""
    place: str | None = None
    """A folder."""
    kind: Literal["a", "b"] = "a"
    """One of two."""
    several: list[int] = field(default_factory=lambda: [1, 2])
    """Whole numbers."""


@dataclass
class Config:
    """Options for the tests."""

    unused: ClassVar = ("other",)

    switch: bool = False
    """A switch."""
    name: str = "name"
    """A name."""
    first: Section = field(default_factory=Section)
    second: Section = field(default_factory=Section)


@dataclass
class Command:
    """With a positional argument."""

    source: str
    """Where from."""
    jobs: int = 1
    """How many."""
    quick: bool = False
    """A switch."""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(text, *argv, config_class=Config):
    Path("c.yaml").write_text(text)
    return parse(config_class, ["--config", "c.yaml", *argv])


def refusal(text=None, *argv, config_class=Config):
    """The message; one line, whatever the mistake."""
    with pytest.raises(ConfigError) as caught:
        read(text, *argv, config_class=config_class) if text is not None else parse(config_class, argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_without_arguments():
    assert parse(Config, []) == Config()


def test_file_then_command_line():
    text = "name: from file\nfirst:\n  number: 2\n  rate: 1e-3\n"
    assert read(text) == Config(name="from file", first=Section(number=2, rate=0.001))
    got = read(text, "--first.number", "3", "--name", "from line")
    assert got == Config(name="from line", first=Section(number=3, rate=0.001))
    assert parse(Config, ["--first.number", "3", "--config", "c.yaml"]).first.number == 3  # wherever it stands


def test_a_later_file_wins_key_by_key():
    Path("later.yaml").write_text("first: {number: 5}")
    got = read("first: {number: 2, rate: 2.5}", "--config", "later.yaml")
    assert (got.first.number, got.first.rate) == (5, 2.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1E3", 1e3), ("-2.5e+2", -250), (".5e1", 5), ("3", 3), ("1.", 1), (".inf", math.inf)],
)
def test_numbers_as_people_write_them(text, value):
    assert read(f"first: {{rate: {text}}}").first.rate == value
    assert parse(Config, [f"--first.rate={text}"]).first.rate == value


def test_the_home_folder_is_meant(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert read("first: {place: ~/videos}", "--second.place=~/runs", "--name=~x/y") == Config(
        name="~x/y", first=Section(place="/home/me/videos"), second=Section(place="/home/me/runs")
    )


def test_a_leading_zero_makes_no_octal_number():
    assert read("first: {number: 010, several: [08, 017]}").first == Section(10, several=[8, 17])
    assert parse(Config, ["--first.number", "010"]).first.number == 10


@pytest.mark.parametrize("text", ["3", "1e3", "yes", "2024-01-01", "a: b", "{a}", "[x]", "-", "x=y", "a # b"])
def test_text_on_the_command_line_is_text(text):
    assert parse(Config, [f"--first.place={text}"]).first.place == text


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--switch"], True),
        (["--switch", "--name", "x"], True),
        (["--switch", "false"], False),
        (["--switch=true"], True),
        (["--switch", "True"], True),
        (["--switch", "FALSE", "--name", "x"], False),
        (["--name", "x"], False),
    ],
)
def test_a_switch_stands_alone(argv, value):
    assert parse(Config, argv).switch is value


def test_a_word_after_a_switch_is_the_positional_argument_that_is_missing():
    assert parse(Command, ["--quick", "here"]) == Command("here", quick=True)
    assert parse(Command, ["--jobs", "3", "--quick", "-"]) == Command("-", 3, quick=True)
    assert parse(Command, ["here", "--quick", "False", "--jobs", "3"]) == Command("here", 3)
    argv = ["--jobs", "3", "here", "--quick", "maybe"]
    assert refusal(None, *argv, config_class=Command) == "quick: expected true or false, got maybe"
    message = "there: surplus argument; a value with spaces needs quotes; see --help"
    assert refusal(None, "here", "there", config_class=Command) == message


def test_positional_argument():
    assert parse(Command, ["here", "--jobs", "3"]) == Command("here", 3)
    assert refusal(config_class=Command) == "the following arguments are required: source"
    assert read("jobs: 4", "here", config_class=Command) == Command("here", 4)
    assert refusal("job: 4", "here", config_class=Command) == "c.yaml: job: unknown option; did you mean jobs?"


def test_a_section_file_lies_relative_to_the_file_that_names_it():
    Path("a/b").mkdir(parents=True)
    Path("a/c.yaml").write_text("first: b/first.yaml\n")
    Path("a/b/first.yaml").write_text("number: 7\n")
    assert parse(Config, ["--config", "a/c.yaml", "--first.rate", "2"]).first == Section(number=7, rate=2)
    Path("a/b/first.yaml").write_text("nummer: 7\n")
    message = refusal(None, "--config", "a/c.yaml")
    assert message == "a/b/first.yaml: first.nummer: unknown option; did you mean first.number?"
    Path("a/b/first.yaml").write_text("number: 7\nrate: 1\nnumber: 8\n")
    assert refusal(None, "--config", "a/c.yaml") == "a/b/first.yaml: line 3: key 'number' is given twice; keep one"
    Path("a/b/first.yaml").unlink()
    assert refusal(None, "--config", "a/c.yaml") == "a/c.yaml: first: no such file: a/b/first.yaml"


def test_a_section_file_on_the_command_line_lies_relative_to_the_user():
    Path("first.yaml").write_text("number: 7\n")
    assert read("first: {rate: 2}", "--first", "first.yaml").first == Section(number=7, rate=2)
    assert refusal(None, "--first", "none.yaml") == "no such file: none.yaml"
    Path("first.yaml").write_text("number: 7\nnumber: 8\n")
    assert refusal(None, "--first", "first.yaml") == "first.yaml: line 2: key 'number' is given twice; keep one"


def test_what_belongs_to_another_stage_is_passed_over_in_files_only():
    assert read("other: {anything: 1}\nname: x") == Config(name="x")
    assert refusal(None, "--other.anything", "1").startswith("--other.anything: unknown option")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first:\n  rate: 1\n  rate: 2\n", "c.yaml: line 3: key 'rate' is given twice; keep one"),
        ("first: {rate: 1}\nname: x\nfirst: {number: 2}\n", "c.yaml: line 3: key 'first' is given twice; keep one"),
        ("first: {numbr: 1}", "c.yaml: first.numbr: unknown option; did you mean first.number?"),
        ("frist: {number: 1}", "c.yaml: frist.number: unknown option; did you mean first.number?"),
        ("frist: file.yaml", "c.yaml: frist: unknown option; did you mean first?"),
        ("kind: a", "c.yaml: kind: unknown option; did you mean first.kind?"),
        ("FIRST: {KIND: a}", "c.yaml: FIRST.KIND: unknown option; did you mean first.kind?"),
        ("zebra: 1", "c.yaml: zebra: unknown option; see --help for the options"),
        ("first: {rate: fast}", "c.yaml: first.rate: expected float, got fast"),
        ("first: {number: 1.5}", "c.yaml: first.number: expected int, got 1.5"),
        ("first: {number: yes}", "c.yaml: first.number: expected int, got True"),
        ("first: {place: 3}", "c.yaml: first.place: expected a quoted string or null, got 3"),
        ("name: 2024-01-01", "c.yaml: name: expected a quoted string, got 2024-01-01"),
        ("first: {kind: c}", "c.yaml: first.kind: expected one of a, b, got c"),
        ("first: {several: 3}", "c.yaml: first.several: expected list, got 3"),
        ("first: {several: [a]}", "c.yaml: first.several: expected int, got a"),
        ("first: {number: null}", "c.yaml: first.number: needs a value; leave the key out for the default"),
        ("name:", "c.yaml: name: needs a value; leave the key out for the default"),
        ("first: 3", "c.yaml: first: expected its options as `name: value`, or a file of them, got 3"),
        ("first:", "c.yaml: first: expected its options as `name: value`, or a file of them, got None"),
        ("- 1", "c.yaml: expected options as `name: value`, found [1]"),
        ("", "c.yaml: expected options as `name: value`, found nothing"),
        ("3: x", "c.yaml: line 1: key 3 is not the name of an option"),
        ("? [1]\n: x", "c.yaml: line 1: key [1] is not the name of an option"),
        ("first.rate: 1\nfirst: {rate: 2}", "c.yaml: first.rate is given twice, alone and in its section; keep one"),
        ('first: {place: ""}', "first.place: is empty; give a value, or leave it out"),
        ("config: d.yaml", "c.yaml: config: a file cannot name another; give --config twice, the later one wins"),
    ],
)
def test_mistakes_in_a_file(text, message):
    assert refusal(text) == message


def test_broken_yaml_is_refused_with_the_place():
    assert refusal("first: [1\n") == "c.yaml: line 2, column 1: expected ',' or ']', but got '<stream end>'"
    Path("c.yaml").write_bytes(b"name: x\n\nfirst: \xff\n")
    assert refusal(None, "--config", "c.yaml") == "c.yaml: line 3: not UTF-8 text"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--first.numbr", "1"], "--first.numbr: unknown option; did you mean --first.number?"),
        (["--first.num", "1"], "--first.num: unknown option; did you mean --first.number?"),  # no abbreviations
        (["--conf", "c.yaml"], "--conf: unknown option; did you mean --config?"),
        (["--first.number", "one"], "first.number: expected int, got one"),
        (["--first.rate", "null"], "first.rate: expected float, got None"),
        (["--first.rate", ""], "first.rate: expected float, got nothing"),
        (["--first.place="], "first.place: is empty; give a value, or leave it out"),
        (["--first.rate"], "argument --first.rate: expected one argument"),
        (["--first.kind", "c"], "first.kind: expected one of a, b, got c"),
        (["--switch", "maybe"], "switch: expected true or false, got maybe"),
        (["--switch=maybe"], "switch: expected true or false, got maybe"),
        (["stray"], "stray: surplus argument; a value with spaces needs quotes; see --help"),
        (["switch", "true"], "switch: surplus argument; did you mean --switch?"),
        (["-x"], "-x: unknown option; see --help for the options"),
        (["-name", "n"], "-name: unknown option; did you mean --name?"),
        (["--config", "none.yaml"], "--config: no such file: none.yaml"),
        (["--config", "."], "--config: . is a folder; name a YAML file of options"),
        (["--first", "."], ". is a folder; name a YAML file of options"),
        (["--config", "n" * 300], f"{'n' * 300}: cannot be read (File name too long)"),
        (["--config", "/proc/self/mem"], "/proc/self/mem: cannot be read (Input/output error)"),
        (["--config"], "argument --config: expected one argument"),
    ],
)
def test_mistakes_on_the_command_line(argv, message):
    assert refusal(None, *argv) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"several: {'[' * 1000}{']' * 1000}", "nested too deeply"),
        (f"several: {'{a: ' * 1000}{'}' * 1000}", "nested too deeply"),
        (f"number: {'9' * 4500}", "line 2: a value of 4500 characters; at most 4096 are allowed"),
        (f"number: {':'.join(['59'] * 2000)}", "characters"),
        ("number: !!int 0xzz", "invalid literal"),
        ('place: "\\ud800"', "line 2: the text holds a NUL, or is not UTF-8"),
        ('place: "a\\0"', "line 2: the text holds a NUL, or is not UTF-8"),
        ("number: !!timestamp 2020-99-99", "month"),
    ],
)
def test_values_beyond_all_bounds(text, message):
    Path("c.yaml").write_text(f"section:\n  {text}\n")
    with pytest.raises(ConfigError, match=message) as error:
        parse(Config, ["--config", "c.yaml"])
    assert str(error.value).startswith("c.yaml: ")
    assert len(str(error.value)) < 200
    assert "\n" not in str(error.value)


def test_dumped_config_is_read_back():
    for text in ("1e3", "yes", "3", "2024-01-01", "a: b", "ä ö", "x.yaml", "010", " a", "-", "0x1F", "1_000"):
        before = Config(switch=True, name=text, first=Section(9, 1e-5, text, "b", []), second=Section(rate=1e22))
        assert read(dump(before)) == before


def test_yaml_is_strict_on_the_command_line_too():
    assert refusal(None, "--first", "{number: 1, number: 2}")


@dataclass
class Several:
    """Any number of words."""

    sources: list[str]
    """Videos."""
    name: str = "x"
    """A name."""


def test_a_list_takes_all_words():
    assert parse(Several, ["a b", "--name", "n", "-", "1"]) == Several(["a b", "-", "1"], "n")
    assert parse(Several, ["--name=n", "[x]"]) == Several(["[x]"], "n")
    with pytest.raises(ConfigError, match="sources"):
        parse(Several, ["--name", "n"])
    with pytest.raises(ConfigError, match="--other"):
        parse(Several, ["a", "--other", "b"])
