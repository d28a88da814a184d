"""Pretraining in process at toy size: what is written, the same numbers every time, going on after an interruption."""

import importlib
import json
import os
import shutil
import signal

import pytest
import torch
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rspnet
from rspnet.cli import options
from rspnet.cli.config import parse
from rspnet.data.index import read_rows, write_rows
from rspnet.data.layouts import scan
from rspnet.encoders import convolution
from rspnet.errors import ConfigError, VideoError
from rspnet.method.pretext import LOG_TERMS
from rspnet.running.course import Course
from stages.pretrain import Config, main
from tests.support import RECORDED, tiny

GOLDEN = json.loads((RECORDED / "golden_losses.json").read_text())


@pytest.fixture
def bf16(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_precision_that_would_give_wrong_gradients_is_refused(tmp_path, motions, monkeypatch, bf16, stage):
    monkeypatch.setattr(convolution, "has_bf16", lambda: False)
    with pytest.raises(ConfigError, match="mixed precision bf16: this CPU has no AMX"):
        importlib.import_module(f"stages.{stage}").main(getattr(tiny, stage)(motions, tmp_path / "run"))


@pytest.mark.skipif(not convolution.has_bf16(), reason="a CPU without AMX")
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_training_in_bf16_is_near_that_in_float32(tmp_path, motions, bf16, stage):
    """Near, and not the same: it is computed in bfloat16. Files are those of float32."""
    weights = () if stage == "pretrain" else ("none",)
    importlib.import_module(f"stages.{stage}").main(getattr(tiny, stage)(motions, tmp_path / "run", *weights))
    steps = [line["loss"] for line in tiny.metrics(tmp_path / "run", "interval")]
    golden = [step["loss"] for step in GOLDEN[stage]]
    assert steps[:3] == pytest.approx(golden, rel=0.1)
    assert steps[:3] != pytest.approx(golden, rel=1e-4)
    checkpoint = torch.load(tmp_path / "run/checkpoints/last/state.pt", weights_only=True)
    kept = [
        *checkpoint["model"].values(),
        *(state["momentum_buffer"] for state in checkpoint["optimizer"]["state"].values()),
    ]
    assert {value.dtype for value in kept} <= {torch.float32, torch.int64}


def test_what_is_written(pretrained, motions):
    assert {path.name for path in pretrained.iterdir()} == {
        *("config.yaml", "environment.json", "index.parquet", "metrics.jsonl", "checkpoints", ".lock"),
        *("encoder.safetensors", "encoder.json", "result.json", "manifest.json", "report.html"),
    }
    assert {path.name for path in (pretrained / "checkpoints").iterdir()} == {"step_3", "step_6", "last"}
    result = json.loads((pretrained / "result.json").read_text())
    expected = {"stage": "pretrain", "run_dir": str(pretrained), "steps": 6, "epochs": 2, "num_videos": 18}
    assert result == result | expected
    assert result.keys() == expected.keys() | {
        "loss",
        "loss_avid",
        "loss_rsp",
        "device_hours",
        "weights",
        *LOG_TERMS,
        *tiny.SOURCES,
    }
    last = tiny.metrics(pretrained)[-1]
    assert last == last | {"event": "epoch", "step": 6, "epoch": 2, "failed_videos": 0}
    assert result["loss"] == pytest.approx(last["loss"], rel=1e-5)
    assert parse(Config, ["--config", str(pretrained / "config.yaml")]) == tiny.pretrain(motions, pretrained)


def test_files_do_not_know_of_the_order_in_memory(pretrained):
    checkpoint = torch.load(pretrained / "checkpoints/last/state.pt", weights_only=True)
    momenta = [state["momentum_buffer"] for state in checkpoint["optimizer"]["state"].values()]
    assert {value.ndim for value in momenta} >= {1, 5}
    assert all(value.is_contiguous() for value in (*checkpoint["model"].values(), *momenta))


def test_the_encoder_is_the_query_encoder(pretrained):
    description = json.loads((pretrained / "encoder.json").read_text())
    assert description == description | {"arch": "resnet18", "kwargs": {"width": 16}, "num_classes": 0}
    assert description["clip"] == description["clip"] | {"num_frames": 8, "size": 48, "stride": 1, "channels": "RGB"}
    provenance = description["provenance"]
    assert (provenance["stage"], provenance["epoch"], provenance["steps"]) == ("pretrain", 2, 6)
    assert provenance["data"]["num_videos"] == 18
    trained = {
        name.removeprefix("query_encoder.encoder."): value
        for name, value in tiny.state(pretrained)["model"].items()
        if name.startswith("query_encoder.encoder.")
    }
    assert tiny.differences(dict(rspnet.load_encoder(pretrained).state_dict()), trained) == []


def test_metrics_of_every_step(pretrained):
    steps = tiny.metrics(pretrained, "interval")
    assert [(line["step"], line["epoch"]) for line in steps] == [(n + 1, n // 3) for n in range(6)]
    # 0.001 for 12 videos a step, of which there are 6, then half a cosine.
    assert [line["lr"] for line in steps] == pytest.approx([0.0005] * 3 + [0.0005 * 0.5005] * 3)
    for line in steps:
        assert line["loss"] == pytest.approx(line["loss_avid"] + line["loss_rsp"])
        assert 0 <= line["avid_top1"] <= line["avid_top5"] <= 100
        assert 0 <= line["margins_met"] <= line["rsp_accuracy"] <= 100
        assert 1 <= line["effective_rank"] <= 6
    assert [(line["queue_fill"], line["queue_epochs"]) for line in steps] == [(60, 6 / 18)] + [(100, 10 / 18)] * 5
    first, second = tiny.metrics(pretrained, "epoch")
    for name in ("loss", "rsp_accuracy", "spread"):
        assert first[name] == pytest.approx(sum(line[name] for line in steps[:3]) / 3)
        assert second[name] == pytest.approx(sum(line[name] for line in steps[3:]) / 3)
    assert (first["queue_fill"], second["queue_epochs"]) == (100, 10 / 18)
    assert second["effective_rank"] > max(line["effective_rank"] for line in steps[3:])  # of three steps together


def test_losses_are_those_of_the_day_they_were_recorded(pretrained):
    """After a change that is meant to change them, put the numbers that this test shows into golden_losses.json.

    Three steps: from there on rounding grows beyond the tolerance from one processor to the next.
    """
    found = [{name: line[name] for name in ("loss", "loss_avid", "loss_rsp")} for line in tiny.metrics(pretrained)[:3]]
    for step, recorded in zip(found, GOLDEN["pretrain"], strict=True):
        assert step == pytest.approx(recorded, rel=1e-4, abs=1e-4), json.dumps(found)


def test_speaks_on_stderr_and_answers_on_stdout(tmp_path, motions, capsys):
    config = tiny.pretrain(motions, tmp_path / "run")
    config.optim, config.pretext.queue_length = options.Optim(epochs=1, total_batch=18), 50
    config.run.trackers = ["tensorboard"]
    result = main(config)
    out, err = capsys.readouterr()
    assert out == json.dumps(result) + "\n"
    lines = err.splitlines()
    assert lines[:3] == [
        f"pretrain: resnet18 (width 16) from fresh weights, clips of 8 x 48² of {motions}; into {tmp_path}/run",
        "18 videos (left out: 5 of other splits); 2 batch-norm groups of 9",
        "1 epoch of 1 step; 18 videos a step = 1 x 18; learning rate 0.1; on cpu",
    ]
    assert lines[3].startswith("the queue of 50 is longer than the data")
    assert lines[5].startswith("log lines: ")
    assert lines[7].startswith("epoch 1 step 1/1: loss ")
    assert "(2), RSP " in lines[7]
    assert lines[9].startswith("health: queue 36 %, own ")
    assert all(len(line) <= 100 for line in lines if str(tmp_path) not in line)
    assert lines[10].startswith("pretrain: loss ")
    assert lines[12].startswith("look: the queue was never full (keys are 36.0 % of it")
    assert lines[-3:] == [
        f"network: {tmp_path}/run/encoder.safetensors",
        f"curves: {tmp_path}/run/metrics.jsonl, {tmp_path}/run/tensorboard",
        f"written to {tmp_path}/run",
    ]
    events = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert events.Scalars("epoch/loss")[0].value == pytest.approx(result["loss"], rel=1e-5)
    (pair,) = events.Images("clips")
    assert (pair.height, pair.width) == (2 * 48, 8 * 48)


def test_a_finished_run_is_left_alone(pretrained, motions, no_steps, capsys):
    before = {path: path.stat().st_mtime_ns for path in pretrained.rglob("*") if path.name != ".lock"}
    result = main(tiny.pretrain(motions, pretrained, num_workers=3))
    assert result == json.loads((pretrained / "result.json").read_text())
    out, err = capsys.readouterr()
    assert json.loads(out) == result
    done, *words, where = err.splitlines()
    assert where == f"written to {pretrained}"
    assert done == f"{pretrained}: this was done before; remove the folder to do it again"
    assert words[0].startswith("pretrain: loss ")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("legs", [[(4, 0), (None, 2)], [(1, 2), (2, 0), (5, 1), (None, 0)]], ids=str)
def test_goes_on_to_the_bit(tmp_path, motions, pretrained, interrupted, legs):
    """Whatever the step, and with other numbers of workers."""
    run = tmp_path / "run"
    for step, num_workers in legs:
        config = tiny.pretrain(motions, run, num_workers)
        if step:
            with interrupted(step):
                main(config)
            assert not (run / "result.json").exists()
        else:
            result = main(config)
    assert tiny.differences(tiny.state(pretrained), tiny.state(run)) == []
    assert tiny.metrics(run) == tiny.metrics(pretrained)
    assert (run / "encoder.safetensors").read_bytes() == (pretrained / "encoder.safetensors").read_bytes()
    whole = json.loads((pretrained / "result.json").read_text())
    assert result | {"run_dir": None, "device_hours": None} == whole | {"run_dir": None, "device_hours": None}


def test_a_damaged_checkpoint_is_passed_over(tmp_path, motions, pretrained, interrupted, caplog):
    run = tmp_path / "run"
    with interrupted(5):
        main(tiny.pretrain(motions, run))
    newest = run / "checkpoints/step_5/state.pt"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    main(tiny.pretrain(motions, run))
    assert "step_5: state.pt is not as it was written; this checkpoint is passed over" in caplog.text
    assert tiny.differences(tiny.state(pretrained), tiny.state(run)) == []
    assert tiny.metrics(run) == tiny.metrics(pretrained)


def test_the_seed_decides(tmp_path, motions, pretrained):
    losses = []
    for seed in (1, 2):
        config = tiny.pretrain(motions, tmp_path / str(seed))
        config.optim.epochs, config.run.seed = 1, seed
        main(config)
        losses.append([line["loss"] for line in tiny.metrics(tmp_path / str(seed), "interval")])
    assert losses[0] == [line["loss"] for line in tiny.metrics(pretrained, "interval")][:3]
    assert not set(losses[0]) & set(losses[1])


@pytest.mark.parametrize("name", ["c3d", "r2plus1d", "s3dg"])
def test_one_step_of_every_network(tmp_path, motions, name):
    config = tiny.pretrain(motions, tmp_path, encoder=options.Encoder(name, 8))
    config.optim.epochs, config.optim.total_batch, config.pretext.queue_length = 1, 18, 18
    result = main(config)
    assert result["steps"] == 1
    assert torch.isfinite(torch.tensor(result["loss"]))
    assert type(rspnet.load_encoder(tmp_path)).__name__.lower().startswith(name[:3])


def indexed(root, index, statuses=()):
    """An index of the videos as they are now, the first training videos with these statuses."""
    rows = sorted(scan(root), key=lambda row: row["split"] != "train")
    for row, status in zip(rows, statuses):
        row["status"] = status
    write_rows(rows, index)
    return options.DataSet(index=str(index), num_workers=0)


def test_broken_videos_are_replaced_and_counted(tmp_path, motions, capsys):
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    data = indexed(root, tmp_path / "index.jsonl")
    (root / "train/down/00.mp4").write_bytes(b"no video" * 50)
    main(tiny.pretrain(root, tmp_path / "run", data=data))
    named = [line for line in capsys.readouterr().err.splitlines() if "could not read" in line]
    assert len(named) == 1
    assert named[0].startswith(f"could not read {root}/train/down/00.mp4: ")
    assert named[0].endswith("; another video takes its place")
    assert [line["failed_videos"] for line in tiny.metrics(tmp_path / "run", "epoch")] == [1, 1]
    (root / "train/right/01.mp4").unlink()
    with pytest.raises(VideoError, match=r"^2 of the 18 videos could not be read so far; more than 5 % "):
        main(tiny.pretrain(root, tmp_path / "again", data=data))


def test_rows_that_are_not_usable_are_left_out(tmp_path, motions, capsys):
    data = indexed(motions, tmp_path / "index.jsonl", ["truncated", "ok", "empty", "truncated"])
    config = tiny.pretrain(motions, tmp_path / "run", data=data)
    config.optim.epochs = 1
    assert main(config)["num_videos"] == 15
    assert (
        "15 videos (left out: 5 of other splits, 2 truncated, 1 empty); 2 batch-norm groups of 3\n1 epoch of 2 steps; "
        in capsys.readouterr().err
    )
    assert len(list(read_rows(tmp_path / "run/index.parquet"))) == 23


def test_videos_without_splits_or_labels(tmp_path, motions):
    for video in motions.rglob("*.mp4"):
        shutil.copy(video, tmp_path / video.name)
    config = tiny.pretrain(tmp_path, tmp_path / "run")
    config.optim.epochs = 1
    assert main(config)["num_videos"] == 23


def test_other_options_are_refused(tmp_path, motions, interrupted):
    with interrupted(1):
        main(tiny.pretrain(motions, tmp_path))
    config = tiny.pretrain(motions, tmp_path)
    config.pretext.margin = 3.0
    with pytest.raises(ConfigError, match=r"holds a run with pretext\.margin=2\.0, not 3\.0; choose another --run_dir"):
        main(config)


def test_a_run_may_go_on_in_parts(tmp_path, motions, interrupted, pretrained):
    """Of whole batch-norm groups: the numbers are those of the run in one part, but for rounding."""
    with interrupted(1):
        main(tiny.pretrain(motions, tmp_path))
    config = tiny.pretrain(motions, tmp_path)
    config.run.micro_batches = 3
    with pytest.raises(ConfigError, match=r"run\.micro_batches: 3 does not divide the 2 batch-norm groups of each"):
        main(config)
    config.run.micro_batches = 2
    assert main(config)["steps"] == 6
    for parts, whole in zip(tiny.metrics(tmp_path)[:4], tiny.metrics(pretrained)[:4], strict=True):
        for name in ("loss", "loss_avid", "loss_rsp", "avid_top1", "rsp_accuracy", "spread"):
            assert parts[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-4), (parts, whole)


def test_a_corrected_command_may_use_the_folder(tmp_path, motions):
    config = tiny.pretrain(motions, tmp_path)
    config.optim.epochs = 1
    config.data.root = str(motions / "nowhere")
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        main(config)
    config.data.root = str(motions)
    config.optim.total_batch = config.pretext.queue_length = 19
    config.pretext.bn_groups = 1
    with pytest.raises(ConfigError, match=r"optim\.total_batch: 19 is more than the 18 training videos"):
        main(config)
    config.optim.total_batch = 6
    assert main(config)["steps"] == 3


def test_a_queue_must_hold_a_batch():
    message = r"pretext\.queue_length: 10; it must hold a step's 12 videos"
    with pytest.raises(ConfigError, match=message):
        parse(Config, ["--pretext.queue_length", "10", "--optim.total_batch", "12"])
    assert parse(Config, ["--pretext.queue_length", "12", "--optim.total_batch", "12"])


def test_a_loss_that_is_no_number(tmp_path, motions):
    config = tiny.pretrain(motions, tmp_path)
    config.optim.lr = 1e30
    with pytest.raises(FloatingPointError, match=r"^step \d: the loss has become NaN or infinite"):
        main(config)
    assert not (tmp_path / "encoder.safetensors").exists()


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_an_estimate_says_what_a_run_would_take_and_keeps_nothing(tmp_path, motions, stage, capsys):
    """Also where the run is there, half done: it is left alone."""
    run_dir = tmp_path / "runs" / "run"
    run_dir.mkdir(parents=True)
    (run_dir / "notes.txt").write_text("somebody's")
    main = importlib.import_module(f"stages.{stage}").main
    optim = options.Optim(epochs=100, total_batch=6, lr=0.001)
    result = main(getattr(tiny, stage)(motions, run_dir, optim=optim, estimate=True))
    out, told = capsys.readouterr()
    assert json.loads(out) == result
    expected = {"stage": stage, "estimate": True, "epochs": 100, "steps": 300, "processes": 1, "device": "cpu"}
    assert result == result | expected
    assert result["step_time"] == pytest.approx(result["data_time"] + result["compute_time"], rel=1e-4)
    assert result["seconds"] >= 300 * result["step_time"]
    assert result["test_time"] > (0.01 if stage == "finetune" else 0)
    assert "24 steps measured" in told
    assert "in all" in told
    assert "loss" not in told
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    assert [path.name for path in run_dir.iterdir()] == ["notes.txt"]


def test_an_estimate_that_is_interrupted_keeps_nothing(tmp_path, motions, monkeypatch):
    def press(course, *_):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Course, "took", press)
    with pytest.raises(KeyboardInterrupt, match="nothing of an estimate is kept"):
        main(tiny.pretrain(motions, tmp_path / "runs" / "run", estimate=True))
    assert not list(tmp_path.iterdir())
