"""Finished runs as files that the published code goes on with, and back."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.lr_scheduler import CosineAnnealingLR

from rspnet import CheckpointError
from rspnet.disk import identity
from rspnet.encoders import create_encoder
from rspnet.method import optim
from rspnet.method.classifier import Classifier
from rspnet.running.finished import run_at
from rspnet.weights import convert as conversion
from rspnet.weights import published
from rspnet.weights.load import load_encoder
from tests.support import tiny
from tests.support.exact import assert_same
from tests.support.published_files import fine_tuned, optimizer_of, pretraining


@pytest.fixture(autouse=True)
def _width(monkeypatch):
    """As if the published code built networks as narrow as the toy runs'."""
    monkeypatch.setattr(published, "_WIDTH", 16)


def convert(src, dst):
    return conversion.convert(src, dst, run_at)


def converted(run, path):
    done = convert(run, path)
    contents = torch.load(path, weights_only=True)
    assert (done.lacks, done.epoch) == ([], contents["epoch"])
    return contents, done


def loaded(whole, contents):
    """The published code's resume: strict, and the optimizer and the scheduler with it."""
    assert list(contents["model"]) == list(whole.state_dict())
    whole.load_state_dict(contents["model"])
    optimizer = optimizer_of(whole)
    schedule = CosineAnnealingLR(optimizer, T_max=2)
    optimizer.load_state_dict(contents["optimizer"])
    schedule.load_state_dict(contents["scheduler"])
    assert schedule.last_epoch == contents["epoch"]
    assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]
    return optimizer


def one_more_step(ours, our_optimizer, theirs, their_optimizer, their_name):
    """With the same gradients, both go to the same weights: momentum is where it belongs."""
    optim.set_lr(our_optimizer, their_optimizer.param_groups[0]["lr"])
    theirs = dict(theirs.named_parameters())
    pairs = {name: parameter for name, parameter in ours.named_parameters() if parameter.requires_grad}
    torch.manual_seed(0)
    for name, parameter in pairs.items():
        theirs[their_name(name)].grad = parameter.grad = torch.randn_like(parameter)
    before = {name: parameter.clone() for name, parameter in pairs.items()}
    our_optimizer.step()
    their_optimizer.step()
    for name, parameter in pairs.items():
        assert torch.equal(parameter, theirs[their_name(name)]), name
        assert not torch.equal(parameter, before[name]), name


MISTAKES = {
    "config.yaml": ["a: [", "", "a: 1"],
    "metrics.jsonl": ["{bad", "[]", '{"event": "epoch"}'],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in MISTAKES.items() for text in texts])
def test_a_run_folder_with_a_damaged_file(pretrained, tmp_path, name, text):
    shutil.copytree(pretrained, tmp_path / "run", symlinks=True)
    (tmp_path / "run" / name).write_text(text)
    with pytest.raises(CheckpointError, match=rf"^{tmp_path}/run.*{name}.*; copy the whole run folder$"):
        convert(tmp_path / "run", tmp_path / "checkpoint.pth.tar")
    assert not (tmp_path / "checkpoint.pth.tar").exists()


def there_and_back(run, path, tmp_path):
    """The published file becomes ours with the same network, and the same file again."""
    convert(path, tmp_path / "ours")
    assert_same(load_file(tmp_path / "ours/encoder.safetensors"), load_file(run / "encoder.safetensors"))
    convert(tmp_path / "ours", tmp_path / "again.pth.tar")
    assert_same(torch.load(path, weights_only=True), torch.load(tmp_path / "again.pth.tar", weights_only=True))


def test_pretraining(pretrained, tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    contents, done = converted(pretrained, path)
    assert (done.arch, done.epoch) == ("resnet18", 2)
    assert list(contents) == ["epoch", "arch", "model", "best_loss", "optimizer", "scheduler"]
    assert (contents["epoch"], contents["arch"]) == (2, "resnet18")
    assert contents["best_loss"] == min(line["loss"] for line in tiny.metrics(pretrained, "epoch"))
    assert "queue length to the same value, 10" in done.summary()
    theirs = pretraining("resnet18", width=16, dim=16, queue_length=10)
    optimizer = loaded(theirs, contents)
    for which in (theirs.encoder_q, theirs.encoder_k):
        assert not which.encoder.fc.weight.any()

    clips = torch.randn(2, 3, 8, 48, 48)
    with torch.inference_mode():
        ours = load_encoder(pretrained)
        assert torch.equal(ours.forward_features(clips), theirs.encoder_q.encoder.eval().forward_features(clips))

    saved = tiny.state(pretrained)
    model = tiny.rspnet(create_encoder("resnet18", width=16), dim=16, queue_length=10)
    model.load_state_dict(saved["model"])
    our_optimizer = optim.sgd(model, 0.1, momentum=0.9, weight_decay=1e-4)
    our_optimizer.load_state_dict(saved["optimizer"])
    assert torch.equal(theirs.queue, model.queue.columns)
    assert torch.equal(theirs.queue_ptr, model.queue.pointer)
    words = {"query_encoder.": "encoder_q.", "key_encoder.": "encoder_k."}
    words |= {".appearance.": ".fc1.2.", ".motion.": ".fc2.2."}

    def their_name(name):
        for our_word, their_word in words.items():
            name = name.replace(our_word, their_word)
        return name

    for name, parameter in model.key_encoder.named_parameters(prefix="key_encoder"):
        assert torch.equal(parameter, theirs.get_parameter(their_name(name))), name
    one_more_step(model, our_optimizer, theirs, optimizer, their_name)
    there_and_back(pretrained, path, tmp_path)


def test_fine_tuning(finetuned, tmp_path):
    path = tmp_path / "model_best.pth.tar"
    contents, done = converted(finetuned, path)
    assert list(contents) == ["epoch", "arch", "model", "best_acc1", "optimizer", "scheduler"]
    best = tiny.state(finetuned, "best")
    epochs = [line for line in tiny.metrics(finetuned, "epoch") if line["step"] == best["run"]["step"]]
    assert (contents["epoch"], contents["best_acc1"]) == (epochs[0]["epoch"], best["run"]["best"])
    assert "in the order of encoder.json" in done.summary()
    theirs = fine_tuned("resnet18", 3, width=16)
    optimizer = loaded(theirs, contents)
    model = Classifier(create_encoder("resnet18", width=16), 3)
    model.load_state_dict(best["model"])
    our_optimizer = optim.sgd(model, 0.1, momentum=0.9, weight_decay=1e-4)
    our_optimizer.load_state_dict(best["optimizer"])
    clips = torch.randn(2, 3, 8, 48, 48)
    with torch.inference_mode():
        features = theirs.encoder.eval().forward_head(theirs.encoder.forward_features(clips), pre_logits=True)
        assert torch.equal(model.eval()(clips), theirs.fc(features))
    one_more_step(model, our_optimizer, theirs, optimizer, lambda name: name)
    there_and_back(finetuned, path, tmp_path)


def test_linear_probe(motions, pretrained, tmp_path):
    """The optimizer has only the classifier."""
    from stages.finetune import main

    main(tiny.finetune(motions, tmp_path / "run", pretrained, frozen=True))
    contents, _ = converted(tmp_path / "run", tmp_path / "model.pth.tar")
    theirs = fine_tuned("resnet18", 3, width=16)
    optimizer = loaded(theirs, contents)
    names = [name for name, parameter in theirs.named_parameters() if parameter in optimizer.state]
    assert names == ["fc.weight", "fc.bias"]


def without(name):
    def change(run):
        (run / name).unlink()
        return f"{name}: cannot be read (No such file or directory)"

    return change


def another_encoder(run):
    state, manifest = (run / "checkpoints/last" / name for name in ("state.pt", "manifest.json"))
    saved = torch.load(state, weights_only=True)
    saved["model"]["query_encoder.encoder.bn1.bias"] += 1
    torch.save(saved, state)
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(facts | {"files": facts["files"] | {"state.pt": identity(state)}}))
    return "holds other weights than"


def a_damaged_checkpoint(run):
    with (run / "checkpoints/last/state.pt").open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    return "state.pt is not as it was written"


def no_checkpoint(run):
    (run / "checkpoints/last").unlink()
    return "last: no such checkpoint"


def a_shorter_log(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join(lines[:2]))
    return "metrics.jsonl: has no epoch that ended with step 6"


CHANGES = [without("config.yaml"), without("metrics.jsonl"), another_encoder, a_damaged_checkpoint, no_checkpoint]


@pytest.mark.parametrize("change", [*CHANGES, a_shorter_log])
def test_a_run_folder_not_as_the_run_left_it(pretrained, tmp_path, change):
    shutil.copytree(pretrained, tmp_path / "run", symlinks=True)
    words = change(tmp_path / "run")
    with pytest.raises(CheckpointError) as caught:
        convert(tmp_path / "run", tmp_path / "model.pth.tar")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
