"""Fine-tuning in process at toy size: what is loaded, trained, chosen, tested and written."""

import json
import os
import shutil

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

import rspnet
from rspnet.cli import options
from rspnet.cli.config import parse
from rspnet.data.batches import Request
from rspnet.disk import sha256
from rspnet.errors import CheckpointError, ConfigError, VideoError
from stages.finetune import Config, main
from tests.support import RECORDED, tiny

GOLDEN = json.loads((RECORDED / "golden_losses.json").read_text())


def test_what_is_written(finetuned, motions, pretrained):
    assert {path.name for path in finetuned.iterdir()} == {
        *("config.yaml", "environment.json", "index.parquet", "metrics.jsonl", "checkpoints", ".lock"),
        *("encoder.safetensors", "encoder.json", "result.json", "predictions.jsonl", "manifest.json"),
        *("confusion.csv", "report.html"),
    }
    result = json.loads((finetuned / "result.json").read_text())
    expected = {"stage": "finetune", "run_dir": str(finetuned), "steps": 6, "epochs": 2, "num_videos": 5, "views": 2}
    expected |= {"num_failed": 0, "weights": str(pretrained), "frozen": False, "chance_top1": 33.33}
    assert result == result | expected
    others = {"top1", "top5", "loss", "class_accuracy", "best_val_top1", "best_epoch", "device_hours", *tiny.SOURCES}
    assert result.keys() == expected.keys() | others
    assert result["weights_sha256"] == sha256(pretrained / "encoder.safetensors")
    best = json.loads((finetuned / "checkpoints/best/manifest.json").read_text())["step"]
    assert result["best_epoch"] == best / 3
    assert 0 <= result["top1"] <= result["top5"] == 100
    told = tiny.read_lines(finetuned / "predictions.jsonl")
    rows = [line.split(",") for line in (finetuned / "confusion.csv").read_text().splitlines()]
    assert rows[0] == ["label", "down", "right", "still"]
    for name, *counts in rows[1:]:
        found = [line["predicted"][0] for line in told if line["label"] == name]
        assert list(map(int, counts)) == [found.count(other) for other in rows[0][1:]]
        assert result["class_accuracy"][name] == round(100 * found.count(name) / len(found), 2)
    assert parse(Config, ["--config", str(finetuned / "config.yaml")]) == tiny.finetune(motions, finetuned, pretrained)
    description = json.loads((finetuned / "encoder.json").read_text())
    assert (description["class_names"], description["num_classes"]) == (["down", "right", "still"], 3)


def test_validation_after_every_epoch(finetuned):
    epochs = tiny.metrics(finetuned, "epoch")
    assert [line["epoch"] for line in epochs] == [1, 2]
    for line in epochs:
        assert line["val_top1"] in (0, 20, 40, 60, 80, 100)
        assert line["val_top5"] == 100
        assert 0 < line["val_loss"] < 10
        assert line["val_class_accuracy"].keys() == {"down", "right", "still"}
    best = json.loads((finetuned / "result.json").read_text())["best_val_top1"]
    assert best == max(line["val_top1"] for line in epochs)
    assert [line["lr"] for line in tiny.metrics(finetuned, "interval")] == pytest.approx([0.001] * 3 + [0.0005005] * 3)


def test_validation_takes_one_central_clip_and_the_test_several(tmp_path, motions, monkeypatch):
    """Both of the test list; what was looked at, not what was asked for."""
    from rspnet.evaluation import predict

    looked_at, real = [], predict.predict

    def watched(forward, videos, desc):
        clips = videos.clips
        views = clips[Request(0, 0, 0)]["clips"]
        looked_at.append((desc, list(map(len, views)), clips.picker.crop_area, set(clips.index["split"])))
        return real(forward, videos, desc)

    monkeypatch.setattr(predict, "predict", watched)
    config = tiny.finetune(motions, tmp_path)
    config.optim.epochs = 1
    main(config)
    assert looked_at == [
        ("validation", [8], None, {"test"}),
        ("test, 2 clips a video", [8, 8], None, {"test"}),
    ]


def test_the_best_epoch_is_what_is_left(finetuned):
    epochs = tiny.metrics(finetuned, "epoch")
    step = max(epochs, key=lambda line: line["val_top1"])["step"]  # the first of equals
    assert os.readlink(finetuned / "checkpoints/best") == f"step_{step}"
    left, best = load_file(finetuned / "encoder.safetensors"), dict(tiny.state(finetuned, "best")["model"])
    assert left.keys() == best.keys()
    assert all(torch.equal(left[name], best[name]) for name in left)


def test_predictions_tell_the_result(finetuned):
    lines = tiny.read_lines(finetuned / "predictions.jsonl")
    assert [line["video"] for line in lines] == sorted(line["video"] for line in lines)
    assert len(lines) == 5
    for line in lines:
        assert line.keys() == {"video", "label", "predicted", "probability"}
        assert line["video"].split("/")[:2] == ["test", line["label"]]
        assert sorted(line["predicted"]) == ["down", "right", "still"]
        assert sorted(line["probability"], reverse=True) == line["probability"]
        assert sum(line["probability"]) == pytest.approx(1, abs=1e-4)
    hits = sum(line["predicted"][0] == line["label"] for line in lines)
    assert 100 * hits / 5 == json.loads((finetuned / "result.json").read_text())["top1"]


def test_what_was_loaded_is_said(tmp_path, motions, pretrained, capsys):
    config = tiny.finetune(motions, tmp_path, pretrained)
    config.optim.epochs = 1
    main(config)
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == (
        f"{pretrained}/encoder.safetensors (rspnet encoder, resnet18, epoch 2): "
        "loaded 120 of the network's 122 entries; fresh: fc.weight, fc.bias"
    )
    assert "18 training videos and 5 test videos of 3 classes\n1 epoch of 3 steps; " in err
    assert json.loads(out.splitlines()[-1])["stage"] == "finetune"


def test_begins_with_the_weights_it_was_given(tmp_path, motions, pretrained):
    config = tiny.finetune(motions, tmp_path, pretrained)
    config.optim.lr, config.optim.epochs = 0.0, 1
    main(config)
    given = rspnet.load_encoder(pretrained).state_dict()
    left = load_file(tmp_path / "encoder.safetensors")
    for name, value in given.items():
        if "running" not in name and "batches" not in name:
            assert torch.equal(left[f"encoder.{name}"], value), name


def test_losses_from_scratch_are_those_of_the_day_they_were_recorded(tmp_path, motions, capsys):
    main(tiny.finetune(motions, tmp_path, "none"))
    assert "loaded" not in capsys.readouterr().err
    found = [{name: line[name] for name in ("loss", "train_top1")} for line in tiny.metrics(tmp_path)[:3]]
    for step, recorded in zip(found, GOLDEN["finetune"], strict=True):
        assert step == pytest.approx(recorded, rel=1e-4), json.dumps(found)


def test_weights_are_looked_at_before_the_videos(tmp_path):
    (tmp_path / "w.pth").write_text("<html>")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        main(tiny.finetune(tmp_path, tmp_path / "run", tmp_path / "w.pth"))


def test_weights_must_be_named(tmp_path, motions):
    config = tiny.finetune(motions, tmp_path / "run")
    config.weights = None
    with pytest.raises(ConfigError, match=r"^--weights: name a run folder or a weight file, or say `none`"):
        main(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"state_dict": {"backbone.conv.weight": torch.zeros(3)}}, "weights.pth: "),
        ({"backbone.conv.weight": torch.zeros(3)}, "weights.pth: "),
    ],
)
def test_a_file_that_matches_nothing_is_an_error(tmp_path, motions, contents, message):
    torch.save(contents, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        main(tiny.finetune(motions, tmp_path / "run", tmp_path / "weights.pth"))
    assert "\n" not in str(caught.value)


def test_another_network_is_an_error(tmp_path, motions, pretrained):
    config = tiny.finetune(motions, tmp_path, pretrained)
    config.encoder.width = 8
    with pytest.raises(CheckpointError, match="the file's resnet18 has width 16, leave the choice to the file"):
        main(config)


def test_what_the_weights_were_fed_with_goes_on(tmp_path, motions, pretrained):
    """Network and clips are those of the pretraining without a word; normalisation and order of colours as well."""
    (tmp_path / "weights").mkdir()
    shutil.copy(pretrained / "encoder.safetensors", tmp_path / "weights")
    said = json.loads((pretrained / "encoder.json").read_text())
    assert "views" not in said["clip"]
    colours = {"mean": [0.1, 0.5, 0.9], "std": [0.5, 0.2, 0.3], "channels": "BGR"}
    (tmp_path / "weights/encoder.json").write_text(json.dumps(said | {"clip": said["clip"] | colours}))
    argv = ["--weights", tmp_path / "weights", "--data.root", motions, "--run_dir", tmp_path / "run"]
    argv += ["--optim.total_batch", 6, "--optim.epochs", 1, "--clips.views", 1, "--run.trackers", "[]"]
    config = parse(Config, [*map(str, argv), "--data.num_workers", "0"])
    assert (config.clips.num_frames, config.clips.size, config.encoder.width) == (8, 48, 16)
    main(config)
    clip = json.loads((tmp_path / "run/encoder.json").read_text())["clip"]
    assert clip == clip | colours | {"size": 48, "views": 1}


@pytest.mark.slow
# torch.compile says so on Python 3.13.0 alone.
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
def test_compiled_or_not_the_files_are_the_same(tmp_path, motions, finetuned, pretrained, interrupted, monkeypatch):
    """torch.compile begins, a plain process goes on, and a compiled one ends: names in files know nothing of it."""
    run = tmp_path / "run"
    for step, backend in ((2, "EAGER"), (4, "NO"), (None, "EAGER")):
        monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", backend)
        AcceleratorState._reset_state()
        config = tiny.finetune(motions, run, pretrained)
        if step:
            with interrupted(step):
                main(config)
        else:
            main(config)
    AcceleratorState._reset_state()
    assert tiny.state(run)["model"].keys() == tiny.state(finetuned)["model"].keys()
    left, expected = (load_file(folder / "encoder.safetensors") for folder in (run, finetuned))
    assert left.keys() == expected.keys()
    for name in left:
        torch.testing.assert_close(left[name], expected[name], rtol=1e-3, atol=1e-3)
    assert (tiny.read_lines(run / "metrics.jsonl")[-1])["step"] == 6


def test_a_linear_probe_leaves_the_encoder_alone(tmp_path, motions, pretrained):
    config = tiny.finetune(motions, tmp_path, pretrained, frozen=True)
    assert main(config)["frozen"] is True
    left = load_file(tmp_path / "encoder.safetensors")
    given = {f"encoder.{name}": value for name, value in rspnet.load_encoder(pretrained).state_dict().items()}
    assert tiny.differences({name: left[name] for name in given}, given) == []
    losses = [line["loss"] for line in tiny.metrics(tmp_path, "interval")]
    assert len(set(losses)) == 6
    one, two = (tiny.state(tmp_path, f"step_{step}")["model"]["fc.weight"] for step in (3, 6))
    assert not torch.equal(one, two)


def test_a_run_in_parts_goes_on_in_as_many(tmp_path, motions, interrupted):
    """Each part has batch statistics of its own: another number is another run."""
    config = tiny.finetune(motions, tmp_path)
    config.run.micro_batches = 2
    with interrupted(1):
        main(config)
    with pytest.raises(ConfigError, match=r"holds a run with run\.micro_batches=2, not 1; choose another --run_dir"):
        main(tiny.finetune(motions, tmp_path))


@pytest.mark.parametrize("legs", [[(2, 2), (None, 0)], [(3, 0), (4, 1), (6, 0), (None, 0)]], ids=str)
def test_goes_on_to_the_bit(tmp_path, motions, pretrained, finetuned, interrupted, legs):
    """Whatever the step, and with other numbers of workers; after the last one only the test is left to do."""
    run = tmp_path / "run"
    for step, num_workers in legs:
        config = tiny.finetune(motions, run, pretrained, num_workers)
        if step:
            with interrupted(step):
                main(config)
        else:
            main(config)
    assert tiny.differences(tiny.state(finetuned), tiny.state(run)) == []
    assert tiny.metrics(run) == tiny.metrics(finetuned)
    for name in ("encoder.safetensors", "predictions.jsonl"):
        assert (run / name).read_bytes() == (finetuned / name).read_bytes()


def test_adam_on_few_videos_goes_on_to_the_bit(tmp_path, motions, interrupted, capsys):
    """In passes, at a rate that falls: what its optimiser keeps comes back, too."""
    falling = {"schedule": "multi_step", "milestones": [1], "decay": 0.3}
    optim = options.Optim(epochs=2, passes=2, total_batch=5, lr=0.001, optimizer="adam", **falling)
    few = {"optim": optim, "subset": options.Subset(8)}
    main(tiny.finetune(motions, tmp_path / "whole", **few))
    assert "9 training videos and 5 test videos of 3 classes" in capsys.readouterr().err
    rates = [line["lr"] for line in tiny.metrics(tmp_path / "whole", "interval")]
    assert rates == pytest.approx([0.001] * 3 + [0.0003] * 3)
    with interrupted(2):
        main(tiny.finetune(motions, tmp_path / "parts", **few))
    main(tiny.finetune(motions, tmp_path / "parts", **few))
    whole, parts = (tiny.state(tmp_path / name) for name in ("whole", "parts"))
    assert {"step", "exp_avg", "exp_avg_sq"} == set(whole["optimizer"]["state"][0])
    assert tiny.differences(whole, parts) == []
    assert tiny.metrics(tmp_path / "parts") == tiny.metrics(tmp_path / "whole")


def test_a_finished_run_is_left_alone(finetuned, motions, pretrained, no_steps, capsys):
    result = main(tiny.finetune(motions, finetuned, pretrained))
    out, err = capsys.readouterr()
    assert json.loads(out) == result == json.loads((finetuned / "result.json").read_text())
    assert "this was done before" in err


def test_a_broken_test_video_is_left_out_and_named(tmp_path, motions, capsys):
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    (root / "test/down/18.mp4").write_bytes(b"no video" * 50)
    result = main(tiny.finetune(root, tmp_path / "run"))
    assert (result["num_videos"], result["num_failed"]) == (4, 1)
    assert "test/down/18.mp4" not in {line["video"] for line in tiny.read_lines(tmp_path / "run/predictions.jsonl")}
    assert [line["failed_videos"] for line in tiny.metrics(tmp_path / "run", "epoch")] == [1, 1]
    named = [line for line in capsys.readouterr().err.splitlines() if "18.mp4" in line]
    assert len(named) == 1  # in two validations and a test
    assert named[0].startswith(f"could not read {root}/test/down/18.mp4: ")
    assert named[0].endswith("; it is left out")


def test_too_many_broken_test_videos_stop_the_run(tmp_path, motions):
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    for name in ("down/18", "right/19"):
        (root / f"test/{name}.mp4").write_bytes(b"")
    config = tiny.finetune(root, tmp_path / "run")
    with pytest.raises(VideoError, match=r"^validation: 2 of the 5 videos could not be read so far; more than 5 % "):
        main(config)
    config.data.max_failures = 40
    config.optim.epochs = 1
    assert main(tiny.finetune(root, tmp_path / "more", data=config.data, optim=config.optim))["num_failed"] == 2


def test_videos_without_labels_or_splits(tmp_path, motions):
    for split in ("train", "test"):
        (tmp_path / "unlabelled" / split).mkdir(parents=True)
        for video in (motions / split).rglob("*.mp4"):
            shutil.copy(video, tmp_path / "unlabelled" / split)
    with pytest.raises(ConfigError, match=r"\d+ of \d+ videos have no label: \S+\.mp4.*; put them into class folders"):
        main(tiny.finetune(tmp_path / "unlabelled", tmp_path / "run"))
    with pytest.raises(ConfigError, match="no video is in split 'train'"):
        main(tiny.finetune(motions / "train", tmp_path / "run"))
