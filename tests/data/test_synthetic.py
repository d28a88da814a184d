"""The synthetic set: files, lists, determinism."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from rspnet.cli import command
from rspnet.data import layouts, synthetic
from rspnet.data.motions import MOTIONS, NUM_FRAMES, SIDES
from rspnet.data.synthetic import make_dataset, num_videos
from rspnet.errors import ConfigError
from rspnet.temporary import temporary
from rspnet.video.reader import inspect
from stages import synthetic as stage


def test_files_and_lists(videos):
    rows = list(layouts.scan(videos))
    assert layouts.detect(videos) == "ucf101"
    assert len(rows) == num_videos(4) == 40
    for row in rows:
        assert re.fullmatch(rf"UCF-101/{row['label']}/v_{row['label']}_g\d\d_c\d\d.mp4", row["video"])
        assert set(row["folds"]) == {"train", "test"} or row["folds"] == ["train"] * 3
    facts = inspect(videos / rows[0]["video"], "decode")
    assert (facts["status"], facts["num_frames"], facts["fps"]) == ("ok", NUM_FRAMES, 25)
    assert {facts["width"], facts["height"]} <= set(SIDES)
    lists = videos / "ucfTrainTestlist"
    assert (lists / "classInd.txt").read_text().splitlines()[:2] == ["1 FastBounce", "2 FastCircle"]
    assert "FastBounce/v_FastBounce_g02_c01.mp4 1" in (lists / "trainlist01.txt").read_text().splitlines()
    assert "FastBounce/v_FastBounce_g01_c01.mp4" in (lists / "testlist01.txt").read_text().splitlines()


def test_groups_never_cross_train_and_test(tmp_path, monkeypatch):
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {"FastRise": MOTIONS["FastRise"]})
    make_dataset(tmp_path / "a", videos_per_class=18, seed=0)
    splits = {}
    for row in layouts.scan(tmp_path / "a"):
        group = re.search(r"_g(\d\d)_", row["video"])[1]
        splits.setdefault(group, set()).add(tuple(row["folds"]))
    assert len(splits) == 9
    assert all(len(folds) == 1 for folds in splits.values())
    for fold in range(3):
        assert {next(iter(folds))[fold] for folds in splits.values()} == {"train", "test"}


def test_the_seed_decides_everything(tmp_path, videos, monkeypatch):
    monkeypatch.setattr("rspnet.data.synthetic.encode", lambda path, frames, *_, **__: np.save(path, frames))
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {name: MOTIONS[name] for name in ("FastRise", "SlowCircle")})
    made = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_dataset(tmp_path / name, videos_per_class=4, seed=seed)
        made[name] = [np.load(file) for file in sorted((tmp_path / name).rglob("*.npy"))]
    assert len(made["a"]) == 8
    assert all(np.array_equal(one, two) for one, two in zip(made["a"], made["b"]))
    assert not any(one.shape == two.shape and np.array_equal(one, two) for one, two in zip(made["a"], made["c"]))


def test_made_once_and_never_over_something_else(tmp_path, monkeypatch):
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {"FastRise": MOTIONS["FastRise"]})
    make_dataset(tmp_path / "a", 4, seed=0)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    make_dataset(tmp_path / "a", 4, seed=0)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == files
    with pytest.raises(ConfigError) as caught:
        make_dataset(tmp_path / "a", 5, seed=0)
    words = "4 videos per class and seed 0; remove it, or choose another folder"
    assert str(caught.value) == f"{tmp_path}/a: holds a set made with {words}"
    with pytest.raises(ConfigError, match="not empty"):
        make_dataset(tmp_path, 4, seed=0)
    for number in (3, 10**20):
        with pytest.raises(ConfigError, match=f"videos_per_class: {number}"):
            make_dataset(tmp_path / "b", number, seed=0)


def a_file(dst):
    dst.touch()
    return dst, ": is not a folder; choose a new one"


def a_link_to_nothing(dst):
    dst.symlink_to("nowhere")
    return dst, ": is not a folder; choose a new one"


def below_a_file(dst):
    dst.touch()
    return dst / "set", ": cannot be made (Not a directory); choose another folder"


def where_nothing_can_be_made(_):
    return Path("/proc/set"), ": cannot be made (No such file or directory); choose another folder"


def marked(text):
    def make(dst):
        dst.mkdir()
        (dst / "synthetic.json").write_text(text)
        remedy = "choose another folder, or remove this one first"
        return dst, f"/synthetic.json: does not describe a synthetic set; {remedy}"

    return make


PLACES = [a_file, a_link_to_nothing, below_a_file, where_nothing_can_be_made, marked(""), marked("[]"), marked("{}")]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_no_use_is_refused(tmp_path, place):
    dst, message = place(tmp_path / "a")
    with pytest.raises(ConfigError) as caught:
        make_dataset(dst, 4, seed=0)
    assert str(caught.value) == f"{dst}{message}"


def test_two_at_once_into_one_folder(tmp_path, monkeypatch):
    """The second is refused; both would write the same files."""
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {"FastRise": MOTIONS["FastRise"]})

    def second(*lists):
        with pytest.raises(ConfigError) as caught:
            make_dataset(tmp_path / "a", 4, seed=0)
        remedy = "wait for it, or choose another folder"
        assert str(caught.value) == f"{tmp_path}/a: another process is making a set there; {remedy}"
        write_lists(*lists)

    write_lists = synthetic._write_lists
    monkeypatch.setattr(synthetic, "_write_lists", second)
    assert make_dataset(tmp_path / "a", 4, seed=0)
    assert not make_dataset(tmp_path / "a", 4, seed=0)  # the first one's is whole, and free


def test_an_interrupted_set_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {"FastRise": MOTIONS["FastRise"]})
    (tmp_path / "a").mkdir()
    temporary(tmp_path / "a" / "synthetic.json").touch()  # killed over the first file of all
    with monkeypatch.context() as patch:
        patch.setattr("rspnet.data.synthetic._write_lists", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_dataset(tmp_path / "a", 4, seed=0)
    for name in ("synthetic.json", "ucfTrainTestlist/classInd.txt", "UCF-101/FastRise/v_FastRise_g01_c01.mp4"):
        temporary(tmp_path / "a" / name).touch()  # what a killed process leaves
    make_dataset(tmp_path / "a", 4, seed=0)
    assert len(list(layouts.scan(tmp_path / "a", "ucf101"))) == 4
    assert not list(tmp_path.rglob("*.partial"))


def test_a_set_that_lost_a_file_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {"FastRise": MOTIONS["FastRise"]})
    make_dataset(tmp_path / "a", 4, seed=0)
    (tmp_path / "a" / "UCF-101" / "FastRise" / "mine.txt").touch()
    files = {file: file.read_bytes() for file in sorted((tmp_path / "a").rglob("*")) if file.is_file()}
    assert not make_dataset(tmp_path / "a", 4, seed=0)
    for number, file in enumerate(file for file in files if file.suffix == ".mp4" or "list" in file.name):
        if number % 2:
            file.unlink()
        else:
            file.write_bytes(files[file][:-1])
        assert make_dataset(tmp_path / "a", 4, seed=0), file
        assert {file: file.read_bytes() for file in files} == files


@pytest.mark.parametrize("name", ["UCF-101", "UCF-101/FastRise", "ucfTrainTestlist"])
def test_a_file_where_an_unfinished_set_has_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {"FastRise": MOTIONS["FastRise"]})
    unfinished = {"videos_per_class": 4, "seed": 0, "sha256": None}
    (tmp_path / "synthetic.json").write_text(json.dumps(unfinished))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/\S+: cannot be made \(.*\); remove what is there, or choose"):
        make_dataset(tmp_path, 4, seed=0)
    assert (tmp_path / name).read_text() == "mine"


def test_a_group_shares_its_scene_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("rspnet.data.synthetic.encode", lambda path, frames, *_, **__: np.save(path, frames))
    monkeypatch.setattr("rspnet.data.synthetic.MOTIONS", {name: MOTIONS[name] for name in ("FastPulse", "SlowRise")})
    make_dataset(tmp_path, videos_per_class=8, seed=0)
    pictures = {}  # of each group's four videos, what stands still in each
    for file in sorted(tmp_path.rglob("*.npy")):
        group = re.search(r"_g(\d\d)_", file.name)[1]
        pictures.setdefault(group, []).append(np.median(np.load(file), axis=0))
    assert len(pictures) == 4
    for group in pictures.values():
        assert len(group) == 4
        assert len({picture.tobytes() for picture in group}) == 4
        for picture in group[1:]:
            assert picture.shape == group[0].shape
            assert np.median(np.abs(picture - group[0])) < 8  # the camera shakes
    first = [group[0][:64, :64] for group in pictures.values()]
    assert all(np.median(np.abs(one - first[0])) > 16 for one in first[1:])


def test_the_stage_says_what_it_made(tmp_path, monkeypatch, capsys):
    for module in ("motions", "synthetic"):
        monkeypatch.setattr(f"rspnet.data.{module}.MOTIONS", {"FastRise": MOTIONS["FastRise"]})
    for made, more in ((True, ""), (False, "; already there")):
        result = stage.main(stage.Config(str(tmp_path / "a"), videos_per_class=4))
        facts = {"stage": "synthetic", "dst": str(tmp_path / "a"), "made": made, "num_classes": 1, "num_videos": 4}
        out, err = capsys.readouterr()
        assert (result, json.loads(out)) == (facts, facts)
        assert err == f"{tmp_path / 'a'}: 1 class, 4 videos{more}\n"
    assert len(list(layouts.scan(tmp_path / "a"))) == 4


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--videos_per_class=3", "videos_per_class: 3; it must be between 4 and 100000"),
        ("--seed=-1", "seed: -1; it must be between 0 and 9223372036854775807"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, option, message):
    monkeypatch.setattr(sys, "argv", ["stages/synthetic.py", str(tmp_path / "a"), option])
    with pytest.raises(SystemExit) as ended:
        command.run(stage.main, stage.Config)
    assert (ended.value.code, *capsys.readouterr()) == (2, "", f"synthetic.py: {message}\n")
    assert not (tmp_path / "a").exists()
