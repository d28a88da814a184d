"""Weight files: ours and the published layouts, every entry accounted for, and files that are none."""

import argparse
import json
import math
import pickle
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import video

import rspnet
from rspnet import CheckpointError
from rspnet.disk import identity
from rspnet.encoders import _SPECS, create_encoder
from rspnet.method.classifier import Classifier
from rspnet.weights.entries import OTHERS, SIGNATURES, sort_entries
from rspnet.weights.load import load_classifier, load_encoder, load_weights, save_encoder
from tests.support.published_files import (
    PUBLISHED,
    Code,
    fine_tuned_file,
    laid_out,
    pretraining_file,
    read_layout,
    small,
)


def description(name: str, width: int = 8) -> dict:
    return {
        "arch": name,
        "kwargs": {"width": width},
        "num_features": create_encoder(name, width=width).num_features,
        "clip": {"num_frames": 16, "stride": 1, "size": 112, "mean": [0.5] * 3, "std": [0.2] * 3, "channels": "RGB"},
        "provenance": {"stage": "pretrain", "epoch": 3, "step": 12},
    }


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    """Every entry of ours is bit-equal to theirs."""
    state = theirs.state_dict()
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0, msg=key)


def message(call, *args, **kwargs) -> str:
    """The one line of the CheckpointError that the call raises."""
    with pytest.raises(CheckpointError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_signatures_tell_the_networks_apart():
    with torch.device("meta"):
        states = {name: create_encoder(name).state_dict() for name in _SPECS}
    assert set(SIGNATURES) == set(states)
    for name, key in SIGNATURES.items():
        assert [other for other in states if key in states[other]] == [name]
        assert states[name][key].shape[0] == 64
        for prefix in ("", "module.", "module.backbone."):
            entries = sort_entries(f"{prefix}{key}" for key in states[name])
            assert (entries.arch, entries.prefix, entries.rivals) == (name, prefix, ())
            assert entries.encoder == {key: f"{prefix}{key}" for key in states[name]}


# --- files of the published code


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_pretraining_file(tmp_path, name):
    path = tmp_path / "model_best.pth.tar"
    theirs = pretraining_file(path, name)
    encoder = load_encoder(path)  # the width is seen from the entries
    assert_equal(encoder, theirs)
    assert not encoder.training
    assert encoder.num_classes == 0

    classifier = Classifier(create_encoder(name, width=8), num_classes=5)
    report = load_weights(classifier, path)
    assert_equal(classifier.encoder, theirs)
    backbone = len(theirs.state_dict()) - 2
    assert len(report.used) == backbone
    assert report.fresh == ["fc.weight", "fc.bias"]
    assert {why: len(keys) for why, keys in report.ignored.items()} == {
        "the network's own 1-class classifier, never trained or used": 2,
        "the A-VID head, for pretraining only": 2,
        "the RSP head, for pretraining only": 2,
        "the key encoder, for pretraining only": backbone + 6,
        "the queue, for pretraining only": 2,
        "the state of training, only to go on with it": 4,
    }
    lines = report.summary().split("\n  ")
    lines = [*lines[0].split("\n"), *lines[1:]]
    assert lines[0] == (
        f"{path} (published pretraining checkpoint, {name}, epoch 200): loaded {backbone} of the network's "
        f"{backbone + 2} entries; fresh: fc.weight, fc.bias"
    )
    assert lines[1].startswith("not used: the queue, for pretraining only (2); the network's own 1-class classifier")
    assert " ".join(lines[1:]).count(";") == 5
    assert max(map(len, lines[1:])) <= 100 - len("  ")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_fine_tuned_file(tmp_path, name):
    path = tmp_path / "model_best.pth.tar"
    theirs = fine_tuned_file(path, name)
    assert_equal(load_encoder(path), theirs.encoder)

    classifier = Classifier(create_encoder(name, width=8), num_classes=5)
    report = load_weights(classifier, path, head=True)
    assert_equal(classifier, theirs)
    assert report.fresh == []
    assert "fresh" not in report.summary()

    classifier = Classifier(create_encoder(name, width=8), num_classes=51)
    report = load_weights(classifier, path)
    assert_equal(classifier.encoder, theirs.encoder)
    assert report.fresh == ["fc.weight", "fc.bias"]
    assert report.ignored["its classifier, not asked for"] == ["fc.weight", "fc.bias"]
    text = message(load_weights, classifier, path, head=True)
    assert "5 classes" in text
    assert "51 were asked for" in text


def test_old_files_without_batch_counters(tmp_path):
    theirs = small("resnet18")
    state = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    encoder = create_encoder("resnet18", width=8)
    report = load_weights(encoder, tmp_path / "old.pth")
    assert report.fresh
    assert {key.rsplit(".", 1)[1] for key in report.fresh} == {"num_batches_tracked"}


@pytest.mark.parametrize("kind", ["run", "plain", "published", "classifier"])
def test_weights_that_are_no_numbers_are_refused_and_named(tmp_path, kind):
    """As a training that came apart leaves them; in whatever kind of file."""
    encoder = create_encoder("resnet18", width=8)
    state = encoder.state_dict()
    state["bn1.running_var"][3] = math.inf
    path = tmp_path / "model.pth"
    if kind == "run":
        save_encoder(tmp_path, state, description("resnet18"))
        path = tmp_path / "encoder.safetensors"
    elif kind == "plain":
        torch.save(state, path)
    elif kind == "published":
        torch.save({"model": prefixed("encoder_q.encoder.", state), "arch": "resnet18"}, path)
    else:
        classifier = Classifier(create_encoder("resnet18", width=8), 5).state_dict()
        classifier["fc.bias"][0] = math.nan
        torch.save(classifier, path)
    text = message(load_encoder, tmp_path if kind == "run" else path)
    entry = {"published": "encoder_q.encoder.bn1.running_var", "classifier": "fc.bias"}.get(kind, "bn1.running_var")
    assert text == f"{path}: holds weights that are NaN, infinite or without values ({entry}); give another file"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: (100 * value).to(torch.int8), "conv1.weight is int8, not floating point"),
        (lambda value: value > 0.5, "conv1.weight is bool, not floating"),
        (lambda value: value + 1j, "conv1.weight is complex64, not floating"),
        (lambda value: value.to("meta"), "infinite or without values (conv1.weight)"),
        (lambda value: value.to_sparse(), "conv1.weight is sparse"),
    ],
)
def test_weights_that_torch_would_copy_as_what_they_are_not(tmp_path, change, said):
    """Of a quantised network for example, whose whole numbers are nothing without their scale."""
    state = small("resnet18").state_dict()
    torch.save(state | {"conv1.weight": change(state["conv1.weight"])}, tmp_path / "model.pth")
    assert said in message(load_encoder, tmp_path / "model.pth")


def test_files_older_than_the_zip_format(tmp_path):
    theirs = small("resnet18")
    torch.save(theirs.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_equal(load_encoder(tmp_path / "old.pth"), theirs)


@pytest.mark.parametrize("name", ["r3d_18", "s3d"])
def test_torchvision_file_with_its_classifier(tmp_path, name):
    theirs = getattr(video, name)(weights=None, num_classes=6).eval()
    path = tmp_path / f"{name}.pth"
    torch.save(theirs.state_dict(), path)
    classifier = Classifier(create_encoder(name), num_classes=6).eval()
    assert load_weights(classifier, path, head=True).fresh == []
    own = create_encoder(name, num_classes=6).eval()
    assert load_weights(own, path, head=True).fresh == []
    assert_equal(own, theirs)
    clips = torch.randn(1, 3, 8, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(clips), own(clips))
        if name != "s3d":  # torchvision's refuses clips this small
            torch.testing.assert_close(classifier(clips), theirs(clips))
    assert load_weights(Classifier(create_encoder(name), 6), path).fresh == ["fc.weight", "fc.bias"]


def test_unused_classifier_of_a_width_that_other_people_extracted(tmp_path):
    theirs = small("c3d", num_classes=1)
    torch.save(theirs.state_dict(), tmp_path / "backbone.pth")
    report = load_weights(create_encoder("c3d", width=8), tmp_path / "backbone.pth")
    assert report.ignored == {"its classifier, not asked for": ["linear.weight", "linear.bias"]}


# --- files of other trainers


def numpys() -> dict:
    numbers = {"epoch": np.int64(3), "best_loss": np.float64(1), "best_acc1": np.float32(2), "flag": np.bool_(True)}
    return numbers | {"name": np.str_("run"), "curve": np.arange(3.0), "args": argparse.Namespace(lr=0.1)}


def prefixed(prefix: str, state: dict) -> dict:
    return {f"{prefix}{key}": value for key, value in state.items()}


OTHER_FILES = {
    "DDP": (lambda state: prefixed("module.", state), "encoder below 'module.'"),
    "compiled": (lambda state: prefixed("_orig_mod.", state), "encoder below '_orig_mod.'"),
    "both": (lambda state: {"model": prefixed("module._orig_mod.", state)}, "in 'model' below 'module._orig_mod.'"),
    "nested": (lambda state: {"state_dict": state, "epoch": 3}, "encoder in 'state_dict'"),
    "deep": (
        lambda state: {"checkpoint": {"model_state_dict": state, "optimizer": {}}},
        "'checkpoint.model_state_dict'",
    ),
    "Lightning": (
        lambda state: {
            "state_dict": prefixed("model.backbone.", state),
            "hyper_parameters": {"lr": 1},
            "callbacks": {},
        },
        "encoder in 'state_dict' below 'model.backbone.'",
    ),
    "numpy": (
        lambda state: {"model": prefixed("encoder_q.encoder.", state), "arch": "resnet18", **numpys()},
        "published pretraining checkpoint",
    ),
    "MoCo": (
        lambda state: {
            "state_dict": prefixed("module.encoder_q.", state)
            | prefixed("module.encoder_k.", {key: torch.zeros_like(value) for key, value in state.items()})
            | {"module.queue": torch.zeros(4, 8)},
            "arch": "resnet50",
        },
        "encoder in 'state_dict' below 'module.encoder_q.'",
    ),
    "average beside": (
        lambda state: {"state_dict": state, "state_dict_ema": {key: value * 0 for key, value in state.items()}},
        "encoder in 'state_dict'",
    ),
    "a dot in a name": (
        lambda state: {"step": 1, "ema.model": {"net.0": state, "decay": 0.9}},
        "encoder in 'ema.model.net.0'",
    ),
    "numbers among the tensors": (lambda state: {**state, "epoch": 3}, "encoder"),
}


@pytest.mark.parametrize("case", OTHER_FILES)
def test_files_of_other_trainers(tmp_path, case):
    """Every entry that the network has comes from the file, the place is named, and so is what is left."""
    make, place = OTHER_FILES[case]
    theirs = small("resnet18")
    contents = make(theirs.state_dict())
    torch.save(contents, tmp_path / "model.pth")
    assert_equal(load_encoder(tmp_path / "model.pth"), theirs)
    report = load_weights(create_encoder("resnet18", width=8), tmp_path / "model.pth")
    assert (len(report.used), report.fresh) == (120, [])
    assert report.layout.endswith(place)
    accounted = [*report.used, *(key for keys in report.ignored.values() for key in keys)]
    assert len(accounted) == len(set(accounted))
    for key, value in contents.items():
        if not isinstance(value, dict) and key != "arch":
            assert key in accounted
    if "epoch" in contents:
        assert (report.epoch, type(report.epoch)) == (3, int)


def test_a_wrapped_classifier(tmp_path):
    theirs = Classifier(small("c3d"), num_classes=4)
    torch.save({"model": prefixed("module.", theirs.state_dict())}, tmp_path / "model.pth")
    again = Classifier(create_encoder("c3d", width=8), num_classes=4)
    report = load_weights(again, tmp_path / "model.pth", head=True)
    assert_equal(again, theirs)
    assert report.layout == "fine-tuned classifier in 'model' below 'module.encoder.'"


def test_a_trained_encoder_with_a_head_of_its_own(tmp_path):
    theirs = small("resnet18", num_classes=6)
    torch.save({"state_dict": prefixed("net.encoder.", theirs.state_dict())}, tmp_path / "model.pth")
    classifier = load_classifier(tmp_path / "model.pth")
    clips = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(classifier(clips), theirs.eval()(clips))


def test_rspnet_on_torchvisions_network(tmp_path):
    """As the SEVERE benchmark publishes it: the network's parts have numbers, and heads and key encoder lie beside."""
    theirs = create_encoder("r2plus1d_18")
    parts = ("stem", "layer1", "layer2", "layer3", "layer4")
    numbered = {
        f"{parts.index(key.split('.')[0])}.{key.split('.', 1)[1]}": value for key, value in theirs.state_dict().items()
    }
    model = prefixed("encoder_q.encoder.base_network.", numbered) | prefixed(
        "encoder_k.encoder.base_network.", numbered
    )
    heads = {f"encoder_q.fc{head}.2.weight": torch.zeros(2, 2) for head in "12"} | {"queue": torch.zeros(2, 2)}
    path = tmp_path / "severe.pth.tar"
    torch.save({"epoch": 200, "arch": "r2plus1d-vcop", "model": model | heads, "best_loss": np.float64(1)}, path)
    assert_equal(load_encoder(path), theirs)
    report = load_weights(Classifier(create_encoder("r2plus1d_18"), 3), path)
    place = "encoder in 'model' below 'encoder_q.encoder.base_network.', its parts numbered"
    assert (report.layout, report.fresh, report.epoch) == (place, ["fc.weight", "fc.bias"], 200)
    assert {"encoder_q.fc1.2.weight", "encoder_k.encoder.base_network.0.0.weight"} < set(report.ignored[OTHERS])


def test_safetensors_of_other_trainers(tmp_path):
    theirs = small("resnet18")
    save_file(prefixed("module.", theirs.state_dict()), tmp_path / "model.safetensors")
    assert_equal(load_encoder(tmp_path / "model.safetensors"), theirs)


def test_two_networks_in_one_file(tmp_path):
    one, two = (small("resnet18").state_dict() for _ in "ab")
    torch.save({"first": one, "second": two}, tmp_path / "model.pth")
    text = message(load_encoder, tmp_path / "model.pth")
    assert "holds more than one network (resnet18 in 'first', resnet18 in 'second'); save the state dict of" in text
    torch.save(prefixed("first.", one) | prefixed("second.", two), tmp_path / "model.pth")
    assert "(resnet18 below 'first.', resnet18 below 'second.')" in message(load_encoder, tmp_path / "model.pth")


def test_other_trainers_files_that_do_not_fit(tmp_path):
    path = tmp_path / "model.pth"
    state = small("resnet18").state_dict()
    torch.save({"state_dict": prefixed("module.", {key: state[key] for key in list(state)[:-5]})}, path)
    assert "layer4" in message(load_encoder, path)
    torch.save({"state_dict": {"backbone.blocks.0.attn.qkv.weight": torch.zeros(3)}, "epoch": 1}, path)
    assert "(in 'state_dict' backbone.blocks.0.attn.qkv.weight) are of no network known" in message(load_encoder, path)
    torch.save({"epoch": 1, "optimizer": {"state": {}}}, path)
    assert "holds no state dict (names and tensors) but epoch, optimizer" in message(load_encoder, path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "is a Git LFS pointer" in message(load_encoder, path)


# --- trained classifiers


def test_a_trained_classifier(tmp_path):
    ours = Classifier(small("c3d"), num_classes=3).eval()
    names = ["a", "b", "c"]
    save_encoder(tmp_path, ours.state_dict(), description("c3d") | {"class_names": names})
    classifier = rspnet.load_classifier(tmp_path)
    assert_equal(classifier, ours)
    assert not classifier.training
    assert classifier.class_names == names
    views = torch.randn(2, 3, 16, 32, 32)
    with torch.no_grad():
        probabilities = ours(views).softmax(1).tolist(), ours(views[None])[0].softmax(0)
    found = classifier.predict(views, k=2)
    best = probabilities[1].argsort(descending=True)[:2].tolist()
    assert [name for name, _ in found] == [names[number] for number in best]
    assert [value for _, value in found] == pytest.approx(probabilities[1][best].tolist())
    text = f"{tmp_path}/encoder.safetensors: has a trained classifier of 3 classes, which is not loaded: num_classes=3"
    with pytest.warns(UserWarning, match=text):
        assert load_encoder(tmp_path, num_classes=3).num_classes == 3
    assert "its classifier is for 3 classes, not 2" in message(load_classifier, tmp_path, class_names=["a", "b"])


def test_a_classifier_whose_file_names_no_classes(tmp_path):
    fine_tuned_file(tmp_path / "model_best.pth.tar", "resnet18")
    classifier = load_classifier(tmp_path / "model_best.pth.tar")
    assert classifier.class_names is None
    assert {name for name, _ in classifier.predict(torch.randn(1, 3, 4, 32, 32))} == set("01234")
    assert load_classifier(tmp_path / "model_best.pth.tar", list("abcde")).class_names == list("abcde")
    pretraining_file(tmp_path / "pretrained.pth.tar", "resnet18")
    assert "has no classifier; fine-tune" in message(load_classifier, tmp_path / "pretrained.pth.tar")


def test_a_contrastive_projection_is_no_classifier(tmp_path):
    """MoCo's files have one of one layer or of two, and call it `fc` as others call a classifier."""
    theirs, path = small("resnet18"), tmp_path / "moco.pth.tar"
    for names in (("fc.weight", "fc.bias"), ("fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias")):
        state = theirs.state_dict() | {name: torch.zeros(4, 64) for name in names}
        torch.save({"state_dict": prefixed("module.encoder_q.", state), "arch": "resnet18"}, path)
        assert "has no classifier" in message(load_classifier, path)
        report = load_weights(create_encoder("resnet18", width=8), path)
        assert report.ignored["its projection, for pretraining only"] == [f"module.encoder_q.{name}" for name in names]
        assert_equal(load_encoder(path), theirs)


@pytest.mark.parametrize(
    ("weight", "bias", "said"),
    [
        ((4, 33), 4, "fc.weight is (4, 33)"),
        ((4, 64), 5, "fc.bias is (5,)"),
        ((64,), 1, "no classifier"),
    ],
)
def test_a_classifier_of_another_shape(tmp_path, weight, bias, said):
    state = small("resnet18").state_dict() | {"fc.weight": torch.zeros(weight), "fc.bias": torch.zeros(bias)}
    torch.save(state, tmp_path / "model.pth")
    assert said in message(load_classifier, tmp_path / "model.pth")


@pytest.mark.parametrize("shape", [(16, 56, 56, 3), (3, 56, 56, 3), (2, 16, 3, 56, 56), (0, 3, 4, 8, 8)])
def test_clips_that_are_none(shape):
    """Frames as floats, a clip without its first dimension: some would fit the network as something else."""
    with pytest.raises(ValueError, match="give what rspnet"):
        Classifier(small("resnet18"), 3).predict(torch.rand(shape))


# --- what to feed them with


def test_what_a_network_is_fed_with(tmp_path, capsys):
    usual = create_encoder("s3dg", width=8).clip
    torch.save(small("s3dg").state_dict(), tmp_path / "model.pth")
    assert load_encoder(tmp_path / "model.pth").clip == usual
    assert "does not say what clips it was trained on; its `clip` is what s3dg is made for, 16 frames of 224" in (
        capsys.readouterr().err
    )
    assert (usual.num_frames, usual.size, usual.stride, usual.sampling, usual.views) == (16, 224, 1, "clip", 10)
    clip = {"num_frames": 8, "size": 48, "stride": 2, "frame_rate": 12.5, "mean": [0.1, 0.2, 0.3], "channels": "BGR"}
    save_encoder(tmp_path, small("s3dg").state_dict(), description("s3dg") | {"clip": clip})
    got = load_encoder(tmp_path).clip
    assert capsys.readouterr().err == ""
    assert (got.num_frames, got.size, got.stride, got.frame_rate, got.channels) == (8, 48, 2, 12.5, "BGR")
    assert (got.mean, got.std, got.sampling, got.views) == ((0.1, 0.2, 0.3), usual.std, "clip", 10)


# --- our own


def test_encoder_round_trip(tmp_path):
    ours = small("r2plus1d")
    save_encoder(tmp_path, ours.state_dict(), description("r2plus1d"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder.json", "encoder.safetensors"]
    for path in (tmp_path, str(tmp_path), tmp_path / "encoder.safetensors"):
        assert_equal(rspnet.load_encoder(path), ours)
    written = json.loads((tmp_path / "encoder.json").read_text())
    assert written["format"] == 1
    assert written["num_classes"] == 0
    assert written["clip"]["channels"] == "RGB"
    assert written["provenance"] == {"stage": "pretrain", "epoch": 3, "step": 12}
    report = load_weights(create_encoder("r2plus1d", width=8), tmp_path)
    assert report.description == written
    assert report.summary().startswith(
        f"{tmp_path / 'encoder.safetensors'} (rspnet encoder, r2plus1d, epoch 3): loaded"
    )
    assert load_encoder(tmp_path, num_classes=3).num_classes == 3
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1  # who may read the one may read the other


def test_classifier_round_trip(tmp_path):
    ours = Classifier(small("s3dg"), num_classes=4)
    save_encoder(tmp_path, ours.state_dict(), description("s3dg") | {"class_names": ["a", "b", "c", "d"]})
    assert json.loads((tmp_path / "encoder.json").read_text())["num_classes"] == 4
    assert_equal(load_encoder(tmp_path), ours.encoder)
    again = Classifier(create_encoder("s3dg", width=8), num_classes=4)
    report = load_weights(again, tmp_path, head=True)
    assert_equal(again, ours)
    assert report.layout == "rspnet fine-tuned classifier"
    assert report.description["class_names"] == ["a", "b", "c", "d"]


def test_saving_replaces_and_leaves_no_rest(tmp_path):
    save_encoder(tmp_path, small("c3d").state_dict(), description("c3d"))
    second = small("resnet18")
    second.to(memory_format=torch.channels_last_3d)
    save_encoder(tmp_path, second.state_dict(), description("resnet18"))
    assert_equal(load_encoder(tmp_path), second)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_wrong_description_is_refused_before_anything_is_written(tmp_path):
    state = small("c3d").state_dict()
    incomplete = description("c3d")
    del incomplete["clip"]
    for wrong in (incomplete, description("resnet18")):
        with pytest.raises(ValueError, match="description"):
            save_encoder(tmp_path, state, wrong)
    assert list(tmp_path.iterdir()) == []


# --- what must be refused, with the file and the remedy


def test_no_file(tmp_path):
    assert "no such file or folder" in message(load_encoder, tmp_path / "nowhere")
    assert "no encoder.safetensors in this folder" in message(load_encoder, tmp_path)
    (tmp_path / "checkpoints").mkdir()
    assert "this run has no checkpoint yet; start it again" in message(load_encoder, tmp_path)


def zipped_code(path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(2)}, "arch": Code()}, path)


def legacy_code(path: Path) -> None:
    torch.save({"model": Code()}, path, _use_new_zipfile_serialization=False)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"model": Code()}))


def whole_module(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


@pytest.mark.parametrize("write", [zipped_code, legacy_code, plain_pickle, whole_module])
def test_code_is_never_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "model.pth.tar")
    text = message(load_encoder, tmp_path / "model.pth.tar")
    assert text.startswith(f"{tmp_path / 'model.pth.tar'}: holds Python objects")
    assert "save its state dict" in text
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pth.tar", ".safetensors"])
def test_a_web_page(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_text("\n  <!DOCTYPE html><html><body>Quota exceeded</body></html>")
    text = message(load_encoder, path)
    assert text.startswith(f"{path}: is an HTML page")
    assert "download it again" in text


def test_weights_that_begin_like_a_web_page(tmp_path):
    """The header of a safetensors file of 0x3c20 bytes: its length reads as a blank and a bracket."""
    ours = small("c3d")
    save_encoder(tmp_path, ours.state_dict(), description("c3d"))
    path, beside = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    path.write_bytes((0x3C20).to_bytes(8, "little") + whole[8:end].ljust(0x3C20) + whole[end:])
    assert path.read_bytes().startswith(b" <")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"weights": identity(path)}))
    assert_equal(load_encoder(tmp_path), ours)


@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_published_files(tmp_path, legacy):
    path = tmp_path / "model.pth.tar"
    torch.save(small("resnet18").state_dict(), path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for length in [0, 1, 10, 100, 1000, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
        path.write_bytes(whole[:length])
        text = message(load_encoder, path)
        assert text.startswith(f"{path}: ")
        assert "again" in text or "save its state dict" in text, length


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_a_torchscript_program(tmp_path):
    torch.jit.save(torch.jit.script(nn.Conv3d(1, 1, 1)), tmp_path / "model.pt")
    text = f"{tmp_path}/model.pt: is a TorchScript program; save its state dict and give that"
    assert message(load_encoder, tmp_path / "model.pt") == text


def test_a_shard_that_holds_names_alone(tmp_path):
    for empty, shape in ((torch.zeros(0), "(0,)"), (torch.tensor(1.0), "()")):
        torch.save(small("resnet18").state_dict() | {"layer1.0.conv1.weight": empty}, tmp_path / "model.pth")
        text = f"layer1.0.conv1.weight is {shape}; save the state dict of all processes"
        assert text in message(load_encoder, tmp_path / "model.pth")


def test_bytes_that_are_nothing(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(bytes(range(3, 256)) * 20)
    assert "no weight file" in message(load_encoder, path)
    (tmp_path / "encoder.json").write_text("{}")
    assert "is no weight file; give the run folder" in message(load_encoder, tmp_path / "encoder.json")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch")
    assert "is no weight file; give the run folder" in message(load_encoder, tmp_path / "model.onnx")
    torch.save([torch.zeros(2)], path)
    assert "no state dict" in message(load_encoder, path)
    torch.save({"conv1.bias": 3}, path)
    assert "no state dict" in message(load_encoder, path)
    torch.save({1: torch.zeros(2)}, path)
    assert "no state dict" in message(load_encoder, path)


def test_damaged_files_of_ours(tmp_path):
    save_encoder(tmp_path, small("c3d").state_dict(), description("c3d"))
    path, beside = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    whole, text = path.read_bytes(), beside.read_text()
    path.write_bytes(whole[:-1])
    assert "damaged" in message(load_encoder, tmp_path)
    flipped = bytearray(whole)
    flipped[-1000] ^= 1
    path.write_bytes(flipped)
    assert "damaged" in message(load_encoder, tmp_path)
    path.write_bytes(whole)
    beside.write_text(text[:40])
    assert str(beside) in message(load_encoder, tmp_path)
    beside.unlink()
    missing = message(load_encoder, path)
    assert "encoder.json is missing beside it" in missing
    beside.write_text(text)
    load_encoder(path)
    beside.write_text(json.dumps(json.loads(text) | {"kwargs": {"width": 16}}))
    assert "says it has width 16, but its entries have 8; do not use it" in message(load_encoder, path)
    beside.write_text(json.dumps(json.loads(text) | {"clip": {"mean": [0.5, 0.5]}}))
    assert "encoder.json: does not describe weights (clip.mean is [0.5, 0.5])" in message(load_encoder, path)


def test_another_network_names_both(tmp_path):
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "r2plus1d")
    text = message(load_weights, create_encoder("c3d", width=8), path)
    assert "holds the network r2plus1d" in text
    assert "not c3d" in text
    assert "not r2plus1d_18" in message(load_weights, Classifier(create_encoder("r2plus1d_18"), 3), path)


def test_arch_entry_is_compared_with_the_entries(tmp_path):
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "r2plus1d", arch="c3d")
    text = message(load_encoder, path)
    assert "'c3d'" in text
    assert "r2plus1d" in text


def test_another_width(tmp_path):
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "resnet18")
    target = create_encoder("resnet18", width=16)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    assert "the file's resnet18 has width 8" in message(load_weights, target, path)
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())
    assert "has width 8" in message(load_encoder, path, width=16)


def test_another_variant(tmp_path):
    torch.save(video.mc3_18(weights=None).state_dict(), tmp_path / "mc3.pth")  # r3d_18's names, other shapes
    assert "another variant of r3d_18" in message(load_encoder, tmp_path / "mc3.pth")


def test_unknown_entries(tmp_path):
    """Beside the network they are named, inside of it they are an error."""
    path = tmp_path / "model.pth.tar"
    theirs = pretraining_file(path, "c3d", scaler={})
    contents = torch.load(path, weights_only=True) | {3: None}
    contents["model"]["encoder_q.fc3.2.weight"] = torch.zeros(2)
    torch.save(contents, path)
    encoder = create_encoder("c3d", width=8)
    report = load_weights(encoder, path)
    assert_equal(encoder, theirs)
    assert report.ignored[OTHERS] == ["encoder_q.fc3.2.weight", "3", "scaler"]
    summary = " ".join(report.summary().split())
    assert "other data of its trainer (encoder_q.fc3.2.weight, 3, scaler)" in summary
    pretraining_file(path, "c3d", model={"resnet.conv9.weight": torch.zeros(2)})
    text = message(load_encoder, path)
    assert "resnet.conv9.weight" in text
    assert "no network known here" in text
    contents["model"]["encoder_q.encoder.conv6.weight"] = torch.zeros(2)
    torch.save(contents, path)
    assert "conv6.weight too many" in message(load_encoder, path)


def test_missing_entries(tmp_path):
    path = tmp_path / "model.pth"
    state = small("c3d").state_dict()
    del state["conv3a.weight"], state["bn5b.running_var"]
    torch.save(state, path)
    assert "bn5b.running_var" in message(load_encoder, path)


def test_one_stream_file_of_the_published_code(tmp_path):
    """Its names have one level less; the published fine-tuning silently loads nothing from it."""
    theirs = small("c3d")
    state = {f"encoder_q.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"model": state, "arch": "c3d"}, tmp_path / "model.pth.tar")
    encoder = create_encoder("c3d", width=8)
    report = load_weights(encoder, tmp_path / "model.pth.tar")
    assert_equal(encoder, theirs)
    assert report.layout == "encoder in 'model' below 'encoder_q.'"


def test_pretraining_file_has_no_classifier(tmp_path):
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "c3d")
    assert "fine-tune" in message(load_weights, Classifier(create_encoder("c3d", width=8), 5), path, head=True)


# --- the published files' exact layout


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("kind", ["pretrain_checkpoint", "finetune_checkpoint_101"])
def test_exact_published_layout(shared, tmp_path, name, kind):
    # Each tensor holds one number, stored once: files of half a gigabyte shrink to one megabyte.
    layout, numbers = read_layout(shared, name, kind), count(1)
    contents = laid_out(layout, lambda key, shape, dtype: torch.tensor(next(numbers) % 1000).to(dtype).expand(shape))
    model = contents["model"]
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(contents, path)

    tuned = kind.startswith("finetune")
    classifier = Classifier(create_encoder(name), num_classes=101)
    report = load_weights(classifier, path, head=tuned)
    accounted = [*report.used, *(key for keys in report.ignored.values() for key in keys)]
    assert sorted(accounted) == sorted([*model, *(key for key in contents if key not in ("model", "arch"))])
    assert report.fresh == ([] if tuned else ["fc.weight", "fc.bias"])
    prefix = "" if tuned else "encoder_q."
    for key, value in classifier.state_dict().items():
        if key not in report.fresh:
            assert torch.equal(value, model[prefix + key]), key
    assert load_encoder(path).num_features == math.prod(classifier.fc.weight.shape) // 101
