"""What weights imply for a command's options: below config files and the command line, and said where these differ."""

import json
from types import SimpleNamespace

import pytest
import torch

from rspnet.cli import implied, options
from rspnet.cli.config import parse
from rspnet.encoders import create_encoder
from rspnet.errors import CheckpointError, ConfigError
from stages import evaluate, finetune, pretrain
from tests.support.published_files import pretraining_file

CLIP = {"num_frames": 8, "stride": 2, "size": 48, "sampling": "clip", "frame_rate": 12.5, "views": 3}
STAGES = pytest.mark.parametrize("stage", [evaluate, finetune])


@pytest.fixture
def run(tmp_path):
    """A run folder, as far as options look into it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/encoder.safetensors").write_bytes(b"not looked at")
    return described(tmp_path / "run")


def described(folder, **changes):
    said = {"arch": "c3d", "kwargs": {"width": 8}, "clip": CLIP, "weights": {}} | changes
    (folder / "encoder.json").write_text(json.dumps(said))
    return folder


def parsed(stage, *argv, text=None, tmp_path=None):
    if text is not None:
        (tmp_path / "c.yaml").write_text(text)
        argv = ("--config", str(tmp_path / "c.yaml"), *argv)
    return parse(stage.Config, list(map(str, argv)))


@STAGES
def test_weights_then_files_then_the_command_line(stage, run, tmp_path):
    config = parsed(stage, "--weights", run)
    assert config.clips == options.TestedClips(**CLIP)
    assert config.encoder == options.Encoder("c3d", 8)
    text = "clips: {size: 64, stride: 1}\nencoder: {width: 16}"
    config = parsed(stage, "--weights", run, "--clips.stride", "4", text=text, tmp_path=tmp_path)
    assert config.clips == options.TestedClips(**CLIP | {"size": 64, "stride": 4})
    assert config.encoder == options.Encoder("c3d", 16)
    by_file = parsed(stage, text=f"weights: {run}\n", tmp_path=tmp_path)
    assert by_file.clips == options.TestedClips(**CLIP)


@STAGES
def test_without_weights_the_usual_defaults(stage, tmp_path):
    for argv in ([], ["--weights", "none"], ["--weights", tmp_path / "nowhere"], ["--weights", tmp_path]):
        config = parsed(stage, *argv)
        assert (config.clips, config.encoder) == (options.TestedClips(), options.Encoder())


def test_a_width_that_is_the_published_one(run):
    assert parsed(evaluate, "--weights", described(run, kwargs={"width": 64})).encoder.width is None
    assert parsed(evaluate, "--weights", described(run, kwargs={})).encoder.width is None


def test_what_the_description_lacks_keeps_its_default(run):
    clips = parsed(evaluate, "--weights", described(run, clip={"num_frames": 4})).clips
    assert clips == options.TestedClips(num_frames=4)


def test_frames_that_cover_a_video_have_no_stride(run):
    assert parsed(evaluate, "--weights", run, "--clips.sampling", "cover").clips.stride == 1


@STAGES
def test_mistakes_in_the_command_come_first(stage, run):
    (run / "encoder.json").write_text("{")
    with pytest.raises(ConfigError, match=r"--clips\.sise: unknown option"):
        parsed(stage, "--weights", run, "--clips.sise", "3")
    with pytest.raises(ConfigError, match=r"clips\.size: 0; it must be between 1 and 8192"):
        parsed(stage, "--weights", run, "--clips.size", "0")
    with pytest.raises(CheckpointError, match=r"encoder\.json: does not describe weights"):
        parsed(stage, "--weights", run)
    with pytest.raises(CheckpointError, match=r"holds the network 'vit', not one of those here: c3d, "):
        parsed(stage, "--weights", described(run, arch="vit"))


def test_a_published_file_gets_its_network(tmp_path):
    path = tmp_path / "model_best.pth.tar"
    pretraining_file(path, "s3dg")
    config = parsed(evaluate, "--weights", path, "--protocol", "knn")
    assert config.encoder == options.Encoder("s3dg", 8)
    assert (config.clips.num_frames, config.clips.size) == (16, 224)  # what S3D-G is made for
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="are of no network known here"):
        parsed(evaluate, "--weights", path)


@pytest.mark.parametrize(
    ("changes", "trained", "said"),
    [
        ({}, True, []),
        (
            {"size": 64},
            False,
            ["other clips than the weights were trained on, as the options say: clips.size 64, not 48"],
        ),
        (
            {"size": 64, "frame_rate": None},
            True,
            [
                "warning: this classifier was trained on other clips than it is tested on: clips.size 64, not 48, "
                "clips.frame_rate null, not 12.5"
            ],
        ),
        (
            {"views": 1},
            True,
            ["another number of clips of each video than the weights say, as the options say: clips.views 1, not 3"],
        ),
    ],
)
def test_what_differs_is_said(changes, trained, said):
    weights = SimpleNamespace(path="w", description={"clip": CLIP})
    assert sorted(implied.remarks(options.TestedClips(**CLIP | changes), weights, trained)) == said


@pytest.mark.parametrize("description", [{}, {"clip": CLIP, "clip_unknown": True}])
def test_weights_that_say_nothing_of_clips(description):
    weights = SimpleNamespace(path="w.pth", description=description, arch="c3d")
    (line,) = implied.remarks(options.TestedClips(), weights)
    assert line.startswith("w.pth: does not say what clips it was trained on; fed with 16 frames, stride 1, 112 pixels")
    assert line.endswith("and the normalisation usual for c3d")
    assert implied.remarks(options.TestedClips(), weights, trained=True) == [f"warning: {line}"]


def test_configs_of_other_stages(run, tmp_path):
    """A training's config serves for evaluation, but not its run folder and what it began with."""
    text = f"weights: elsewhere\nrun_dir: {run}\nfrozen: false\noptim: {{epochs: 3}}\nclips: {{size: 64}}\n"
    config = parsed(evaluate, "--weights", run, text=text, tmp_path=tmp_path)
    assert (config.weights, config.run_dir, config.clips.size) == (str(run), None, 64)
    assert parsed(evaluate, text=text, tmp_path=tmp_path).weights is None
    assert parsed(evaluate, text="pretext: {dim: 3}\noptim: {epochs: 3}\n", tmp_path=tmp_path) == evaluate.Config()
    with pytest.raises(ConfigError, match=r"c\.yaml: pretext: this is a pretraining's config, whose rates"):
        parsed(finetune, text="pretext: {dim: 3}\noptim: {epochs: 3}\n", tmp_path=tmp_path)
    with pytest.raises(ConfigError, match=r"c\.yaml: frozen: this is a config of fine-tuning or of an evaluation"):
        parsed(pretrain, text="frozen: true\n", tmp_path=tmp_path)


def test_fine_tunings_own_defaults_are_the_published_ones():
    """Those of C3D on UCF101, with what is common to all published fine-tunings."""
    config = finetune.Config()
    assert parse(finetune.Config, []) == config
    published = parse(finetune.Config, ["--config", "configs/finetune/ucf101_c3d.yaml"])
    assert (config.augment, config.optim, config.clips) == (published.augment, published.optim, published.clips)


def test_names_are_the_options(run):
    assert implied.as_options({"arch": "c3d", "kwargs": {}, "clip": CLIP}).keys() == {
        *(f"clips.{name}" for name in vars(options.TestedClips())),
        *(f"encoder.{name}" for name in vars(options.Encoder())),
    }
    assert create_encoder("c3d", width=8).clip.views == options.TestedClips().views


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"fold": 1, "data_fingerprint": "a"}, True),
        ({"fold": 2, "data_fingerprint": "a"}, False),
        ({"fold": 1, "data_fingerprint": "b"}, False),  # of another data set
        ({"data_fingerprint": "a"}, False),
        (None, False),
        (["fold"], False),
    ],
)
def test_a_classifier_is_tested_on_what_it_knows(then, said):
    weights = SimpleNamespace(description={} if then is None else {"provenance": then})
    lines = implied.fold_remarks(weights, {"fold": 2, "data_fingerprint": "a"})
    text = "warning: this classifier was trained on fold 1 of these videos: some test videos of fold 2 were among its"
    assert lines == ([f"{text} training videos"] if said else [])
