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
    """Versions, machine and the code's git commit, for `environment.json`; null stands for what cannot be known."""
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
    """Of an installed package; None for one that came without its description."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit(file: Path) -> str | None:
    """What git calls the state of the repository that keeps the file.

    None without git, and where the file is not kept: installed into an environment that lies in somebody's repository,
    it must not pass for that one's.
    """
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")  # as in hooks
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
