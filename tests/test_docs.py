"""The README and the pages beside it do not lie: commands, options, files, links, the tree and the dependencies."""

import functools
import importlib
import re
import tomllib

import pytest

import rspnet
from rspnet.cli.config import parse
from rspnet.data.layouts import LAYOUTS
from rspnet.data.rows import KEYS
from rspnet.data.tree import VIDEO_SUFFIXES
from tests.support.pages import (
    CONTRIBUTING,
    PAGES,
    README,
    REPO,
    blocks,
    commands,
    commands_of_a_stage,
    headings,
    links,
    prose,
)

STAGES = {path.stem for path in (REPO / "stages").glob("*.py")}
MAKEFILE = (REPO / "Makefile").read_text()
EXAMPLES = {code.split("\n")[0].removeprefix("# ") for code in blocks(CONTRIBUTING, "python")}
FOREIGN = {"chromium", "find", "jq", "source", "pip", "pre-commit"}
MODULES = {"build", "pytest"}
COMMANDS = {tuple(words): page for page in PAGES for words in commands(page)}
COMMANDS |= {tuple(words): path for path in (REPO / "stages").glob("*.py") for words in commands_of_a_stage(path)}


@functools.cache
def launcher():
    """The parser of `accelerate launch`."""
    from accelerate.commands.launch import launch_command_parser

    return launch_command_parser()


@functools.cache
def options_of_the_stages() -> set[str]:
    return {line.split()[1] for line in (REPO / "tests/recorded/options.txt").read_text().splitlines()}


def check_make(target, *settings):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for name in (setting.split("=")[0] for setting in settings):
        assert re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE), name


def check_script(script, *arguments):
    """A stage's arguments are parsed as the stage would; a benchmark's options are looked up in it."""
    if script in EXAMPLES:  # tests/test_contributing.py runs it
        return
    folder, name = script.split("/") if "/" in script else ("", script)
    assert (REPO / script).is_file(), script
    if folder == "stages":
        parse(importlib.import_module(f"stages.{name.removesuffix('.py')}").Config, arguments)
    for option in (word for word in arguments if word.startswith("--") and folder == "benchmarks"):
        assert f'"{option}"' in (REPO / script).read_text(), option


def check_launch(*arguments):
    found = launcher().parse_args(arguments)
    assert found.config_file is None or (REPO / found.config_file).is_file(), found.config_file
    if found.module:
        assert found.training_script == "rspnet"
        check_rspnet(*found.training_script_args)
    else:
        check_script(found.training_script, *found.training_script_args)


def check_sbatch(file, *arguments):
    assert (REPO / file).is_file(), file
    check_script(*arguments)


def check_rspnet(name, *arguments):
    check_script(f"stages/{name}.py", *arguments)


def check_python(*arguments):
    if arguments[0] == "-m":
        assert arguments[1] in MODULES, arguments[1]
        for path in (word.split("::")[0] for word in arguments[2:] if "/" in word):
            assert (REPO / path).exists(), path
    else:
        check_script(*arguments)


def check_docker(verb, *arguments):
    """What follows the image's name is its command, or what another entry point takes."""
    assert verb == "run"
    before, after = arguments[: arguments.index("rspnet")], arguments[arguments.index("rspnet") + 1 :]
    if "--entrypoint" in before:
        assert (before[before.index("--entrypoint") + 1], after[0]) == ("accelerate", "launch")
        check_launch(*after[1:])
    else:
        check_rspnet(*after)


def check_srun(*arguments):
    CHECKS[arguments[0]](*arguments[1:])


CHECKS = {"docker": check_docker, "make": check_make, "rspnet": check_rspnet, "python": check_python}
CHECKS |= {"srun": check_srun, "sbatch": check_sbatch}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:100])
def test_commands_are_understood(words, monkeypatch, tmp_path):
    words = [word for word in words if not re.match(r"[A-Z_]+=", word) or words[0] == "make"]
    monkeypatch.chdir(tmp_path if "rspnet" in words else REPO)
    if words[:2] == ["accelerate", "launch"]:
        check_launch(*words[2:])
    elif words[0] in CHECKS:
        CHECKS[words[0]](*words[1:])
    else:
        assert words[0] in FOREIGN, f"{words[0]}: say above how it is checked"


def test_the_readme_has_a_command_for_everything():
    table = README.read_text().split("## What do you want to do?")[1].split("\n## ")[0]
    assert {name for name in STAGES if f"stages/{name}.py" in table} == STAGES
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_and_files_that_are_named_exist(page):
    text, options = page.read_text(), options_of_the_stages()
    sections = {option.split(".")[0] for option in options if "." in option}
    for name in re.findall(r"`(?:--)?(\w+\.(?!json|safetensors)\w+)[` ]", text):
        assert name in options or name.split(".")[0] not in sections, name
    known = options | {"config", "help", "path", "version"}
    known |= {option.removeprefix("--") for option in launcher()._option_string_actions}
    known |= set(re.findall(r'"--(\w+)"', "".join(path.read_text() for path in (REPO / "benchmarks").glob("*.py"))))
    for name in re.findall(r"(?<![\w-])--(\w[\w.]*\w)", prose(page)):
        assert name in known, name
    folders = "|".join(("accelerate_configs", "benchmarks", "configs", "docs", "results", "rspnet", "stages", "tests"))
    for name in set(re.findall(rf"\b(?:{folders})/[a-z0-9_/]+\.\w+", text)) - EXAMPLES:
        assert (REPO / name).is_file(), name


def test_the_page_on_data_names_all_that_is_taken():
    text = (REPO / "docs/data.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text.split("## Lists")[0], re.MULTILINE)) == set(LAYOUTS)
    assert set(re.search(r"\((\.mp4[^)]*)\)", text)[1].split()) == set(VIDEO_SUFFIXES)
    keys = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", text.split("## The index")[1].split("\n## ")[0], re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(keys))) == set(KEYS)


def test_the_page_on_weights_names_the_whole_package():
    text = (REPO / "docs/weights.md").read_text()
    assert set(re.findall(r"`rspnet\.(\w+)", text)) == set(rspnet.__all__)


def test_contributing_tells_every_contract():
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    text = " ".join(prose(CONTRIBUTING).split())
    assert re.findall(r"\*\*(.+?)\*\*", text) == [contract["name"] for contract in contracts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in headings(target), link


def test_every_page_is_found_and_says_for_whom_it_is():
    for page in PAGES:
        assert page == README or page.relative_to(REPO).as_posix() in links(README), page
        assert page == README or page.read_text().split("\n\n")[1].startswith("For who"), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_readable_as_they_are(page):
    lines = page.read_text().splitlines()
    assert len(lines) < (200 if page == README else 300)
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
    for word in ("../shared", "/work/", "/tmp/"):
        assert word not in page.read_text(), word


def test_the_tree_is_the_one_there_is():
    (tree,) = [code for code in blocks(CONTRIBUTING, "text") if code.startswith("stages/")]
    rooms = {f"rspnet/{name}" for name in re.findall(r"^  (\w+)/ ", tree, re.MULTILINE)}
    there = {path.parent.relative_to(REPO).as_posix() for path in (REPO / "rspnet").glob("*/*.py")}
    assert there == rooms
    for name in re.findall(r"^(\w+)/ ", tree, re.MULTILINE):
        assert (REPO / name).is_dir(), name
    folders = {path.parent.relative_to(REPO).parts[0] for path in REPO.glob("*/*") if path.suffix in (".py", ".yaml")}
    assert {name for name in folders if not name.startswith((".", "_"))} <= set(re.findall(r"^(\w+)/", tree, re.M))


def test_every_dependency_has_a_reason():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    rows = CONTRIBUTING.read_text().split("| It needs |")[1].splitlines()[2:]
    named = {name for row in rows if row.startswith("|") for name in row.split("|")[1].strip().split(", ")}
    assert named == needed
