"""What environment.json tells: the commit of the code and of no other repository, and versions where there are any."""

import shutil
import subprocess
from importlib import metadata

import pytest

import rspnet
from rspnet.running import environment


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Stands for rspnet/running/environment.py: it lies in the folder of a repository and is not kept there."""
    if shutil.which("git") is None:
        pytest.skip("git is not on this machine")
    path = tmp_path / "repository/site-packages/rspnet/running/environment.py"
    path.parent.mkdir(parents=True)
    path.write_text("")
    git(path, "init", "--quiet", str(tmp_path / "repository"))
    git(path, "commit", "--quiet", "--allow-empty", "-m", "somebody's own work")
    monkeypatch.setattr(environment, "__file__", str(path))
    return path


def git(module, *arguments):
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(module.parent), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_told():
    return environment.environment()["git_commit"]


def test_the_commit_is_that_of_the_code(module, tmp_path, monkeypatch):
    assert commit_told() is None  # somebody's repository, which does not keep the file
    git(module, "add", module.name)
    git(module, "commit", "--quiet", "-m", "code")
    commit = git(module, "rev-parse", "--short=12", "HEAD")
    assert commit_told() == commit
    (tmp_path / "other").mkdir()
    git(module, "init", "--quiet", "--bare", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    assert commit_told() == commit
    monkeypatch.delenv("GIT_DIR")
    module.write_text("changed")
    assert commit_told() == f"{commit}-dirty"


@pytest.mark.parametrize("git", [None, "#!/bin/sh\necho 012345678901\nexit 128\n", "no program", "folder"])
def test_without_a_working_git_the_commit_is_unknown(git, tmp_path, monkeypatch):
    """Not there; refusing (a checkout of another owner); broken."""
    (tmp_path / "bin").mkdir()
    if git == "folder":
        (tmp_path / "bin/git").mkdir()
    elif git:
        (tmp_path / "bin/git").write_text(git)
        (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert commit_told() is None


def test_a_package_without_its_description_has_no_version(monkeypatch):
    def version(name):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(metadata, "version", version)
    versions = environment.environment()["versions"]
    assert (versions["torch"], versions["av"], versions["rspnet"]) == (None, "1.2", rspnet.__version__)
