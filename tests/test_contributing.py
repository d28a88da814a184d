"""The examples of CONTRIBUTING.md, applied to a copy of the code as they stand there, and run."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support.pages import CONTRIBUTING, REPO, blocks


def change(root, diff):
    """Apply a diff without line numbers: each hunk's old lines are in the file once, and become its new ones."""
    for path, hunks in re.findall(r"^--- (\S+)\n(.*?)(?=^--- |\Z)", diff, re.MULTILINE | re.DOTALL):
        for hunk in hunks.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            old, new = ("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-")
            text = (root / path).read_text()
            assert text.count(old) == 1, f"{path} has {text.count(old)} times\n{old}"
            (root / path).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the package and the stages with every addition of the page."""
    root = tmp_path_factory.mktemp("changed")
    for folder in ("rspnet", "stages", "configs"):
        shutil.copytree(REPO / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for code in blocks(CONTRIBUTING, "python"):
        path = root / code.split("\n")[0].removeprefix("# ")
        assert not path.exists(), path
        path.write_text(code)
    for diff in blocks(CONTRIBUTING, "diff"):
        change(root, diff)
    return root


def run(root, *words):
    environment = os.environ | {"PYTHONPATH": str(root), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_pass_lint(changed):
    for command in ("check", "format --check"):
        run(changed, "-m", "ruff", *command.split(), "--config", REPO / "pyproject.toml", "rspnet", "stages")


def test_the_stage_runs_and_the_layout_is_known(changed, motions, tmp_path):
    for video in (motions / "test").rglob("*.mp4"):
        (tmp_path / f"v_{video.parent.name}_{video.name}").symlink_to(video)
    assert "Count the videos of each class." in run(changed, "-m", "rspnet", "--help")
    result = json.loads(run(changed, "stages/count.py", tmp_path, "--layout", "named"))
    assert result == {"stage": "count", "num_videos": 5, "classes": {"down": 2, "right": 2, "still": 1}}


def test_the_encoder_is_evaluated_by_the_protocol(changed, motions):
    clips = ("--clips.num_frames", 8, "--clips.size", 32, "--clips.views", 1)
    options = (
        "--data.num_workers",
        0,
        "--weights",
        "none",
        "--encoder.name",
        "tiny",
        "--encoder.width",
        16,
        "--data.root",
        motions,
        *clips,
    )
    result = json.loads(run(changed, "stages/evaluate.py", *options, "--protocol", "centroid").splitlines()[-1])
    assert (result["arch"], result["num_videos"], result["num_gallery"]) == ("tiny", 5, 18)
    assert 0 <= result["top1"] <= 100
