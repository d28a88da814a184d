"""Published files to ours and back without a difference; our weights as files that the published code loads."""

import json
import shutil
import sys
from argparse import Namespace
from collections import Counter, OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import video

from rspnet import CheckpointError
from rspnet.cli.command import run as run_stage
from rspnet.encoders import create_encoder
from rspnet.method import optim
from rspnet.method.classifier import Classifier
from rspnet.running.finished import run_at
from rspnet.weights import convert, published
from rspnet.weights.load import load_encoder, load_weights, save_encoder
from rspnet.weights.read import load_harmless
from stages import convert as stage
from tests.support.exact import assert_same
from tests.support.published_files import (
    KINDS,
    PUBLISHED,
    Code,
    fine_tuned,
    fine_tuned_file,
    laid_out,
    optimizer_of,
    pretraining,
    pretraining_file,
    read_layout,
    small,
)

FILES = ["encoder.json", "encoder.safetensors", "published.json", "published.pt"]


def convert_file(src: Path, dst: Path) -> convert.Conversion:
    return convert.convert(src, dst, run_at)


def saved(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def there_and_back(src: Path, tmp_path: Path) -> convert.Conversion:
    """Convert a file to tmp_path/ours and that to tmp_path/back.pth.tar; both must hold all of it, once."""
    ours, back = tmp_path / "ours", tmp_path / "back.pth.tar"
    before = names(tmp_path)
    done = convert_file(src, ours)
    assert names(ours) == FILES
    kept, beside = load_file(ours / "encoder.safetensors"), list(tensors_in(saved(ours / "published.pt")))
    filled = [value for value in beside if value.numel()]
    assert done.tensors == len(beside) == len(kept) + len(filled)  # each is in one of them, and once

    again = convert_file(ours, back)
    assert again.tensors == done.tensors
    assert_same(saved(src), saved(back))
    assert names(tmp_path) == sorted([*before, "ours", "back.pth.tar"])
    return done


def tensors_in(contents):
    if isinstance(contents, torch.Tensor):
        yield contents
    elif isinstance(contents, dict | list):
        for inside in contents.values() if isinstance(contents, dict) else contents:
            yield from tensors_in(inside)


# --- published files


@pytest.mark.parametrize("name", PUBLISHED)
def test_pretraining_file_there_and_back(tmp_path, name):
    theirs = pretraining_file(tmp_path / "model_best.pth.tar", name)
    done = there_and_back(tmp_path / "model_best.pth.tar", tmp_path)
    assert (done.layout, done.arch, done.epoch, done.lacks) == ("published pretraining checkpoint", name, 200, [])
    encoder = load_encoder(tmp_path / "ours")
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key
    report = load_weights(Classifier(create_encoder(name, width=8), 5), tmp_path / "ours")
    assert (report.layout, report.ignored, report.fresh) == ("rspnet encoder", {}, ["fc.weight", "fc.bias"])
    # What ours has no use for is named, with the reason.
    assert done.notes[1] == (
        "published.pt and published.json, for converting back: the queue, for pretraining only (2); the "
        "network's own 1-class classifier, never trained or used (2); the A-VID head, for pretraining only (2); the "
        f"RSP head, for pretraining only (2); the key encoder, for pretraining only ({len(theirs.state_dict()) + 4}); "
        "the state of training, only to go on with it (4)"
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_fine_tuned_file_there_and_back(tmp_path, name):
    """Its scheduler holds a Counter."""
    theirs = fine_tuned_file(tmp_path / "model_best.pth.tar", name)
    done = there_and_back(tmp_path / "model_best.pth.tar", tmp_path)
    assert (done.layout, done.arch, done.epoch, done.lacks) == ("published fine-tuned classifier", name, 30, [])
    classifier = Classifier(create_encoder(name, width=8), 5)
    report = load_weights(classifier, tmp_path / "ours", head=True)
    assert (report.ignored, report.fresh) == ({}, [])
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key


def test_what_the_folder_says(tmp_path):
    path = tmp_path / "model_best_c3d_200epoch.pth.tar"
    pretraining_file(path, "c3d")
    convert_file(path, tmp_path / "ours")
    said = json.loads((tmp_path / "ours/encoder.json").read_text())
    assert (said["arch"], said["kwargs"], said["num_features"]) == ("c3d", {"width": 8}, 64)
    assert (said["clip"]["num_frames"], said["clip"]["size"], said["clip"]["channels"]) == (16, 112, "RGB")
    assert said["clip_unknown"]  # which are the network's, not the training's
    assert said["pretext"] == {"dim": 16, "queue_length": 8}  # as of the file itself
    assert (said["provenance"]["stage"], said["provenance"]["epoch"]) == ("pretrain", 200)
    assert said["provenance"]["converted_from"]["file"] == path.name
    assert said["provenance"]["converted_from"]["bytes"] == path.stat().st_size


def random_values(key, shape, dtype):
    return torch.randn(shape) if dtype.is_floating_point else torch.randint(9, shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_layout_there_and_back(shared, tmp_path, name, kind):
    """Every key, type, order and value as recorded, in the shapes of a small network."""
    whole = pretraining(name) if kind.startswith("pretrain") else fine_tuned(name, 101)
    shapes = {key: value.shape for key, value in whole.state_dict().items()}
    contents = laid_out(read_layout(shared, name, kind), lambda key, _, dtype: random_values(key, shapes[key], dtype))
    torch.save(contents, tmp_path / "checkpoint.pth.tar")
    done = there_and_back(tmp_path / "checkpoint.pth.tar", tmp_path)
    momenta = len(contents["optimizer"]["state"])
    assert (done.epoch, done.tensors) == (1, len(contents["model"]) + momenta)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_there_and_back(shared, tmp_path, name, kind):
    torch.save(laid_out(read_layout(shared, name, kind), random_values), tmp_path / "checkpoint.pth.tar")
    there_and_back(tmp_path / "checkpoint.pth.tar", tmp_path)
    shutil.rmtree(tmp_path)  # pytest would keep it, up to 1.5 GB


def test_the_oldest_files_there_and_back(tmp_path):
    """Without batch counters, and in the format before zip."""
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "resnet18")
    contents = saved(path)
    for key in [key for key in contents["model"] if key.endswith("num_batches_tracked")]:
        del contents["model"][key]
    torch.save(contents, path, _use_new_zipfile_serialization=False)
    there_and_back(path, tmp_path)
    load_encoder(tmp_path / "ours")


def test_tensors_of_one_storage_there_and_back(tmp_path):
    path = tmp_path / "model.pth.tar"
    pretraining_file(path, "c3d")
    contents = saved(path)
    contents["model"]["queue"] = contents["model"]["queue"].T.contiguous().T
    contents["model"]["encoder_k.fc1.2.bias"] = contents["model"]["encoder_q.fc1.2.bias"]
    torch.save(contents, path)
    there_and_back(path, tmp_path)


ODD = {
    "numbers": [0.1, -0.0, float("inf"), float("nan"), 2**80, 1 + 2j, np.float64(3.5)],
    "keys": {1: "a", "1": "b", None: "c", (1, 2): {}},
    "kinds": ({30, 50}, b"x", Counter({50: 1}), OrderedDict(b=1, a=2), Namespace(lr=0.1)),
    "tensors": [torch.arange(6.0).reshape(2, 3).T, torch.zeros(2, 2).to_sparse(), nn.Parameter(torch.ones(1))],
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_a_trainer_keeps_there_and_back(tmp_path, name):
    pretraining_file(tmp_path / "model.pth.tar", "c3d", more=ODD[name])
    done = convert_file(tmp_path / "model.pth.tar", tmp_path / "ours")
    convert_file(tmp_path / "ours", tmp_path / "back.pth.tar")
    before, after = (load_harmless(tmp_path / name) for name in ("model.pth.tar", "back.pth.tar"))
    if name == "tensors":
        sparse = [contents["more"].pop(1) for contents in (before, after)]
        assert torch.equal(*(value.to_dense() for value in sparse))
        assert after["more"][0].stride() == (1, 3)
    assert_same(before, after)
    assert done.tensors == len(before["model"]) + len(before["optimizer"]["state"]) + 3 * (name == "tensors")


def test_a_file_that_holds_itself_there_and_back(tmp_path):
    loop = [torch.ones(1)]
    loop.append(loop)
    pretraining_file(tmp_path / "model.pth.tar", "c3d", more=loop)
    convert_file(tmp_path / "model.pth.tar", tmp_path / "ours")
    convert_file(tmp_path / "ours", tmp_path / "back.pth.tar")
    again = saved(tmp_path / "back.pth.tar")["more"]
    assert again[1] is again


def test_plain_state_dict_there_and_back(tmp_path):
    path = tmp_path / "s3d.pth"
    torch.save(video.s3d(weights=None, num_classes=3).state_dict(), path)
    done = there_and_back(path, tmp_path)
    assert (done.layout, done.epoch) == ("encoder", None)
    assert load_weights(Classifier(create_encoder("s3d"), 3), tmp_path / "ours", head=True).fresh == []


# --- weights of ours alone


@pytest.fixture
def any_width(monkeypatch):
    """As if the published code built networks of width 8."""
    monkeypatch.setattr(published, "_WIDTH", 8)


def of_ours(folder: Path, module: nn.Module, name: str) -> Path:
    """Write encoder.safetensors and encoder.json."""
    folder.mkdir()
    provenance = {"stage": "pretrain", "epoch": 3}
    features = getattr(module, "encoder", module).num_features
    clip = {"num_frames": 16, "stride": 1, "size": 112}
    facts = {"arch": name, "kwargs": {}, "num_features": features, "clip": clip, "provenance": provenance}
    save_encoder(folder, module.state_dict(), facts)
    return folder / "encoder.safetensors"


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize("name", PUBLISHED)
def test_encoder_alone_is_loaded_by_the_published_rules(tmp_path, name):
    ours = small(name)
    src, dst = of_ours(tmp_path / "run", ours, name), tmp_path / "encoder.pth.tar"
    done = convert_file(src, dst)
    assert done.lacks == ["heads", "key encoder", "queue", "best_loss", "optimizer", "scheduler"]
    assert "enough for the published fine-tuning and retrieval, not to go on pretraining" in done.summary()
    contents = saved(dst)
    assert {key: value for key, value in contents.items() if key != "model"} == {"epoch": 3, "arch": PUBLISHED[name]}

    # Fine-tuning: encoder_q. is taken away, the rest loaded as far as it goes.
    tuning = fine_tuned(name)
    entries = {key.removeprefix("encoder_q."): value for key, value in contents["model"].items()}
    missing, unexpected = tuning.load_state_dict(entries, strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    # Retrieval: of the encoder alone, only the classifier may be missing.
    backbone = small(name, num_classes=1)
    entries = {key.removeprefix("encoder_q.encoder."): value for key, value in contents["model"].items()}
    entries = {key: value for key, value in entries.items() if not key.startswith(("fc", "linear", "head", "new_fc"))}
    missing, unexpected = backbone.load_state_dict(entries, strict=False)
    assert (len(missing), unexpected) == (2, [])

    clips = torch.randn(2, 3, 16, 32, 32)
    with torch.inference_mode():
        expected = ours.eval().forward_features(clips)
        assert torch.equal(tuning.encoder.eval().forward_features(clips), expected)
        assert torch.equal(backbone.eval().forward_features(clips), expected)
    convert_file(dst, tmp_path / "back")
    assert_same(load_file(tmp_path / "back/encoder.safetensors"), load_file(src))


@pytest.mark.usefixtures("any_width")
def test_a_run_with_adam_and_a_factor_of_its_own(tmp_path):
    """The published SGD takes none of Adam's state, and its scheduler takes the run's factor."""
    model, folder, path = Classifier(small("c3d"), 4), tmp_path / "run", tmp_path / "model.pth.tar"
    adam = optim.adam(model, 0.001, momentum=0.9, weight_decay=0.0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    of_ours(folder, model, "c3d")
    (folder / "checkpoints").mkdir()
    settings = {"optimizer": "adam", "epochs": 2, "total_batch": 4, "lr": 0.001, "lr_batch": None, "momentum": 0.9}
    settings |= {"weight_decay": 0.0, "schedule": "multi_step", "milestones": [1], "decay": 0.3}
    state = {"model": model.state_dict(), "optimizer": adam.state_dict()}
    epochs = [{"epoch": 2, "step": 4, "val_top1": 50.0}]
    config = {"frozen": False, "optim": settings}
    run = SimpleNamespace(folder=folder / "checkpoints/best", step=4, config=config, state=state, epochs=epochs)
    done = convert.convert(folder, path, lambda _: run)
    assert "trained with adam: the published code's SGD begins without its state" in done.summary()
    contents, theirs = saved(path), fine_tuned("c3d", 4)
    theirs.load_state_dict(contents["model"])
    optimizer = optimizer_of(theirs)
    optimizer.load_state_dict(contents["optimizer"])
    assert (optimizer.state, optimizer.param_groups[0]["lr"]) == ({}, pytest.approx(0.0003))
    assert contents["scheduler"]["gamma"] == 0.3


@pytest.mark.usefixtures("any_width")
@pytest.mark.parametrize("name", PUBLISHED)
def test_classifier_alone(tmp_path, name):
    src, dst = of_ours(tmp_path / "run", Classifier(small(name), 4), name), tmp_path / "model.pth.tar"
    done = convert_file(tmp_path / "run", dst)  # a run folder without its checkpoints
    assert done.lacks == ["best_acc1", "optimizer", "scheduler"]
    assert "given as --mc, it would silently load nothing of it" in done.summary()
    contents = saved(dst)
    whole = fine_tuned(name, 4)
    assert list(contents["model"]) == list(whole.state_dict())
    whole.load_state_dict(contents["model"])
    convert_file(dst, tmp_path / "back")
    assert_same(load_file(tmp_path / "back/encoder.safetensors"), load_file(src))


@pytest.mark.usefixtures("any_width")
def test_a_converted_encoder_alone_is_no_whole_file(tmp_path):
    pretraining_file(tmp_path / "model.pth.tar", "c3d")
    convert_file(tmp_path / "model.pth.tar", tmp_path / "ours")
    done = convert_file(tmp_path / "ours/encoder.safetensors", tmp_path / "encoder.pth.tar")
    assert done.epoch == 200
    assert "optimizer" in done.lacks


def test_what_the_published_code_could_not_load(tmp_path):
    src = of_ours(tmp_path / "narrow", small("c3d"), "c3d")
    with pytest.raises(CheckpointError, match="has width 8; the published code has only 64"):
        convert_file(src, tmp_path / "model.pth.tar")
    src = of_ours(tmp_path / "torchvision", create_encoder("s3d"), "s3d")
    with pytest.raises(CheckpointError, match="holds s3d; the published code has only c3d, "):
        convert_file(src, tmp_path / "model.pth.tar")
    assert names(tmp_path) == ["narrow", "torchvision"]


# --- the command line


def page(folder):
    (folder / "src").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    return "src: is an HTML page, not weights"


def cut(folder):
    pretraining_file(folder / "src", "c3d")
    whole = (folder / "src").read_bytes()
    (folder / "src").write_bytes(whole[: len(whole) // 2])
    return "src: is damaged, cut short or no weight file"


def code(folder):
    pretraining_file(folder / "src", "c3d", scheduler=Code())
    return "src: holds Python objects beside tensors, which are never run"


def another_network(folder):
    pretraining_file(folder / "src", "c3d", arch="resnet18")
    return "src: says it holds 'resnet18', but its entries are those of c3d"


def of_another_trainer(folder):
    torch.save({f"module.{key}": value for key, value in small("c3d").state_dict().items()}, folder / "src")
    return "src: is of another trainer's layout (encoder below 'module.'), which has no counterpart"


def an_entry_too_few(folder):
    pretraining_file(folder / "src", "c3d")
    contents = saved(folder / "src")
    del contents["model"]["encoder_q.encoder.conv2.bias"]
    torch.save(contents, folder / "src")
    return "src: its entries are not those of c3d: conv2.bias missing"


def an_entry_that_safetensors_cannot_keep(folder):
    pretraining_file(folder / "src", "c3d")
    contents = saved(folder / "src")
    contents["model"]["encoder_q.encoder.conv2.bias"].requires_grad = True
    torch.save(contents, folder / "src")
    return "src: encoder_q.encoder.conv2.bias is a Tensor (torch.strided, requires_grad True), which could not be"


def nothing(folder):
    return "src: no such file or folder"


def no_run(folder):
    (folder / "src").mkdir()
    return "src: no encoder.safetensors in this folder"


def unfinished(folder):
    (folder / "src/checkpoints").mkdir(parents=True)
    return "src: this run has no checkpoint yet"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run the command in tmp_path: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["stages/convert.py", *words])
        with pytest.raises(SystemExit) as ended:
            run_stage(stage.main, stage.Config)
        return ended.value.code, *capsys.readouterr()

    return run


MISTAKES = [page, cut, code, another_network, of_another_trainer, an_entry_too_few]
MISTAKES += [an_entry_that_safetensors_cannot_keep, nothing, no_run, unfinished]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_source(tmp_path, command, mistake):
    words = mistake(tmp_path)
    before = names(tmp_path)
    status, out, err = command("src", "dst.pth.tar" if (tmp_path / "src").is_dir() else "dst")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("convert.py: src")
    assert words in err
    assert names(tmp_path) == before


def a_file(path):
    path.write_text("mine")


def a_folder(path):
    path.mkdir()


def a_dangling_link(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [a_file, a_folder, a_dangling_link])
def test_nothing_is_overwritten(tmp_path, command, make):
    pretraining_file(tmp_path / "src", "c3d")
    make(tmp_path / "dst")
    status, out, err = command("src", "dst")
    assert (status, out) == (2, "")
    assert err == "convert.py: dst: exists and is not overwritten; give another name\n"
    assert names(tmp_path) == ["dst", "src"]


def test_a_name_of_the_wrong_kind(tmp_path, command):
    pretraining_file(tmp_path / "src.pth.tar", "c3d")
    status, _, err = command("src.pth.tar", "dst.pth.tar")
    assert (status, "dst.pth.tar: src.pth.tar becomes a folder" in err) == (2, True)
    of_ours(tmp_path / "run", small("c3d"), "c3d")
    status, _, err = command("run", "dst")
    assert (status, "give a name that ends in .pth.tar" in err) == (2, True)
    assert names(tmp_path) == ["run", "src.pth.tar"]


def test_the_disk_refuses(tmp_path, command, monkeypatch):
    pretraining_file(tmp_path / "src", "c3d")
    a_file(tmp_path / "file")
    status, _, err = command("src", "file/dst")
    assert (status, err.count("\n")) == (2, 1)
    assert "file/dst: cannot be written (" in err

    def full(contents, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "_save", full)
    status, _, err = command("src", "dst")
    assert (status, err.count("\n")) == (1, 1)
    assert "dst: cannot be written: its disk is full (No space left on device)" in err
    assert names(tmp_path) == ["file", "src"]


def test_what_is_nested_too_deep(tmp_path, command):
    limit, deep = sys.getrecursionlimit(), []
    for _ in range(3 * limit):
        deep = [deep]
    sys.setrecursionlimit(100 * limit)
    try:
        pretraining_file(tmp_path / "src", "c3d", deep=deep)
    finally:
        sys.setrecursionlimit(limit)
    status, _, err = command("src", "dst")
    assert (status, err.count("\n")) == (2, 1)
    assert "nested too deep" in err
    assert names(tmp_path) == ["src"]


def test_interrupted(tmp_path, command, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    pretraining_file(tmp_path / "src", "c3d")
    monkeypatch.setattr(convert, "_save", press)
    assert command("src", "dst") == (130, "", "convert.py: interrupted\n")
    assert names(tmp_path) == ["src"]


@pytest.mark.parametrize("name", FILES)
def test_a_converted_folder_that_was_changed(tmp_path, command, name):
    """A byte of another file, or the file gone: said of the file, never written back."""
    pretraining_file(tmp_path / "src", "c3d")
    convert_file(tmp_path / "src", tmp_path / "ours")
    path = tmp_path / "ours" / name
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 if name.endswith("safetensors") else 0] ^= 1
    path.write_bytes(whole)
    status, out, err = command("ours", "back.pth.tar")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert name in err
    path.unlink()
    if name != "published.json":  # without it the folder is as good as an encoder of ours
        assert command("ours", "back.pth.tar")[0] == 2
    assert not (tmp_path / "back.pth.tar").exists()


def test_a_converted_folder_with_another_encoder(tmp_path, command):
    for number in "12":
        pretraining_file(tmp_path / f"src{number}", "c3d")
        convert_file(tmp_path / f"src{number}", tmp_path / f"ours{number}")
    for name in FILES[:2]:
        shutil.copy(tmp_path / "ours2" / name, tmp_path / "ours1" / name)
    status, _, err = command("ours1", "back.pth.tar")
    assert (status, err.count("\n")) == (2, 1)
    assert "ours1/encoder.safetensors: is not the one that published.json belongs to" in err


def test_what_the_command_says(tmp_path, command):
    fine_tuned_file(tmp_path / "src.pth.tar", "c3d")
    status, out, err = command("src.pth.tar", "ours")
    assert (status, out.count("\n")) == (0, 1)
    result = json.loads(out)
    assert list(result) == ["src", "dst", "layout", "arch", "epoch", "tensors", "lacks", "notes"]
    assert (result["src"], result["dst"], result["arch"], result["epoch"]) == ("src.pth.tar", "ours", "c3d", 30)
    assert err.startswith("src.pth.tar (published fine-tuned classifier, c3d, epoch 30) -> ours (94 tensors)\n")
    assert err.splitlines()[1:] == result["notes"]
