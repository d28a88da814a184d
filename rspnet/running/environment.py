"""What a run was made with: versions, machine, the state of the code."""

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import rspnet
from rspnet.running.machine import cores


def environment() -> dict[str, Any]:
    """Return versions, machine and the code's git commit, for `environment.json`; None for what is unknown."""
    from rspnet.running.tuning import tuning  # loads torch

    names = ("torch", "torchvision", "accelerate", "av", "timm", "datasets", "evaluate", "numpy", "scikit-learn")
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in names} | {"rspnet": rspnet.__version__},
        "git_commit": _commit(Path(__file__).resolve()),
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": cores(),
        "torch": tuning(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _version(name: str) -> str | None:
    """Return the version of an installed package; None if it has no metadata."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit(file: Path) -> str | None:
    """Return what `git describe` says of the repository that tracks the file.

    None without git, or if the file is not tracked: a package that is installed into an environment inside another
    repository must not be taken for a part of it.
    """
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")  # set in hooks
    environ = {name: value for name, value in os.environ.items() if name not in elsewhere}
    environ["GIT_OPTIONAL_LOCKS"] = "0"  # nothing is written in the checkout

    def git(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, errors="replace", env=environ, timeout=30
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return git("describe", "--always", "--dirty", "--abbrev=12") or None
    except (OSError, subprocess.SubprocessError):
        return None
