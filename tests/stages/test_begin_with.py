"""Runs that begin with another run's weights: a finished one's, one's that goes on meanwhile, a checkpoint's."""

import json
import shutil

import pytest
import torch

import rspnet
from rspnet.cli import options
from rspnet.cli.config import parse
from rspnet.disk import sha256
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running.finished import run_at
from rspnet.weights import published
from rspnet.weights.convert import convert
from rspnet.weights.description import settled
from rspnet.weights.manifest import fault
from rspnet.weights.read import read_weights
from stages import evaluate, finetune, pretrain
from tests.support import tiny

OURS = "query_encoder.encoder."


@pytest.fixture
def unfinished(tmp_path, motions, interrupted):
    """The run folder of a pretraining that was stopped after 5 of 6 steps."""
    with interrupted(5):
        pretrain.main(tiny.pretrain(motions, tmp_path / "unfinished"))
    return tmp_path / "unfinished"


def encoder_at(run, step):
    model = tiny.state(run, f"step_{step}")["model"]
    return {name.removeprefix(OURS): value for name, value in model.items() if name.startswith(OURS)}


def test_checkpoints_are_weights(unfinished, tmp_path, capsys, monkeypatch):
    checkpoints = unfinished / "checkpoints"
    named = {unfinished: 5, checkpoints / "last": 5, checkpoints / "step_3": 3, checkpoints / "step_3/state.pt": 3}
    for weights, step in named.items():
        encoder = rspnet.load_encoder(weights)
        assert tiny.differences(dict(encoder.state_dict()), encoder_at(unfinished, step)) == [], weights
        assert (encoder.clip.num_frames, encoder.clip.size) == (8, 48)
    assert f"{unfinished}: is not finished; its newest checkpoint is used, step_5" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="has no classifier"):
        rspnet.load_classifier(checkpoints / "step_3")
    with pytest.raises(CheckpointError, match="give the run folder that it is in, or one of the checkpoints in it"):
        rspnet.load_encoder(checkpoints)

    monkeypatch.setattr(published, "_WIDTH", 16)
    convert(checkpoints / "step_5", tmp_path / "five.pth.tar", run_at)
    back = read_weights(tmp_path / "five.pth.tar")
    assert back.epoch == 1
    assert {"queue", "encoder_k.fc1.2.bias"} <= back.tensors.keys()
    assert (
        tiny.differences(dict(rspnet.load_encoder(tmp_path / "five.pth.tar").state_dict()), encoder_at(unfinished, 5))
        == []
    )

    (checkpoints / "step_5/state.pt").write_bytes(b"cut")
    rspnet.load_encoder(unfinished)
    said = capsys.readouterr().err
    assert "step_5: state.pt is not as it was written; this checkpoint is passed over" in said
    assert "is used, step_3" in said
    with pytest.raises(CheckpointError, match=r"step_5: state\.pt is not as it was written; copy the run folder again"):
        rspnet.load_encoder(checkpoints / "step_5")


def test_an_evaluation_leaves_the_checkpoint_as_it_is(unfinished, motions):
    homes = []
    for weights, step in ((unfinished, 5), (unfinished / "checkpoints/step_3", 3)):
        argv = ["--weights", str(weights), "--protocol", "knn", "--data.root", str(motions), "--data.num_workers", "0"]
        config = parse(evaluate.Config, [*argv, "--clips.views", "1"])
        assert (config.encoder.name, config.clips.size) == ("resnet18", 48)
        result = evaluate.main(config)
        assert result["weights"] == str(unfinished / f"checkpoints/step_{step}")
        assert result["weights_sha256"] == sha256(unfinished / f"checkpoints/step_{step}/state.pt")
        assert fault(unfinished / f"checkpoints/step_{step}") is None
        homes += unfinished.glob("knn_*")
    assert len(set(homes)) == 2


def test_a_run_that_began_with_a_run_that_goes_on(unfinished, motions, tmp_path, interrupted, capsys):
    """It keeps to the weights that it began with, whatever becomes of them."""
    command = ["--weights", str(unfinished), "--data.root", str(motions), "--run_dir", str(tmp_path / "tuned")]
    command += ["--optim.epochs", "1", "--optim.total_batch", "6", "--data.num_workers", "0", "--run.trackers", "[]"]
    with interrupted(1):
        finetune.main(parse(finetune.Config, command))
    assert f"weights: {unfinished}/checkpoints/step_5" in (tmp_path / "tuned/config.yaml").read_text()
    pretrain.main(tiny.pretrain(motions, unfinished))  # goes on, and finishes
    assert finetune.main(parse(finetune.Config, command))["weights"] == f"{unfinished}/checkpoints/step_5"
    shutil.rmtree(unfinished)
    capsys.readouterr()
    finetune.main(parse(finetune.Config, command))
    assert "this was done before" in capsys.readouterr().err


def test_a_finished_fine_tunings_checkpoint_is_a_classifier(finetuned):
    best = finetuned / "checkpoints/best"
    classifier, whole = rspnet.load_classifier(best), rspnet.load_classifier(finetuned)
    assert classifier.class_names == whole.class_names
    assert tiny.differences(dict(classifier.state_dict()), dict(whole.state_dict())) == []


def test_pretraining_goes_on_from_another(pretrained, motions, tmp_path, interrupted, capsys):
    """With other speeds; all of it is found in the last checkpoint, and what it began with is written down."""
    run, source = tmp_path / "run", tmp_path / "source"
    shutil.copytree(pretrained, source, symlinks=True)
    argv = ["--weights", str(source), "--data.root", str(motions), "--data.num_workers", "0", "--run_dir", str(run)]
    argv += ["--optim.epochs", "1", "--optim.total_batch", "6", "--pretext.speeds", "[2]", "--run.trackers", "[]"]
    argv += ["--pretext.bn_groups", "2", "--optim.lr", "1e-12"]
    config = parse(pretrain.Config, argv)
    assert config.encoder == options.Encoder("resnet18", 16)
    assert (config.pretext.dim, config.pretext.queue_length, config.clips.size) == (16, 10, 48)
    with interrupted(1):
        pretrain.main(config)
    said = capsys.readouterr().err
    assert f"{source}: is a finished pretraining; its last checkpoint is used, step_6" in said
    assert "epoch 2): training begins with its encoder, heads, key encoder, queue\n" in said
    before, after = (tiny.state(folder)["model"] for folder in (source, run))
    for name in ("query_encoder.encoder.conv1.weight", "query_encoder.motion.weight", "key_encoder.motion.weight"):
        torch.testing.assert_close(before[name], after[name])
    assert before["queue.pointer"] == 6  # where the step went on to write, to the end and from the start
    assert torch.equal(before["queue.columns"][:, 2:6], after["queue.columns"][:, 2:6])

    began = sha256(source / "checkpoints/step_6/state.pt")
    assert json.loads((run / "environment.json").read_text())["sources"]["weights_sha256"] == began
    shutil.rmtree(source)
    result = pretrain.main(parse(pretrain.Config, argv))  # goes on without the weights, and as what it was
    provenance = json.loads((run / "encoder.json").read_text())["provenance"]
    for told in (result, provenance):
        assert (told["weights"], told["weights_sha256"]) == (f"{source}/checkpoints/step_6", began)


def test_a_last_checkpoint_that_is_damaged_is_said(pretrained, tmp_path, capsys):
    shutil.copytree(pretrained, tmp_path / "run", symlinks=True)
    assert settled(str(tmp_path / "run"), whole=True) == str(tmp_path / "run/checkpoints/step_6")
    (tmp_path / "run/checkpoints/step_6/state.pt").write_bytes(b"")
    assert settled(str(tmp_path / "run"), whole=True) == str(tmp_path / "run")
    assert f"state.pt is not as it was written; only the encoder of {tmp_path}/run is used" in capsys.readouterr().err


def test_weights_that_have_changed_are_other_weights(pretrained, motions, tmp_path, interrupted):
    shutil.copytree(pretrained, tmp_path / "source")
    weights = tmp_path / "source/encoder.safetensors"
    config = tiny.pretrain(motions, tmp_path / "run", weights=str(weights))
    with interrupted(1):
        pretrain.main(config)
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ConfigError, match="holds a run with other weights: SHA-256 "):
        pretrain.main(config)
