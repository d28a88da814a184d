"""The two encoders of a pretraining and their heads."""

import json
import shutil

import pytest
import torch

from rspnet.errors import CheckpointError
from rspnet.running import checkpoints
from rspnet.weights.convert import convert
from rspnet.weights.heads import load_heads
from rspnet.weights.load import describe_network, save_network
from tests.support import tiny
from tests.support.published_files import fine_tuned_file, pretraining, pretraining_file, small


def assert_same(embedder, state, start, appearance, motion):
    for key, value in embedder.state_dict().items():
        theirs = key.replace("appearance", appearance).replace("motion", motion)
        assert torch.equal(value, state[f"{start}{theirs}"]), key
    assert not embedder.training


@pytest.mark.parametrize("start", ["", "module."])
def test_of_a_published_file(tmp_path, start):
    pretraining_file(tmp_path / "a.pth.tar", "r2plus1d")
    contents = torch.load(tmp_path / "a.pth.tar")
    state = contents["model"]
    contents["model"] = {start + key: value for key, value in state.items()}
    torch.save(contents, tmp_path / "a.pth.tar")
    heads = load_heads(tmp_path / "a.pth.tar")
    assert_same(heads.query_encoder, state, "encoder_q.", "fc1.2", "fc2.2")
    assert_same(heads.key_encoder, state, "encoder_k.", "fc1.2", "fc2.2")
    assert heads.summary().endswith("loaded the encoder, two heads of 16, and the key encoder")


@pytest.fixture
def run(tmp_path):
    """A folder as a pretraining leaves it, as far as weights go, and the state in its last checkpoint."""
    folder, model = tmp_path / "run", tiny.rspnet(small("c3d"), dim=16, queue_length=8)
    for value in model.key_encoder.parameters():
        value.data.add_(0.1)
    clips = {"num_frames": 8, "size": 48}
    said = {"stage": "pretrain", "epoch": 2, "steps": 6}
    save_network(folder, model.query_encoder.encoder, clips=clips, provenance=said)
    with checkpoints.writing(folder, 6) as step:
        torch.save({"model": model.state_dict()}, step / "state.pt")
        (step / "network.json").write_text(json.dumps(describe_network(model, clips) | {"provenance": said}))
    return folder, model.state_dict()


@pytest.mark.parametrize("name", ["", "checkpoints/last", "checkpoints/step_6", "checkpoints/step_6/state.pt"])
def test_of_a_run(run, name):
    folder, state = run
    heads = load_heads(folder / name)
    assert_same(heads.query_encoder, state, "query_encoder.", "appearance", "motion")
    assert_same(heads.key_encoder, state, "key_encoder.", "appearance", "motion")
    assert heads.clip.size == heads.query_encoder.encoder.clip.size == heads.key_encoder.encoder.clip.size == 48
    assert heads.file.epoch == 2
    (folder / "encoder.safetensors").unlink()  # as while it is under way
    assert load_heads(folder).file.path.parent.name == "step_6"


def test_of_a_file_without_a_key_encoder(tmp_path):
    whole = pretraining("c3d").state_dict()
    torch.save({key: value for key, value in whole.items() if key.startswith("encoder_q.")}, tmp_path / "a.pt")
    heads = load_heads(tmp_path / "a.pt")
    assert heads.key_encoder is heads.query_encoder
    assert "no key encoder" in heads.summary()


def test_what_has_no_heads_says_what_to_give(run, tmp_path):
    folder, _ = run
    fine_tuned_file(tmp_path / "tuned.pth.tar", "c3d")
    with pytest.raises(
        CheckpointError, match=r"is a fine-tuned network, without the two heads of pretraining; give the"
    ):
        load_heads(tmp_path / "tuned.pth.tar")
    with pytest.raises(CheckpointError, match=rf"an encoder alone, .*; give the run folder {folder}, with its"):
        load_heads(folder / "encoder.safetensors")
    for name in ("encoder.safetensors", "encoder.json"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(CheckpointError, match=r"an encoder alone, .*; give the run folder of a pretraining, with its"):
        load_heads(tmp_path)


def changed(change):
    state = pretraining("c3d").state_dict()
    change(state)
    return state


def wider(state):
    state["encoder_q.fc2.2.weight"], state["encoder_q.fc2.2.bias"] = torch.zeros(5, 64), torch.zeros(5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update({"encoder_q.fc1.4.weight": torch.zeros(16, 16)}), "not single linear .*fc1.4.weight"),
        (lambda s: s.pop("encoder_q.fc2.2.bias"), "not single linear layers"),
        (lambda s: s.update({"encoder_q.fc1.2.weight": torch.zeros(16, 64, 1, 1, 1)}), "not single linear layers"),
        (lambda s: s.update({"encoder_q.fc1.2.bias": torch.zeros(5)}), "both heads must give embeddings of one length"),
        (wider, r"its heads are \(16, 64\) and \(5, 64\); c3d has 64 features"),
        (lambda s: s["encoder_k.fc1.2.weight"].fill_(torch.nan), r"infinite or without values \(appearance\.weight\)"),
        (lambda s: s.pop("encoder_k.encoder.conv2.weight"), "conv2.weight missing"),
    ],
)
def test_heads_that_there_are_no_maps_of(tmp_path, change, said):
    torch.save(changed(change), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=said):
        load_heads(tmp_path / "a.pt")


def test_of_a_folder_that_a_published_file_was_converted_to(tmp_path):
    pretraining_file(tmp_path / "a.pth.tar", "c3d")
    state = torch.load(tmp_path / "a.pth.tar")["model"]
    convert(tmp_path / "a.pth.tar", tmp_path / "a", pytest.fail)
    heads = load_heads(tmp_path / "a")
    assert_same(heads.query_encoder, state, "encoder_q.", "fc1.2", "fc2.2")
    assert_same(heads.key_encoder, state, "encoder_k.", "fc1.2", "fc2.2")


def test_of_a_run_without_its_checkpoints(run):
    folder, _ = run
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(CheckpointError, match=r"an encoder alone, .*; give the run folder of a pretraining, with its"):
        load_heads(folder)
