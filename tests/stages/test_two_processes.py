"""The training stages on two processes: the numbers of one, stopping together, counting everything once."""

import importlib
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass

import pytest
import torch.distributed as dist

from rspnet import console
from rspnet.cli import options
from rspnet.cli.command import run
from rspnet.cli.config import dump
from rspnet.errors import VideoError
from rspnet.running.loop import TrainLoop
from stages import evaluate, pretrain
from tests.support import tiny
from tests.support.ranks import run_ranks


def command(stage, config_file, press):
    """A stage's program; `press` = (rank, step): there comes a Ctrl-C."""
    done = TrainLoop.step

    def step_with_a_key_press(loop, terms):
        if press == (loop.accelerator.process_index, loop.state.step + 1):
            os.kill(os.getpid(), signal.SIGINT)
        done(loop, terms)

    TrainLoop.step = step_with_a_key_press
    sys.argv = [f"stages/{stage}.py", "--config", str(config_file)]
    module = importlib.import_module(f"stages.{stage}")
    run(module.main, module.Config)


def launch(folder, stage, config, status=0, press=None, **environment):
    """Run a stage on two processes: what the main one printed, and the errors of both."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(dump(config))
    together = {"ends_together": status == 2}
    statuses = run_ranks(folder, command, stage, folder / "config.yaml", press, **together, **environment)
    out, *errors = ((folder / name).read_text() for name in ("0.out", "0.err", "1.err"))
    assert statuses[0] == status, "\n".join(errors)
    # Ended by the launcher: while it waits to be heard, before it has begun, or (130) in the middle of its work.
    ended = (128 + signal.SIGTERM, -signal.SIGTERM, 130)
    assert statuses[1] in (ended if status == 2 else (status,)), errors[1]
    assert (folder / "1.out").read_text() == ""
    return out, *errors


@pytest.fixture(scope="module")
def pretrained_by_two(motions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return launch(folder, "pretrain", tiny.pretrain(motions, folder / "run")), folder / "run"


def test_pretraining_gives_the_losses_of_one_process(pretrained_by_two, pretrained):
    """With as many batch-norm groups; in the first steps, before rounding has grown."""
    (out, error, others_error), run_dir = pretrained_by_two
    assert json.loads(out)["steps"] == 6
    assert "6 videos a step = 2 x 3;" in error
    assert "; 2 batch-norm groups of 3" in error
    assert others_error == ""
    for two, one in zip(tiny.metrics(run_dir)[:4], tiny.metrics(pretrained)[:4], strict=True):
        names = ("loss", "loss_avid", "loss_rsp", "avid_top1", "rsp_accuracy", "negative_similarity", "effective_rank")
        for name in names:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-4), (two, one)
    two, one = (tiny.state(folder, "step_3")["model"] for folder in (run_dir, pretrained))
    assert two.keys() == one.keys()
    for name in two:
        assert (two[name] - one[name]).abs().max() < 1e-3, name
    assert {path.name for path in run_dir.iterdir()} == {path.name for path in pretrained.iterdir()}


def test_a_monitor_leaves_the_training_as_it_is_to_the_bit(tmp_path, motions, pretrained_by_two):
    """Batch norm's statistics are the first process's where it measures, and each one's own in the training."""
    config = tiny.pretrain(motions, tmp_path / "run", monitor=options.Monitor(str(motions), every=1, batch=2))
    _, error, others_error = launch(tmp_path, "pretrain", config)
    assert "kNN " in error
    assert others_error == ""
    _, whole = pretrained_by_two
    assert tiny.differences(tiny.state(tmp_path / "run"), tiny.state(whole)) == []


def test_both_stop_and_both_go_on_to_the_bit(tmp_path, motions, pretrained_by_two):
    """The other process is asked, not the main one."""
    config = tiny.pretrain(motions, tmp_path / "run", num_workers=1)
    _, error, others_error = launch(tmp_path, "pretrain", config, status=130, press=(1, 4))
    last = "pretrain.py: interrupted; step 4 is kept; the same command goes on from there"
    assert error.splitlines()[-1] == last
    assert "Traceback" not in error
    assert others_error == ""
    launch(tmp_path, "pretrain", tiny.pretrain(motions, tmp_path / "run"))
    _, whole = pretrained_by_two
    assert tiny.differences(tiny.state(tmp_path / "run"), tiny.state(whole)) == []
    assert tiny.metrics(tmp_path / "run") == tiny.metrics(whole)


def test_one_process_goes_on_where_two_stopped(tmp_path, motions, pretrained):
    launch(tmp_path, "pretrain", tiny.pretrain(motions, tmp_path / "run"), status=130, press=(0, 2))
    assert pretrain.main(tiny.pretrain(motions, tmp_path / "run"))["steps"] == 6
    for mixed, one in zip(tiny.metrics(tmp_path / "run")[:4], tiny.metrics(pretrained)):
        assert mixed["loss"] == pytest.approx(one["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("protocol", "batch", "broken"),
    [
        ("classify", 2, ()),
        ("classify", 4, ("test/down/18.mp4",)),  # the first, which also fills up the last batch
        ("retrieval", 4, ()),
        ("linear", 3, ("test/still/20.mp4", "train/down/00.mp4", "train/still/17.mp4")),
    ],
)
def test_evaluation_counts_every_video_once(tmp_path, motions, finetuned, protocol, batch, broken):
    """5 test and 18 training videos, which neither the processes nor the batches divide."""
    root = motions
    if broken:
        root = tmp_path / "data"
        shutil.copytree(motions, root)
    for video in broken:
        (root / video).write_bytes(b"no video" * 50)
    configs = [tiny.evaluate(root, tmp_path / name, finetuned, protocol) for name in ("two", "one")]
    for config in configs:
        config.test, config.data.max_failures = options.Test(batch), 20
    out, error, others_error = launch(tmp_path, "evaluate", configs[0])
    assert not broken or "could not read" in error + others_error
    result = json.loads(out)
    alone = evaluate.main(configs[1])
    assert (result.pop("processes"), alone.pop("processes")) == (2, 1)
    assert result == alone
    assert result["num_failed"] == len(broken)
    name = "neighbours.jsonl" if protocol == "retrieval" else "predictions.jsonl"
    two, one = (tiny.read_lines(tmp_path / run_dir / name) for run_dir in ("two", "one"))
    assert len(two) == 5 - sum(video.startswith("test") for video in broken)
    for mine, theirs in zip(two, one, strict=True):
        for key in ("similarity", "probability"):
            assert mine.pop(key, None) == pytest.approx(theirs.pop(key, None), abs=2e-4)
        for near in mine.get("neighbours", []) + theirs.get("neighbours", []):
            del near["similarity"]
        assert mine == theirs


def test_fine_tuning_is_tested_as_one_process_would(tmp_path, motions, pretrained):
    config = tiny.finetune(motions, tmp_path / "run", pretrained)
    out, error, _ = launch(tmp_path, "finetune", config)
    result = json.loads(out)
    assert result["num_videos"] == 5
    assert "6 videos a step = 2 x 3" in error
    again = evaluate.main(tiny.evaluate(motions, tmp_path / "again", tmp_path / "run", "classify"))
    assert (again["top1"], again["top5"]) == (result["top1"], result["top5"])


def test_broken_videos_of_both_are_counted(tmp_path, motions):
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    broken = ("train/down/00.mp4", "train/right/01.mp4", "test/down/18.mp4")
    for video in broken:
        (root / video).write_bytes(b"no video" * 50)
    config = tiny.finetune(root, tmp_path / "run", data=options.DataSet(root=str(root), num_workers=0, max_failures=50))
    config.optim.epochs = 1
    out, *errors = launch(tmp_path, "finetune", config)
    for video in broken:
        assert "".join(errors).count(f"could not read {root}/{video}: ") == 1
    assert "".join(errors).count("; another video takes its place\n") == 2
    assert tiny.metrics(tmp_path / "run", "epoch")[0]["failed_videos"] == 3
    assert (json.loads(out)["num_videos"], json.loads(out)["num_failed"]) == (4, 1)


def test_processes_that_cannot_work_together_say_why(tmp_path, motions):
    """Without GPUs accelerate has to be told to use the CPU; else each would train alone."""
    config = tiny.pretrain(motions, tmp_path / "run")
    alone = {"ACCELERATE_USE_CPU": "", "CUDA_VISIBLE_DEVICES": "-1"}
    _, *errors = launch(tmp_path, "pretrain", config, status=2, **alone)
    assert errors == [
        "pretrain.py: 2 processes were started, but each sees 1; "
        "without GPUs set ACCELERATE_USE_CPU=true before the launcher\n",
        "",
    ]


def test_a_batch_that_two_cannot_share(tmp_path, motions):
    config = tiny.finetune(motions, tmp_path / "run")
    config.optim.total_batch, config.run.micro_batches = 5, 4
    _, error, others_error = launch(tmp_path, "finetune", config, status=2)
    assert error.count("optim.total_batch: 5 is not a multiple of 2, the number of processes\n") == 1
    assert others_error == ""


def test_a_mistake_that_the_main_process_finds_while_the_other_waits_for_it(tmp_path):
    _, *errors = launch(tmp_path, "pretrain", tiny.pretrain(tmp_path / "none", tmp_path / "run"), status=2)
    told = f"pretrain.py: data.root: {tmp_path / 'none'}: no such folder; name the one that the videos are in\n"
    assert errors == [told, ""]


@dataclass
class Nothing:
    """A stage without options."""


def one_is_mistaken(mistaken):
    """A stage in which one process finds a mistake, and the others wait for it."""
    dist.init_process_group("gloo")
    console.LAST_WORDS = 0.2
    sys.argv = ["stages/stage.py"]

    def main(config):
        if dist.get_rank() == mistaken:
            raise VideoError("1.mp4: cut; copy it again")
        dist.barrier()

    run(main, Nothing)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_mistake_that_one_process_finds_is_said_once(tmp_path, rank):
    statuses = run_ranks(tmp_path, one_is_mistaken, rank, ends_together=True)
    errors = [(tmp_path / name).read_text() for name in ("0.err", "1.err")]
    assert statuses[rank] == 2, errors
    assert errors.pop(rank) == f"{'[rank 1] ' * rank}stage.py: 1.mp4: cut; copy it again\n"
    assert errors == [""]


def test_too_many_broken_videos_of_one_process_end_both(tmp_path, motions):
    """Before the other waits for gradients that never come; what one met, both say."""
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    for video in sorted(root.glob("train/*/*.mp4"))[:6]:
        video.write_bytes(b"no video" * 50)
    config = tiny.finetune(root, tmp_path / "run")
    _, *errors = launch(tmp_path, "finetune", config, status=2)
    told = "finetune.py: 2 of the 9 videos of this process could not be read so far; more than 5 % "
    assert any(told in error for error in errors), errors
    assert not any("Traceback" in error or "another process of this run" in error for error in errors)
