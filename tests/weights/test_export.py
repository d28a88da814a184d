"""Exported folders, read by rspnet and by timm; what is replaced, and what is not."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import rspnet
from rspnet.encoders import as_clip
from rspnet.errors import CheckpointError, ConfigError, DiskError
from rspnet.method.classifier import Classifier
from rspnet.temporary import temporary
from rspnet.weights import exported
from rspnet.weights.export import Package, package, place, write
from rspnet.weights.load import load_classifier, load_encoder, save_network
from rspnet.weights.read import read_weights
from tests.support.published_files import fine_tuned_file, pretraining_file, small

CLIP = {"num_frames": 8, "size": 32, "stride": 2, "frame_rate": 12.5, "sampling": "clip", "views": 3}
CLIP |= {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "channels": "RGB"}
PROVENANCE = {"stage": "finetune", "run_dir": "/home/me/runs/a", "weights": "/home/me/runs/c3d", "epoch": 3}
NAMES = ["boxing", "running", "wélking"]


def clips(count=2):
    return torch.randn(count, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))


def run_folder(folder: Path, name="c3d", names=NAMES, width=8):
    """A finished run's weights; without names those of an encoder."""
    network = small(name, width=width) if width else rspnet.create_encoder(name)
    network.clip = as_clip(CLIP, network.clip)
    network = Classifier(network, len(names), class_names=names) if names else network
    folder.mkdir(parents=True)
    save_network(folder, network.eval(), clips=CLIP, provenance=PROVENANCE)
    return network


def loaded(path) -> Package:
    return package(read_weights(path), None, [])


def export(source, dst, form="hub", weights_license=None):
    path = place(str(dst), form, str(source))
    return write(path, form, loaded(source), weights_license=weights_license, repo=None)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def same(one, two):
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def in_timm(folder, **kwargs):
    return timm.create_model(f"local-dir:{folder}", pretrained=True, **kwargs).eval()


@pytest.mark.parametrize("form", ["hub", "timm"])
@pytest.mark.parametrize("name", ["c3d", "resnet18", "r2plus1d", "s3dg"])
def test_an_encoder_is_read_as_it_was(tmp_path, name, form):
    network = run_folder(tmp_path / "run", name, names=None)
    export(tmp_path / "run", tmp_path / "out", form)
    assert names_in(tmp_path / "out") == ["README.md"] * (form == "hub") + ["config.json", "model.safetensors"]
    ours, theirs = load_encoder(tmp_path / "out"), in_timm(tmp_path / "out")
    with torch.no_grad():
        same(ours(clips()), network(clips()))
        same(theirs(clips()), network(clips()))
        maps = in_timm(tmp_path / "out", features_only=True, out_indices=(1, 4))(clips())
        same(maps[1], network.forward_features(clips()))
    assert ours.clip == theirs.clip == load_encoder(tmp_path / "run").clip
    cfg = theirs.pretrained_cfg
    assert ours.pretrained_cfg["notes"] == cfg["notes"]
    assert (cfg["input_size"], cfg["mean"], cfg["crop_pct"]) == ((3, 32, 32), (0.5, 0.4, 0.3), 1.0)
    assert cfg["notes"] == ("num_frames=8", "stride=2", "frame_rate=12.5", "sampling=clip", "channels=RGB")
    with pytest.raises(CheckpointError, match="has no classifier"):
        load_classifier(tmp_path / "out")


@pytest.mark.parametrize(("name", "width"), [("c3d", 8), ("s3d", None)])
def test_a_classifier_is_read_as_it_was(tmp_path, name, width):
    """Of torchvision's S3D timm's classifier is a convolution."""
    network = run_folder(tmp_path / "run", name, width=width)
    export(tmp_path / "run", tmp_path / "out")
    ours, theirs = load_classifier(tmp_path / "out"), in_timm(tmp_path / "out")
    assert ours.class_names == list(theirs.pretrained_cfg["label_names"]) == NAMES
    x = torch.randn(1, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same(ours(x), network(x))
        torch.testing.assert_close(theirs(x), network(x), rtol=1e-5, atol=1e-6)
        same(load_encoder(tmp_path / "out")(x), network.encoder(x))
        assert in_timm(tmp_path / "out", num_classes=7)(x).shape == (1, 7)


def test_config_says_all_that_it_is_fed_with(tmp_path):
    run_folder(tmp_path / "run")
    export(tmp_path / "run", tmp_path / "out", weights_license="cc-by-4.0")
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["model_args"] == {"width": 8, "clip": CLIP}
    assert config["label_names"] == NAMES
    assert config["pretrained_cfg"]["license"] == "cc-by-4.0"
    assert config["rspnet"]["provenance"] == {"stage": "finetune", "weights": "c3d", "epoch": 3}
    for path in (tmp_path / "out").iterdir():
        assert b"/home/me" not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()


def test_what_was_exported_is_exported_again_as_it_is(tmp_path):
    run_folder(tmp_path / "run")
    measured = [{"protocol": "knn", "metric": "top-1", "value": 50.0, "interval": [40.4, 59.6], "chance": None}]
    measured[0] |= {"num_videos": 100, "views": 10, "fold": 1, "data": "ucf101", "data_fingerprint": "ab"}
    first = package(read_weights(tmp_path / "run"), {"data": "ucf101", "seed": 1}, measured)
    for folder in ("one/net", "two/net"):
        write(tmp_path / folder, "hub", first, weights_license=None, repo=None)
        first = loaded(tmp_path / folder)
    for name in names_in(tmp_path / "one/net"):
        assert (tmp_path / "one/net" / name).read_bytes() == (tmp_path / "two/net" / name).read_bytes(), name


def test_published_files_say_neither_clips_nor_classes(tmp_path):
    fine_tuned_file(tmp_path / "best.pth.tar", "c3d")
    assert loaded(tmp_path / "best.pth.tar").notes == [
        "does not say what clips it is for; those that c3d is made for are written, 16 frames of 112 pixels",
        "does not name its classes; they are numbered",
    ]
    export(tmp_path / "best.pth.tar", tmp_path / "out")
    assert load_classifier(tmp_path / "out").class_names is None
    said = json.loads((tmp_path / "out/config.json").read_text())
    assert "label_names" not in said
    assert said["rspnet"]["provenance"]["source"]["file"] == "best.pth.tar"
    assert loaded(tmp_path / "out").notes == loaded(tmp_path / "best.pth.tar").notes
    pretraining_file(tmp_path / "pre.pth.tar", "c3d")
    export(tmp_path / "pre.pth.tar", tmp_path / "pre")
    same(load_encoder(tmp_path / "pre")(clips()), load_encoder(tmp_path / "pre.pth.tar")(clips()))


def test_halves_are_written_as_float32(tmp_path):
    network = small("c3d").half()
    save_file(network.state_dict(), tmp_path / "half.safetensors")
    assert loaded(tmp_path / "half.safetensors").notes[0] == "its values are float16, and are written as float32"
    export(tmp_path / "half.safetensors", tmp_path / "out")
    for name, value in load_file(tmp_path / "out/model.safetensors").items():
        same(value, network.state_dict()[name].float() if value.is_floating_point() else network.state_dict()[name])


# --- where it goes


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path):
    run_folder(tmp_path / "one")
    run_folder(tmp_path / "two", names=None)
    (tmp_path / "out").mkdir()
    export(tmp_path / "one", tmp_path / "out")
    export(tmp_path / "two", tmp_path / "out", "timm")
    assert names_in(tmp_path / "out") == ["config.json", "model.safetensors"]
    assert load_encoder(tmp_path / "out").num_classes == 0
    export(tmp_path / "one", tmp_path / "out")
    assert load_classifier(tmp_path / "out").class_names == NAMES
    (tmp_path / "out/mine.txt").write_text("mine")
    before = names_in(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds something other than an earlier export \(mine.txt\)"):
        export(tmp_path / "one", tmp_path / "out")
    assert names_in(tmp_path / "out") == before
    assert names_in(tmp_path) == ["one", "out", "two"]


@pytest.mark.parametrize("form", ["hub", "torch_export"])
def test_a_full_disk_leaves_the_earlier_export(tmp_path, no_file_larger_than, form):
    run_folder(tmp_path / "one")
    run_folder(tmp_path / "two")
    out = tmp_path / ("out" if form == "hub" else "out.pt2")
    export(tmp_path / "one", out, form)
    files = sorted(out.iterdir()) if out.is_dir() else [out]
    before = [path.read_bytes() for path in files]
    with no_file_larger_than(100_000), pytest.raises(DiskError, match=r"out\S*: cannot be written"):
        export(tmp_path / "two", out, form)
    assert [path.read_bytes() for path in files] == before
    assert names_in(tmp_path) == ["one", out.name, "two"]


def test_a_card_that_was_changed_by_hand_is_not_lost(tmp_path):
    run_folder(tmp_path / "one")
    run_folder(tmp_path / "two")
    export(tmp_path / "one", tmp_path / "out")
    card = tmp_path / "out/README.md"
    card.write_text(card.read_text() + "\nMy words.\n")
    for _ in range(2):
        assert export(tmp_path / "one", tmp_path / "out") == ["README.md was changed by hand, and is kept"]
        assert card.read_text().endswith("My words.\n")
    said = "README.md was changed by hand, and is kept; say there that the weights' licence is cc-by-4.0"
    assert export(tmp_path / "one", tmp_path / "out", weights_license="cc-by-4.0") == [said]
    for source, form in (("two", "hub"), ("one", "timm")):
        before = {path.name: path.read_bytes() for path in card.parent.iterdir()}
        with pytest.raises(ConfigError, match=r"README.md was changed by hand, and would be lost"):
            export(tmp_path / source, tmp_path / "out", form)
        assert {path.name: path.read_bytes() for path in card.parent.iterdir()} == before
    card.unlink()
    assert export(tmp_path / "two", tmp_path / "out") == []


def test_what_a_killed_process_was_writing_is_in_nobodys_way(tmp_path):
    (tmp_path / "full").mkdir()
    temporary(tmp_path / "full/model.onnx").touch()
    assert place(str(tmp_path / "full"), "onnx", "run") == tmp_path / "full/model.onnx"


def test_places_that_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder(tmp_path / "run")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine.onnx").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/data.txt").write_text("mine")
    (tmp_path / "link").symlink_to("run")
    for dst, form, words in [
        ("run", "hub", "run: lies in run, which is to be exported"),
        ("run/hub", "hub", "run/hub: lies in run"),
        ("link/hub", "timm", "link/hub: lies in run"),
        ("run/a.onnx", "onnx", "run/a.onnx: lies in run"),
        ("file", "hub", "file: is a file; an export in this format is a folder"),
        ("full", "hub", "full: is not empty, and holds something other"),
        ("full", "onnx", "full: is not empty, and data.txt in it is no such export"),
        (".", "torch_export", r"\.: lies in run|is not empty"),
        ("mine.onnx", "onnx", "mine.onnx: exists, and is no earlier export"),
        ("file", "published", "file: is a file; give it a name that ends in .pth.tar, or name a folder"),
        ("file", "onnx", "file: is a file; give it a name that ends in .onnx"),
        ("new.pt", "onnx", "new.pt: has the ending of another kind of file; give it a name that ends in .onnx"),
        ("new.safetensors", "hub", "new.safetensors: has the ending of a file; give a folder's name"),
        ("new.onnx", "hub", "new.onnx: has the ending of a file; give a folder's name, or --format onnx"),
    ]:
        with pytest.raises(ConfigError, match=words):
            place(dst, form, "run")
    assert place("new", "onnx", "run") == tmp_path / "new/model.onnx"
    assert place("new.onnx", "onnx", "run") == tmp_path / "new.onnx"
    assert place("new.pth.tar", "published", "run") == tmp_path / "new.pth.tar"
    assert place("new", "hub", "run") == tmp_path / "new"


# --- folders that are not as they were written


def test_a_folder_that_lost_or_changed_a_file_is_refused(tmp_path):
    run_folder(tmp_path / "run")
    export(tmp_path / "run", tmp_path / "out")
    config, weights = tmp_path / "out/config.json", tmp_path / "out/model.safetensors"
    said = json.loads(config.read_text())
    said["pretrained_cfg"]["mean"] = [0.1, 0.1, 0.1]
    config.write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=r"pretrained_cfg.mean is not model_args.clip.mean"):
        load_encoder(tmp_path / "out")
    config.unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors: config.json is missing beside it"):
        load_encoder(tmp_path / "out")
    weights.rename(tmp_path / "c3d.safetensors")
    with pytest.raises(CheckpointError, match=r"comes from an exported folder, where its name is model.safetensors"):
        load_encoder(tmp_path / "c3d.safetensors")
    export(tmp_path / "run", tmp_path / "out2")
    weights = tmp_path / "out2/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is damaged, or config.json belongs to other weights"):
        load_encoder(tmp_path / "out2")


@pytest.mark.parametrize("provenance", [{"data": 5}, {"device_hours": float("nan")}, {"device_hours": 1}])
def test_a_description_that_is_damaged_is_named(tmp_path, provenance):
    run_folder(tmp_path / "run")
    beside = tmp_path / "run/encoder.json"
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "provenance": provenance}))
    with pytest.raises(CheckpointError, match=r"encoder.safetensors: the record of the training beside it is damaged"):
        export(tmp_path / "run", tmp_path / "out")
    assert names_in(tmp_path) == ["run"]


def test_other_libraries_folders_are_read_as_weights_alone(tmp_path):
    """A network of ours that timm itself has saved, say."""
    network = small("c3d").eval()
    timm.models.save_for_hf(network, tmp_path / "theirs", safe_serialization=True)
    same(load_encoder(tmp_path / "theirs")(clips()), network(clips()))
    assert exported.read_export(tmp_path / "theirs") is None
    same(in_timm(tmp_path / "theirs")(clips()), network(clips()))
