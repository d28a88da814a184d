"""What checks a change elsewhere calls the Makefile and nothing else."""

import re
import tomllib

import pytest
import yaml

from tests.support.pages import REPO

WORKFLOW = yaml.safe_load((REPO / ".github/workflows/ci.yml").read_text())
HOOKS = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
ENTRIES = [hook["entry"] for repo in HOOKS["repos"] for hook in repo["hooks"]]


@pytest.mark.parametrize("command", [step["run"] for step in STEPS if "run" in step] + ENTRIES)
def test_commands_are_targets_of_the_makefile(command):
    makefile = (REPO / "Makefile").read_text()
    make, target, *settings = command.split()
    assert make == "make"
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in (setting.split("=")[0] for setting in settings):
        assert re.search(rf"^{name} \?=", makefile, re.MULTILINE), name


def test_nothing_else_is_done():
    others = {step["uses"].split("@")[0] for step in STEPS if "run" not in step}
    assert others == {"actions/checkout", "actions/setup-python"}
    assert {repo["repo"] for repo in HOOKS["repos"]} == {"local"}


def test_every_python_from_the_oldest_to_the_newest_is_tested():
    pythons = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    oldest = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    minors = [int(python.removeprefix("3.")) for python in pythons]
    assert minors == list(range(int(oldest.removeprefix("3.")), minors[-1] + 1))
    (newest,) = [step["with"]["python-version"] for step in WORKFLOW["jobs"]["newest"]["steps"] if "with" in step]
    assert newest == "3.x"
    assert {"lint", "test", "test-newest"} <= {step["run"].split()[1] for step in STEPS if "run" in step}
