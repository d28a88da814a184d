"""stages/visualize.py: the files that it leaves, and what it says of them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from rspnet.cli import options
from rspnet.cli.config import parse
from rspnet.errors import CheckpointError, ConfigError
from rspnet.temporary import temporary
from rspnet.video.reader import Video
from stages.visualize import Config, main
from tests.support import tiny
from tests.support.published_files import pretraining_file
from tests.support.replay_step import published_name

CLIPS = {"clips": options.Clips(num_frames=8, size=48)}


@pytest.fixture
def visualize(motions, pretrained, tmp_path, capsys):
    """Options -> the result, which is the last line on stdout as well."""

    def call(**changes):
        asked = {"sources": [str(motions)], "weights": str(pretrained), "out": str(tmp_path / "maps")} | CLIPS
        result = main(Config(**asked | changes))
        assert result == json.loads(capsys.readouterr().out.splitlines()[-1]) | {"exit_status": result["exit_status"]}
        return result

    return call


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_two_files_of_each_video(visualize, tmp_path):
    result = visualize(sample=2)
    assert (result["stage"], result["arch"], result["num_videos"], result["num_failed"]) == (
        "visualize",
        "resnet18",
        2,
        0,
    )
    files = [file for video in result["videos"] for file in video["files"]]
    assert {str(Path(file).relative_to(tmp_path / "maps")) for file in files} == written(tmp_path / "maps")
    for video in result["videos"]:
        moving, still = video["files"]
        assert moving == str(tmp_path / "maps" / f"{video['video']}.maps.mp4")
        assert still == str(tmp_path / "maps" / f"{video['video']}.maps.webp")
        with Video(moving) as film:
            assert (film.num_frames, film.fps) == (8, 8)
        with Image.open(still) as strip:
            assert strip.format == "WEBP"
            assert strip.width > 8 * 112
        assert [clip["speed"] for clip in video["clips"]] == [2, 2]
        assert all(clip["last_frame"] - clip["first_frame"] == 14 for clip in video["clips"])


def test_again_it_is_the_same_and_another_seed_is_another(visualize, tmp_path):
    one = visualize(sample=1)
    before = {name: (tmp_path / "maps" / name).read_bytes() for name in written(tmp_path / "maps")}
    (tmp_path / "maps" / min(before)).write_bytes(b"half of a film")
    temporary(tmp_path / "maps" / min(before)).write_bytes(b"what a killed process left")
    assert visualize(sample=1) == one
    assert {name: (tmp_path / "maps" / name).read_bytes() for name in written(tmp_path / "maps")} == before
    assert visualize(sample=1, seed=1)["videos"] != one["videos"]


def test_named_videos_formats_and_speeds(visualize, motions, tmp_path):
    result = visualize(videos=["test/down/21.mp4"], speeds=[1, 3], strip="png", fps=5.0)
    (video,) = result["videos"]
    assert (video["video"], video["label"]) == ("test/down/21.mp4", "down")
    assert [(clip["speed"], clip["looped"]) for clip in video["clips"]] == [(1, False), (3, False)]
    with Image.open(video["files"][1]) as strip:
        assert strip.format == "PNG"
    with Video(video["files"][0]) as film:
        assert film.fps == 5
    shutil.copy(motions / "test/down/21.mp4", tmp_path / "一.mp4")
    (video,) = visualize(sources=[str(tmp_path / "一.mp4")])["videos"]
    assert video["files"][0] == str(tmp_path / "maps/一.mp4.maps.mp4")
    assert Path(video["files"][0]).is_file()


def test_videos_that_cannot_be_read_are_named_and_counted(visualize, motions, tmp_path, capsys):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video")
    shutil.copy(motions / "test/down/21.mp4", tmp_path / "c.mp4")
    main_result = visualize(sources=[str(tmp_path / name) for name in ("a.mp4", "c.mp4", "b.mp4")])
    assert (main_result["num_videos"], main_result["num_failed"], main_result["exit_status"]) == (1, 2, 0)
    assert [(video["video"], video["status"]) for video in main_result["videos"]] == [
        ("a.mp4", "broken"),
        ("c.mp4", "ok"),
        ("b.mp4", "broken"),
    ]
    assert str(tmp_path / "a.mp4") in main_result["videos"][0]["reason"]
    assert visualize(sources=[str(tmp_path / "a.mp4")])["exit_status"] == 1


def test_of_a_published_file(visualize, pretrained, tmp_path):
    """It shows what the run shows that it was made of."""
    model = {published_name(key): value for key, value in tiny.state(pretrained)["model"].items()}
    torch.save({"epoch": 7, "arch": "resnet18", "model": model}, tmp_path / "p.pth.tar")
    said = [visualize(weights=str(weights), sample=1) for weights in (tmp_path / "p.pth.tar", pretrained)]
    assert [(result["arch"], result["epoch"], result["num_videos"]) for result in said] == [
        ("resnet18", 7, 1),
        ("resnet18", 2, 1),
    ]
    assert said[0]["videos"] == said[1]["videos"]
    pictures = [Path(file).read_bytes() for file in said[0]["videos"][0]["files"]]
    model["encoder_q.fc2.2.weight"] = model["encoder_q.fc2.2.weight"].flip(0)
    torch.save({"arch": "resnet18", "model": model}, tmp_path / "p.pth.tar")
    others = visualize(weights=str(tmp_path / "p.pth.tar"), sample=1)["videos"][0]["files"]
    assert all(Path(file).read_bytes() != picture for file, picture in zip(others, pictures, strict=True))


def test_of_a_run_that_goes_on_the_checkpoint_is_named(visualize, pretrained, tmp_path):
    run = tmp_path / "goes_on"
    shutil.copytree(pretrained, run, symlinks=True)
    for name in ("encoder.safetensors", "result.json"):
        (run / name).unlink()
    newest = max((run / "checkpoints").glob("step_*"), key=lambda path: int(path.name[5:]))
    assert visualize(weights=str(run), sample=1)["weights"] == str(newest)


def test_a_last_map_of_one_position_is_said_to_show_nothing(visualize, capsys):
    (video,) = visualize(sample=1, clips=options.Clips(num_frames=8, size=16))["videos"]
    assert [clip["flat"] for clip in video["clips"]] == [["motion", "appearance"]] * 2


def test_the_clips_are_those_of_the_weights(pretrained):
    config = parse(Config, ["a.mp4", "b.mp4", "--weights", str(pretrained), "--out", "maps"])
    assert (config.sources, vars(config.clips)) == (["a.mp4", "b.mp4"], vars(CLIPS["clips"]))
    assert parse(Config, ["a.mp4", "--weights", str(pretrained), "--clips.size", "64"]).clips.size == 64


def test_what_cannot_be_shown(visualize, finetuned, motions, tmp_path):
    with pytest.raises(CheckpointError, match="is a fine-tuned network, without the two heads"):
        visualize(weights=str(finetuned))
    for missing, changes in (
        ("--weights", {"weights": "none"}),
        ("--weights", {"weights": None}),
        ("--out", {"out": None}),
    ):
        with pytest.raises(ConfigError, match=f"^{missing}: name"):
            visualize(**changes)
    with pytest.raises(ConfigError, match=r"out: .* lies in"):
        visualize(out=str(motions / "maps"))
    pretraining_file(tmp_path / "p.pth.tar", "c3d")
    with pytest.raises(ConfigError, match=r"clips\.num_frames: 8, clips\.size: 8: too little for c3d"):
        visualize(weights=str(tmp_path / "p.pth.tar"), clips=options.Clips(num_frames=8, size=8))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        visualize(out=str(tmp_path / "file"), sample=1)
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"speeds": [2]}, "speeds"),
        ({"speeds": [1, 0]}, "speeds"),
        ({"sample": 0}, "sample"),
        ({"sample": 2, "videos": ["a.mp4"]}, "sample"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("inf")}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"time_limit": -1.0}, "time_limit"),
    ],
)
def test_options_that_can_never_be_right(changes, said):
    with pytest.raises(ConfigError, match=f"^{said}: "):
        Config(["a.mp4"], **changes)
