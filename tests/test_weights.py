"""Weight files: ours and the published layouts, every entry accounted for, and files that are none."""

import json
import math
import pickle
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import video

import rspnet
from rspnet import CheckpointError
from rspnet.checkpoint import load_encoder, load_weights, save_encoder
from rspnet.classifier import Classifier
from rspnet.disk import identity
from rspnet.encoders import create_encoder, encoder_names
from rspnet.weightfile import SIGNATURES
from tests.published_files import PUBLISHED, Code, fine_tuned_file, laid_out, pretraining_file, read_layout, small


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
        states = {name: create_encoder(name).state_dict() for name in encoder_names()}
    assert set(SIGNATURES) == set(states)
    for name, key in SIGNATURES.items():
        assert [other for other in states if key in states[other]] == [name]
        assert states[name][key].shape[0] == 64


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
    lines = report.summary().split("\n")
    assert lines[0] == (
        f"{path} (published pretraining checkpoint, {name}, epoch 200): loaded {backbone} of the network's "
        f"{backbone + 2} entries; fresh: fc.weight, fc.bias"
    )
    assert lines[1].startswith("not used: the queue, for pretraining only (2); the network's own 1-class classifier")
    assert len(lines) == 2


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
    assert "start it again to let it finish" in message(load_encoder, tmp_path)


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


def test_bytes_that_are_nothing(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(bytes(range(3, 256)) * 20)
    assert "no weight file" in message(load_encoder, path)
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


def test_another_network_names_both(tmp_path):
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "r2plus1d")
    text = message(load_weights, create_encoder("c3d", width=8), path)
    assert "holds the network r2plus1d" in text
    assert "c3d was asked for" in text
    assert "r2plus1d_18 was asked for" in message(load_weights, Classifier(create_encoder("r2plus1d_18"), 3), path)


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
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "c3d", scaler={})
    assert "scaler" in message(load_encoder, path)
    pretraining_file(path, "c3d")
    torch.save(torch.load(path, weights_only=True) | {3: None}, path)
    assert "3; save them apart" in message(load_encoder, path)
    pretraining_file(path, "c3d", model={"resnet.conv9.weight": torch.zeros(2)})
    text = message(load_encoder, path)
    assert "resnet.conv9.weight" in text
    assert "no network known here" in text
    for key, words in (
        ("encoder_q.fc3.2.weight", "does not have: encoder_q.fc3.2.weight"),
        ("encoder_q.encoder.conv6.weight", "conv6.weight too many"),
    ):
        pretraining_file(path, "c3d")
        contents = torch.load(path, weights_only=True)
        contents["model"][key] = torch.zeros(2)
        torch.save(contents, path)
        assert words in message(load_encoder, path)


def test_missing_entries(tmp_path):
    path = tmp_path / "model.pth"
    state = small("c3d").state_dict()
    del state["conv3a.weight"], state["bn5b.running_var"]
    torch.save(state, path)
    assert "bn5b.running_var" in message(load_encoder, path)


def test_one_stream_file_of_the_published_code(tmp_path):
    """Its names have one level less; the published fine-tuning silently loads nothing from it."""
    state = {f"encoder_q.{key}": value for key, value in small("c3d").state_dict().items()}
    torch.save({"model": state, "arch": "c3d"}, tmp_path / "model.pth.tar")
    assert "no network known here" in message(load_encoder, tmp_path / "model.pth.tar")


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
