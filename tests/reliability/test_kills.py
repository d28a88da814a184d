"""Stages that are killed over and over end as if they never had been: ten SIGKILLs each, at moments from a seed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rspnet.cli.config import dump
from rspnet.data.index import read_rows
from tests.support import REPO, tiny

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "10"))
"""Of each stage; fewer for a short look."""


def run(words: list[object], seconds: float | None = None) -> bool:
    """Run a stage; whether it was killed, with all its processes left to themselves, after so many seconds."""
    command = [sys.executable, *map(str, words)]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as stage:
        try:
            _, errors = stage.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            stage.send_signal(signal.SIGKILL)
            return True
    assert stage.returncode == 0, errors
    return False


def kill_over_and_over(words: list[object], whole: float, seed: int) -> int:
    """Kill a stage at random moments of its course, then let it end; how often it was alive to be killed."""
    rng = random.Random(seed)
    killed = sum(run(words, rng.uniform(0.1, 0.9) * whole) for _ in range(KILLS))
    run(words)
    return killed


def timed(words: list[object]) -> float:
    began = time.monotonic()
    run(words)
    return time.monotonic() - began


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_training(tmp_path, motions, stage):
    def words(run_dir: Path) -> list[object]:
        config = getattr(tiny, stage)(motions, run_dir, num_workers=2)
        config.run.checkpoint_every = 1
        file = tmp_path / f"{run_dir.name}.yaml"
        file.write_text(dump(config))
        return [f"stages/{stage}.py", "--config", file]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert kill_over_and_over(words(killed), timed(words(whole)), seed=1) > 0
    assert tiny.differences(tiny.state(whole), tiny.state(killed)) == []
    assert tiny.metrics(killed) == tiny.metrics(whole)
    assert (killed / "encoder.safetensors").read_bytes() == (whole / "encoder.safetensors").read_bytes()
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}


def tree(folder: Path) -> dict[str, bytes | str]:
    """What is in a data set's folder: contents of files, and where links lead to; not what a stage notes for itself."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or (path.is_file() and path.name != "copies.jsonl" and path.stat().st_size)
    }


@pytest.mark.parametrize("stage", ["verify", "transcode", "subset"])
def test_data(tmp_path, videos, stage):
    def words(folder: Path) -> list[object]:
        folder.mkdir()
        out = ["--out", folder / "index.jsonl"]
        return {
            "verify": ["stages/verify.py", videos, "--depth", "decode", "--jobs", 2, *out],
            "transcode": ["stages/transcode.py", videos, folder / "dst", "--jobs", 2, *out],
            "subset": ["stages/subset.py", videos, folder / "dst", "--num_classes", 5, *out],
        }[stage]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert kill_over_and_over(words(killed), timed(words(whole)), seed=2) > 0
    ends, expected = tree(killed), tree(whole)
    told, index = (
        [{name: str(value).replace(str(folder), "") for name, value in row.items()} for row in read_rows(found)]
        for folder in (killed, whole)
        for found in (folder / "index.jsonl",)
    )
    assert told == index
    del ends["index.jsonl"], expected["index.jsonl"]
    assert ends == expected
