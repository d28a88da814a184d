"""The stage that exports: of runs as they are, with what their folders tell; pushed to a stand-in for the Hub."""

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import ModelCard

import rspnet
from rspnet.cli.config import parse
from rspnet.disk import identity
from rspnet.errors import CheckpointError, ConfigError, HubError
from rspnet.weights import published
from rspnet.weights.read import load_harmless
from stages import convert, evaluate
from stages.export import Config, main
from tests.support import tiny
from tests.support.exact import assert_same
from tests.support.hub_server import TOKEN, hub_server
from tests.support.published_files import fine_tuned_file


def told(capsys):
    out, err = capsys.readouterr()
    return json.loads(out.splitlines()[-1]), err


@pytest.fixture
def evaluated(finetuned, tmp_path):
    """A fine-tuned run with an evaluation in its folder."""
    folder = shutil.copytree(finetuned, tmp_path / "run", symlinks=True)
    sha = identity(folder / "encoder.safetensors")["sha256"]
    result = {"stage": "evaluate", "protocol": "knn", "top1": 80.0, "top5": 100.0, "num_videos": 5, "chance_top1": 33.3}
    (folder / "knn_0").mkdir()
    (folder / "knn_0/result.json").write_text(json.dumps({**result, "weights_sha256": sha}))
    return folder


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_fine_tuned_run_goes_to_the_hub(evaluated, tmp_path, monkeypatch, capsys):
    from huggingface_hub import constants

    config = Config(str(evaluated), str(tmp_path / "out"), license="cc-by-4.0", push="org/net")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub_server() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        hub.refuse = "create"
        with pytest.raises(HubError, match=r"out is complete: .* then give the same command again"):
            main(config)
        hub.refuse = "nothing"
        assert main(config)["pushed"] == f"{hub.url}/org/net/commit/1"
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert hub.files["org/net"] == files
    result, err = told(capsys)
    assert (result["stage"], result["format"], result["num_classes"]) == ("export", "hub", 3)
    assert f"pushed: {hub.url}/org/net/commit/1" in err
    card = ModelCard(files["README.md"].decode())
    run = json.loads((evaluated / "result.json").read_text())
    shown = [(each.metric_name.split(",")[0], each.metric_value) for each in card.data.eval_results]
    assert shown == [("top-1", run["top1"]), ("top-5", run["top5"]), ("top-1", 80.0), ("top-5", 100.0)]
    assert card.data.license == "cc-by-4.0"
    classifier = rspnet.load_classifier(tmp_path / "out")
    assert classifier.class_names == ["down", "right", "still"]
    clips = torch.randn(1, 3, 8, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(classifier(clips), rspnet.load_classifier(evaluated)(clips), rtol=0, atol=0)


def test_what_is_exported_is_evaluated_like_the_run(motions, finetuned, tmp_path):
    main(Config(str(finetuned), str(tmp_path / "out")))
    config = tiny.evaluate(motions, tmp_path / "run", tmp_path / "out")
    wanted = json.loads((finetuned / "result.json").read_text())
    assert evaluate.main(config)["top1"] == wanted["top1"]
    assert evaluate.main(config)["weights_sha256"] == identity(tmp_path / "out/model.safetensors")["sha256"]
    config.run_dir = None
    assert evaluate.default_run_dir(config, tmp_path / "out").parent == Path("runs/out")


def test_an_unfinished_run_gives_its_newest_checkpoint(motions, interrupted, tmp_path, capsys):
    from stages import pretrain

    with interrupted(4):
        pretrain.main(tiny.pretrain(motions, tmp_path / "run"))
    main(Config(str(tmp_path / "run"), str(tmp_path / "out")))
    assert "run: is not finished; its newest checkpoint is used, step_4" in capsys.readouterr().err
    clips = torch.randn(1, 3, 8, 48, 48)
    with torch.no_grad():
        wanted = rspnet.load_encoder(tmp_path / "run/checkpoints/step_4")(clips)
        torch.testing.assert_close(rspnet.load_encoder(tmp_path / "out")(clips), wanted, rtol=0, atol=0)
    said = json.loads((tmp_path / "out/config.json").read_text())["rspnet"]
    assert said["recipe"]["pretext"]["queue_length"] == 10
    assert (said["provenance"]["stage"], said["results"]) == ("pretrain", [])
    card = (tmp_path / "out/README.md").read_text()
    assert "It is the checkpoint of step 4, after 1 of 2 epochs; training had not ended then." in card


def test_a_pretraining_for_timm_and_as_a_graph(pretrained, tmp_path, capsys):
    main(Config(str(pretrained), str(tmp_path / "out"), format="timm"))
    assert told(capsys)[0]["dst"] == str(tmp_path / "out")
    encoder = rspnet.load_encoder(pretrained)
    theirs = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    clips = torch.randn(1, 3, 8, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(theirs(clips), encoder(clips), rtol=0, atol=0)
    assert theirs.clip == encoder.clip
    main(Config(str(tmp_path / "out"), str(tmp_path / "net.pt2"), format="torch_export", license="mit"))
    extra = {"rspnet.json": ""}
    program = torch.export.load(tmp_path / "net.pt2", extra_files=extra).module()
    with torch.no_grad():
        torch.testing.assert_close(program(clips), encoder(clips), rtol=1e-5, atol=1e-5)
    said = json.loads(extra["rspnet.json"])
    assert (said["num_frames"], said["size"], said["width"], said["license"]) == (8, 48, 16, "mit")
    assert said["recipe"]["pretext"]["queue_length"] == 10
    before = (tmp_path / "net.pt2").read_bytes()
    main(Config(str(pretrained), str(tmp_path / "net.pt2"), format="torch_export", license="mit"))
    assert (tmp_path / "net.pt2").stat().st_size == pytest.approx(len(before), rel=0.01)


def test_published_files_are_those_of_convert(pretrained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(published, "_WIDTH", 16)
    main(Config(str(pretrained), str(tmp_path / "export"), format="published"))
    result, _ = told(capsys)
    assert (result["dst"], result["lacks"]) == (str(tmp_path / "export/model.pth.tar"), [])
    convert.main(convert.Config(str(pretrained), str(tmp_path / "convert.pth.tar")))
    files = (load_harmless(tmp_path / name) for name in ("export/model.pth.tar", "convert.pth.tar"))
    assert_same(*files)
    with pytest.raises(ConfigError, match=r"model.pth.tar: exists, and a published file is not replaced"):
        main(Config(str(pretrained), str(tmp_path / "export"), format="published"))


def test_published_files_are_made_of_ours_alone(pretrained, tmp_path):
    with pytest.raises(CheckpointError, match="its resnet18 has width 16; the published code has only 64"):
        main(Config(str(pretrained), str(tmp_path / "a.pth.tar"), format="published"))
    fine_tuned_file(tmp_path / "best.pth.tar", "c3d")
    with pytest.raises(CheckpointError, match="a published file needs no export"):
        main(Config(str(tmp_path / "best.pth.tar"), str(tmp_path / "b.pth.tar"), format="published"))
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth.tar"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--format timm --push org/net", "push: org/net; only --format hub can be pushed"),
        ("--format published --license mit", "license: mit; a published file has no place for it"),
        ("--license My_licence", "license: 'My_licence' is no identifier of the Hub's"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse(Config, ["runs/c3d", "out", *options.split()])


def test_nothing_is_written_where_something_is_wrong(pretrained, tmp_path):
    for config, words in [
        (Config(str(pretrained), str(tmp_path / "out"), push="no name"), "push: 'no name' is no name on the Hub"),
        (Config(str(pretrained), str(pretrained / "hub")), "which is to be exported; give a place outside it"),
        (Config(str(tmp_path / "none"), str(tmp_path / "out")), "none: no such file or folder"),
    ]:
        with pytest.raises((ConfigError, CheckpointError), match=words):
            main(config)
    assert not list(tmp_path.iterdir())
    assert not (pretrained / "hub").exists()
