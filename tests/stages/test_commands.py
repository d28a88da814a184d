"""The stages through their real command lines: launchers, exit statuses, Ctrl-C. A start costs seconds: few of them."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from rspnet.cli.config import dump
from tests.support import REPO, tiny

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "ACCELERATE_USE_CPU": "true"}


def run(*command, cwd=REPO):
    """A finished command, with a deadline: processes that wait for each other in vain must not hang the tests."""
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def as_file(config, path):
    path.write_text(dump(config))
    return path


def test_a_mistake_is_answered_in_one_line():
    done = run("stages/pretrain.py", "--optim.total_bach", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pretrain.py: --optim.total_bach: unknown option; did you mean --optim.total_batch?\n"


def test_what_a_worker_raises_ends_the_run_in_one_line(tmp_path):
    for number in range(8):
        (tmp_path / "videos" / f"{number}.mp4").parent.mkdir(exist_ok=True)
        (tmp_path / "videos" / f"{number}.mp4").write_bytes(b"no video")
    config = tiny.pretrain(tmp_path / "videos", tmp_path / "run", num_workers=1)
    done = run("stages/pretrain.py", "--config", as_file(config, tmp_path / "config.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("pretrain.py: 8 videos in a row could not be read, the last: ")
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def stopped(motions, tmp_path_factory):
    """A run that Ctrl-C ended in a terminal, where it reaches the decoding process too: folder, status, output."""
    folder = tmp_path_factory.mktemp("stopped")
    config = tiny.pretrain(motions, "run", num_workers=1)
    config.optim.epochs = 6
    command = [sys.executable, str(REPO / "stages/pretrain.py"), "--config", "config.yaml"]
    as_file(config, folder / "config.yaml")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, **pipes) as process:
        for line in process.stderr:
            if " step 2/18: " in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    return folder, process.returncode, out, err.splitlines()


def kept_step(folder):
    return int(os.readlink(folder / "run/checkpoints/last").removeprefix("step_"))


def test_ctrl_c_is_answered_in_one_line(stopped):
    folder, status, out, lines = stopped
    assert (status, out) == (130, "")
    # While it waits for a batch the run ends so soon that there is nothing to say.
    assert lines.count("stopping after this step; another Ctrl-C stops at once") <= 1
    assert lines[-1] == (
        f"pretrain.py: interrupted; step {kept_step(folder)} is kept; the same command goes on from there"
    )
    assert not any("Traceback" in line for line in lines)


def test_accelerate_launch_goes_on_from_there(stopped):
    """It imports timm and with it torchvision: a pair with torch that does not match breaks it (requirements.txt)."""
    folder, *_ = stopped
    step = kept_step(folder)
    launcher = ["-m", "accelerate.commands.accelerate_cli", "launch"]
    launcher += ["--config_file", REPO / "accelerate_configs/cpu.yaml"]
    stage = [REPO / "stages/pretrain.py", "--config", "config.yaml", "--data.num_workers", "0"]
    done = run(*launcher, *stage, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 18
    assert f"going on from run/checkpoints/step_{step}" in done.stderr
    assert f" step {step}/18: " not in done.stderr
    assert [line["step"] for line in tiny.metrics(folder / "run", "interval")] == list(range(1, 19))


@pytest.mark.slow
def test_two_processes_under_torchrun(motions, tmp_path):
    """What it computes is compared in tests/stages/test_two_processes.py; here it is started as a user would."""
    config = as_file(tiny.pretrain(motions, tmp_path / "run"), tmp_path / "config.yaml")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, "--log-dir", tmp_path]
    done = run(*launcher, "stages/pretrain.py", "--config", config)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 6
    assert "6 videos a step = 2 x 3;" in done.stderr
    assert "; 2 batch-norm groups of 3" in done.stderr
    golden = json.loads((REPO / "tests/recorded/golden_losses.json").read_text())["pretrain"]
    for line, recorded in zip(tiny.metrics(tmp_path / "run"), golden):
        assert line["loss"] == pytest.approx(recorded["loss"], rel=1e-4)


@pytest.mark.slow
def test_evaluate_finds_the_evaluate_package(motions, tmp_path):
    """The started script's folder comes first in Python's search, and holds an evaluate.py: the stage itself.

    Here that of another checkout, as after `pip install .`, by a relative path and a link, from among the stages.
    """
    shutil.copytree(REPO / "stages", tmp_path / "second/stages")
    (tmp_path / "second/rspnet").mkdir()  # which is not the one that is used, and that is said
    (tmp_path / "link.py").symlink_to("second/stages/evaluate.py")
    config = as_file(tiny.evaluate(motions, tmp_path / "run", protocol="knn"), tmp_path / "config.yaml")
    done = run("../../link.py", "--config", config, "--run.seed", 3, cwd=tmp_path / "second/stages")
    assert done.returncode == 0, done.stderr
    assert f"uses the rspnet in {REPO / 'rspnet'}, not the one beside it; set PYTHONPATH=" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["stage"], result["protocol"], result["num_videos"]) == ("evaluate", "knn", 5)
    assert result == json.loads((tmp_path / "run/result.json").read_text())
