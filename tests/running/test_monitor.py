"""What is measured while a pretraining runs, which stays the same to the bit."""

import os
import shutil
import signal

import pytest
from accelerate import Accelerator

import rspnet
from rspnet.cli.monitoring import Monitor as Options
from rspnet.cli.options import DataSet
from rspnet.errors import ConfigError
from rspnet.running.folder import Run
from rspnet.running.loop import TrainLoop
from rspnet.running.monitor import Monitor
from rspnet.running.team import Team
from stages import evaluate, pretrain
from tests.support import tiny

MEASURED = ("monitor_knn_top1", "monitor_recall_at_1", "chance_monitor_knn_top1", "chance_monitor_recall_at_1")


@pytest.fixture(scope="module")
def watched(motions, tmp_path_factory):
    """The run folder of a pretraining as tiny's, watched after every epoch; not to be changed."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    pretrain.main(tiny.pretrain(motions, folder, monitor=Options(data=str(motions), every=1)))
    return folder


def without(lines):
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def test_the_training_is_the_same_to_the_bit(watched, motions, tmp_path):
    pretrain.main(tiny.pretrain(motions, tmp_path))
    assert tiny.differences(tiny.state(tmp_path), tiny.state(watched)) == []
    assert tiny.metrics(tmp_path) == without(tiny.metrics(watched))
    assert (tmp_path / "encoder.safetensors").read_bytes() == (watched / "encoder.safetensors").read_bytes()


def test_what_is_measured_is_what_evaluate_measures(watched, motions, tmp_path):
    first, last = tiny.metrics(watched, "epoch")
    assert {name for name in first if "monitor" in name} == set(MEASURED)
    for step, line in ((3, first), (6, last)):
        weights = watched / f"checkpoints/step_{step}"
        clips = {"clips": tiny.sizes(views=1)["clips"]}
        found = evaluate.main(tiny.evaluate(motions, tmp_path / str(step), weights, "knn,retrieval", **clips))
        assert line["monitor_knn_top1"] == pytest.approx(found["knn"]["top1"], abs=0.01)
        assert line["chance_monitor_knn_top1"] == pytest.approx(found["knn"]["chance_top1"], abs=0.01)
        assert line["monitor_recall_at_1"] == pytest.approx(found["retrieval"]["recall"]["1"], abs=0.01)
        assert line["chance_monitor_recall_at_1"] == pytest.approx(found["retrieval"]["chance"]["1"], abs=0.01)


def test_it_goes_on_as_if_never_stopped(watched, motions, tmp_path, monkeypatch, capsys):
    """Stopped in the middle of the second epoch."""
    done = TrainLoop.step

    def step_with_a_key_press(loop, terms):
        if loop.state.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        done(loop, terms)

    config = tiny.pretrain(motions, tmp_path, monitor=Options(str(motions), every=1))
    monkeypatch.setattr(TrainLoop, "step", step_with_a_key_press)
    with pytest.raises(KeyboardInterrupt, match="step 4 is kept"):
        pretrain.main(config)
    monkeypatch.setattr(TrainLoop, "step", done)
    assert "kNN " in capsys.readouterr().err
    pretrain.main(config)
    assert tiny.metrics(tmp_path) == tiny.metrics(watched)
    assert tiny.differences(tiny.state(tmp_path), tiny.state(watched)) == []


def test_when_it_is_due_and_what_a_failure_does(motions, tmp_path, capsys):
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    run = Run(Accelerator(), Team(), {}, tmp_path, {})
    encoder = rspnet.create_encoder("resnet18", width=8)
    clip = encoder.clip.__class__(4, 32, (0.5,) * 3, (0.5,) * 3)
    monitor = Monitor(Options(str(root), every=2), run, clip, data=DataSet(), num_workers=0)
    assert [bool(monitor(encoder, epoch, 5)) for epoch in range(5)] == [False, True, False, True, True]
    assert encoder.training
    for video in (root / "test").rglob("*.mp4"):
        video.write_bytes(b"none")
    assert monitor(encoder, 4, 5) == {}
    assert "monitor: not measured after epoch 5: monitor, test videos: " in capsys.readouterr().err


def test_a_set_that_cannot_be_measured(motions, tmp_path):
    with pytest.raises(ConfigError, match=r"^monitor\.data: nowhere: no such file or folder"):
        pretrain.main(tiny.pretrain(motions, tmp_path / "run", monitor=Options("nowhere")))
    run = Run(Accelerator(), Team(), {}, tmp_path, {})
    clip = rspnet.create_encoder("resnet18", width=8).clip
    with pytest.raises(ConfigError, match=r"^monitor\.data: no video is in split 'train'"):
        Monitor(Options(str(motions / "train")), run, clip, data=DataSet(), num_workers=0)
