"""Subsets of miniature data sets: which classes, which links, what is refused."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from rspnet.data import index, layouts
from rspnet.errors import ConfigError
from stages import subset
from tests.support import REPO

# Class -> sizes of its training files, bytes. By size: d, b, a, c; by count: a, c, b, d (ties by name).
SIZES = {"a": [50], "b": [10, 20], "c": [900], "d": [1, 1, 1]}


def write(path, size=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


@pytest.fixture
def kinetics(tmp_path):
    root = tmp_path / "k4"
    for label, sizes in SIZES.items():
        for number, size in enumerate(sizes):
            write(root / f"train_video/{label}/{label}{number}.mp4", size)
        if label != "b":  # the validation files' sizes must not count; one class has none
            write(root / f"val_video/{label}/v.mp4", 5000 if label == "d" else 1)
    return root


def make(source, dst, **options):
    config = subset.Config(str(source), str(dst), out=str(Path(dst).parent / "out.jsonl"), **options)
    summary = subset.main(config)
    return summary, list(index.read_rows(config.out))


def tree(root):
    """Path -> link target (None for a folder or file) of everything in `root`."""
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else None
        for path in sorted(root.rglob("*"))
    }


def test_kinetics_by_bytes_of_the_training_files(kinetics, tmp_path):
    summary, rows = make(kinetics, tmp_path / "k2", num_classes=2)
    assert summary["classes"] == ["b", "d"]
    assert tree(tmp_path / "k2") == {
        layouts.SUBSET_MARK: None,
        "train_video": None,
        "train_video/b": "../../k4/train_video/b",
        "train_video/d": "../../k4/train_video/d",
        "val_video": None,
        "val_video/d": "../../k4/val_video/d",
    }
    assert (summary["num_videos"], summary["splits"], summary["made"]) == (6, {"train": 5, "val": 1}, True)
    # The index it writes is the one that a walk of the new root makes.
    assert rows == list(layouts.scan(tmp_path / "k2"))
    assert layouts.detect(tmp_path / "k2") == "kinetics"


@pytest.mark.parametrize(("number", "classes"), [(1, ["a"]), (2, ["a", "c"]), (3, ["a", "b", "c"])])
def test_by_count(kinetics, tmp_path, number, classes):
    assert make(kinetics, tmp_path / "k", num_classes=number, by="count")[0]["classes"] == classes


def test_by_chance(kinetics, tmp_path):
    found = [
        make(kinetics, tmp_path / f"chance{seed}", num_classes=2, by="random", seed=seed)[0]["classes"]
        for seed in range(9)
    ]
    assert {len(set(names)) for names in found} == {2}
    assert len({tuple(names) for names in found}) > 1
    again = make(kinetics, tmp_path / "again", num_classes=2, by="random", seed=0)[0]["classes"]
    assert again == found[0]


def test_by_name(kinetics, tmp_path):
    (tmp_path / "names.txt").write_text("c\n\nb\n")
    summary, _ = make(kinetics, tmp_path / "k", classes=str(tmp_path / "names.txt"))
    assert summary["classes"] == ["b", "c"]
    with pytest.raises(ConfigError, match="names 2 classes, --num_classes is 3"):
        make(kinetics, tmp_path / "k3", num_classes=3, classes=str(tmp_path / "names.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give --num_classes N, or --classes FILE"),
        ({"num_classes": 5}, "--num_classes 5: .* has 4 classes"),
        ({"num_classes": 0}, "num_classes: 0; it must be between 1 and"),
        ({"classes": "no.txt"}, "--classes no.txt: cannot be read"),
    ],
)
def test_wrong_choices_are_refused(kinetics, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        make(kinetics, tmp_path / "k", **options)
    assert not (tmp_path / "k").exists()


def test_without_duplicates(kinetics, tmp_path):
    """Each video is there once; the training set gives way, and only its folder is no longer linked as a whole."""
    (kinetics / "train_video/c/c0.mp4").write_bytes(b"the same")
    (kinetics / "val_video/c/v.mp4").write_bytes(b"the same")
    (kinetics / "train_video/c/c1.mp4").write_bytes(b"another")
    summary, rows = make(kinetics, tmp_path / "k", without_duplicates=True)
    left_out = [row["video"] for row in rows if row["status"] == "duplicate"]
    assert "train_video/c/c0.mp4" in left_out
    assert summary["left_out"] == {"duplicate": len(left_out)}
    assert summary["classes"] == ["a", "b", "c", "d"]
    made = tree(tmp_path / "k")
    assert "train_video/c/c1.mp4" in made
    assert "train_video/c/c0.mp4" not in made
    assert made["val_video/c"] == "../../k4/val_video/c"


def test_nothing_outside_is_linked(kinetics, tmp_path):
    rows = [row | {"status": "ok"} for row in layouts.scan(kinetics)]
    for name in ("../x.mp4", "a/../../x.mp4", "/etc/hosts", str(kinetics / "train_video/a/a0.mp4")):
        rows.append(rows[0] | {"video": name})
    with (tmp_path / "i.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    before = sorted(tmp_path.iterdir())
    summary, found = make(tmp_path / "i.jsonl", tmp_path / "k", num_classes=4)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "k", tmp_path / "out.jsonl"])
    assert summary["left_out"] == {"bad_name": 4}
    assert [row["status"] for row in found].count("ok") == len(rows) - 4
    for path, target in tree(tmp_path / "k").items():
        assert target is None or (tmp_path / "k" / path).resolve().is_relative_to(kinetics)


def test_a_mistyped_class_is_refused(tmp_path):
    write(tmp_path / "root/riding a bike/1.mp4")
    write(tmp_path / "root/golf/1.mp4")
    (tmp_path / "names.txt").write_text("riding_a_bike\n")
    with pytest.raises(ConfigError, match="no class 'riding_a_bike' in the data set; did you mean 'riding a bike'"):
        make(tmp_path / "root", tmp_path / "k", classes=str(tmp_path / "names.txt"))


def test_unlabelled_videos_are_refused(tmp_path):
    write(tmp_path / "root/1.mp4")
    with pytest.raises(ConfigError, match="its videos have no labels"):
        make(tmp_path / "root", tmp_path / "k", num_classes=1)


def test_again_changes_nothing(kinetics, tmp_path):
    _, rows = make(kinetics, tmp_path / "k", num_classes=2)
    before = os.stat(tmp_path / "k").st_ino
    summary, again = make(kinetics, tmp_path / "k", num_classes=2)
    assert (summary["made"], again) == (False, rows)
    assert os.stat(tmp_path / "k").st_ino == before


def test_the_index_may_lie_in_the_subset(kinetics, tmp_path):
    for made in (True, False):
        summary = subset.main(
            subset.Config(str(kinetics), str(tmp_path / "k"), 2, out=str(tmp_path / "k/index.parquet"))
        )
        assert summary["made"] == made
        assert len(list(index.read_rows(tmp_path / "k/index.parquet"))) == 6


def test_another_subset_in_the_same_place_is_refused(kinetics, tmp_path):
    make(kinetics, tmp_path / "k", num_classes=2)
    before = tree(tmp_path / "k")
    with pytest.raises(ConfigError, match="k: holds another subset; choose another folder, or remove it first"):
        make(kinetics, tmp_path / "k", num_classes=3)
    assert tree(tmp_path / "k") == before


def test_a_folder_that_is_no_subset_is_refused(kinetics, tmp_path):
    (tmp_path / "empty").mkdir()
    make(kinetics, tmp_path / "empty", num_classes=1)
    write(tmp_path / "full/notes.txt")
    (tmp_path / "hollow").mkdir()
    (tmp_path / "link").symlink_to("hollow")
    for dst in (tmp_path / "full", tmp_path / "link", kinetics):
        with pytest.raises(ConfigError, match="exists and is not a subset"):
            make(kinetics, dst, num_classes=1)


def test_an_interrupted_run_is_made_good(kinetics, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            make(kinetics, tmp_path / "k", num_classes=2)
    assert not (tmp_path / "k").exists()
    make(kinetics, tmp_path / "k", num_classes=2)
    assert {path.name for path in tmp_path.iterdir()} == {"k4", "k", "out.jsonl"}
    assert (tmp_path / "k/train_video/b/b0.mp4").exists()


@pytest.mark.parametrize("place", ["k4/small", "k4/train_video/small", "deep/er/k"])
def test_anywhere_even_inside_the_root(kinetics, tmp_path, place):
    dst = tmp_path / place
    dst.parent.mkdir(parents=True, exist_ok=True)
    for made in (True, False):  # the second walk of the root must not find the subset
        summary, rows = make(kinetics, dst, num_classes=2)
        assert (summary["made"], len(rows)) == (made, 6)
        assert all((dst / row["video"]).is_file() for row in rows)


def test_links_survive_a_move_of_both(kinetics, tmp_path):
    make(kinetics, tmp_path / "k", num_classes=2)
    (tmp_path / "new").mkdir()
    shutil.move(tmp_path / "k", tmp_path / "new/k")
    shutil.move(kinetics, tmp_path / "new/k4")
    assert (tmp_path / "new/k/train_video/d/d2.mp4").is_file()


def test_through_linked_folders(kinetics, tmp_path):
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "here").symlink_to("far/away")
    (tmp_path / "root").symlink_to(kinetics)
    _, rows = make(tmp_path / "root", tmp_path / "here/k", num_classes=2)
    assert all((tmp_path / "here/k" / row["video"]).is_file() for row in rows)


def test_a_subset_of_a_subset(kinetics, tmp_path):
    make(kinetics, tmp_path / "k3", num_classes=3)
    _, rows = make(tmp_path / "k3", tmp_path / "k1", num_classes=1)
    assert [row["video"] for row in rows if (tmp_path / "k1" / row["video"]).is_file()] == [
        *(f"train_video/d/d{number}.mp4" for number in range(3)),
        "val_video/d/v.mp4",
    ]


def test_list_layouts_stay_what_they_are(tmp_path, caplog):
    root = tmp_path / "ucf"
    for label, sizes in SIZES.items():
        for number, size in enumerate(sizes):
            write(root / f"UCF-101/{label}/v_{label}_g0{number}_c01.avi", size)
        write(root / f"UCF-101/{label}/v_{label}_g09_c01.avi", 7)
    train = [f"{label}/v_{label}_g0{n}_c01.avi 1" for label, sizes in SIZES.items() for n in range(len(sizes))]
    (root / "ucfTrainTestlist").mkdir()
    (root / "ucfTrainTestlist/trainlist01.txt").write_text("\n".join(train))
    (root / "ucfTrainTestlist/testlist01.txt").write_text("\n".join(f"{c}/v_{c}_g09_c01.avi" for c in SIZES))
    summary, rows = make(root, tmp_path / "ucf2", num_classes=2)
    assert (summary["classes"], summary["splits"]) == (["b", "d"], {"train": 5, "test": 2})
    assert tree(tmp_path / "ucf2")["UCF-101/b"] == "../../ucf/UCF-101/b"
    assert layouts.detect(tmp_path / "ucf2") == "ucf101"
    assert list(layouts.scan(tmp_path / "ucf2")) == rows
    assert not caplog.records  # that the lists name other classes as well is no surprise


def test_single_videos_where_there_are_no_class_folders(tmp_path):
    root = tmp_path / "ssv2"
    items = [("1", "Eating [food]"), ("2", "Eating [food]"), ("3", "Lifting [a thing]"), ("4", "Lifting [a thing]")]
    lists = {"train": items[:3], "validation": items[3:]}
    for number, _ in items:
        write(root / f"videos/{number}.webm", 100 // int(number))
    for name, entries in lists.items():
        (root / f"{name}.json").write_text(json.dumps([{"id": number, "template": text} for number, text in entries]))
    (root / "labels.json").write_text('{"Eating food": "0", "Lifting a thing": "1"}')
    summary, rows = make(root, tmp_path / "one", num_classes=1)
    assert summary["classes"] == ["Lifting a thing"]
    assert tree(tmp_path / "one") == {
        **{f"{name}.json": f"../ssv2/{name}.json" for name in ("labels", "train", "validation")},
        layouts.SUBSET_MARK: None,
        "videos": None,
        "videos/3.webm": "../../ssv2/videos/3.webm",
        "videos/4.webm": "../../ssv2/videos/4.webm",
    }
    assert list(layouts.scan(tmp_path / "one")) == rows
    # All classes: the folder is linked as one.
    make(root, tmp_path / "all", num_classes=2)
    assert tree(tmp_path / "all")["videos"] == "../ssv2/videos"


def test_an_index_gives_single_links_and_keeps_its_facts(kinetics, tmp_path):
    rows = [row | {"status": "ok", "bytes": 1, "recipe": {"crf": 18}} for row in layouts.scan(kinetics)]
    del rows[0]  # a/a0.mp4: the index does not want it, so the subset must not have it
    index.write_rows(rows, tmp_path / "i.parquet")
    summary, found = make(tmp_path / "i.parquet", tmp_path / "k", num_classes=2, by="count")
    assert summary["classes"] == ["a", "c"]  # a: no training file is left
    assert tree(tmp_path / "k")["train_video/c/c0.mp4"] == "../../../k4/train_video/c/c0.mp4"
    assert not (tmp_path / "k/train_video/a").exists()
    assert found == [row | {"root": str(tmp_path / "k")} for row in rows if row["label"] in "ac"]


def test_two_roots_with_one_name_are_refused(tmp_path):
    roots = [tmp_path / f"data{number}" for number in (1, 2)]
    for root in roots:
        root.mkdir()
    index.write_rows([index.new_row("a/1.mp4", str(root), "a", bytes=1) for root in roots], tmp_path / "i.jsonl")
    with pytest.raises(ConfigError, match=r"/data1/a/1.mp4 and \S+/data2/a/1.mp4 would have the same place"):
        make(tmp_path / "i.jsonl", tmp_path / "k", num_classes=1)


@pytest.mark.parametrize("by", ["bytes", "count"])
def test_names_that_are_not_utf8_are_left_out(kinetics, tmp_path, by):
    """A video of a class to take, and a class that has no other."""
    for path in (b"train_video/d/caf\xe9.mp4", b"train_video/\xe9/1.mp4"):
        write(kinetics / os.fsdecode(path))
    summary, rows = make(kinetics, tmp_path / "k", num_classes=4, by=by)
    assert (summary["classes"], summary["left_out"]) == (["a", "b", "c", "d"], {"bad_name": 1})
    assert rows == list(layouts.scan(tmp_path / "k"))
    assert all((tmp_path / "k" / path).exists() for path, target in tree(tmp_path / "k").items() if target)


def test_a_file_without_a_size_is_refused(tmp_path):
    index.write_rows([index.new_row("a/1.mp4", str(tmp_path), "a", split="train")], tmp_path / "i.jsonl")
    with pytest.raises(ConfigError, match=r"/a/1.mp4: its size is needed, but cannot be read \(No such file"):
        make(tmp_path / "i.jsonl", tmp_path / "k", num_classes=1)


def test_command_line(kinetics, tmp_path):
    command = [sys.executable, REPO / "stages/subset.py", kinetics, tmp_path / "k", "--num_classes"]
    done = subprocess.run([*command, "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(row["label"], row["root"]) for row in rows} == {(label, str(tmp_path / "k")) for label in "bd"}
    assert done.stderr == f"{tmp_path}/k: 2 classes, 6 videos (5 train, 1 val)\n"
    refused = subprocess.run([*command, "3"], capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1


def test_many_files_are_asked_for_little(tmp_path, monkeypatch):
    """300,000 files within a minute: the system is asked for the size of each once, and of each folder a few things."""
    for label in range(20):
        for split, number in (("train_video", 250), ("val_video", 50)):
            folder = tmp_path / "big" / split / f"class {label}"
            folder.mkdir(parents=True)
            for video in range(number):
                os.close(os.open(folder / f"{video}.mp4", os.O_CREAT))
    asked = Counter()

    def counted(ask, *args, **kwargs):
        asked[ask.__name__] += 1
        return ask(*args, **kwargs)

    for name in ("stat", "lstat", "scandir", "listdir", "readlink", "open"):
        monkeypatch.setattr(os, name, partial(counted, getattr(os, name)))
    summary, _ = make(tmp_path / "big", tmp_path / "k", num_classes=5)
    assert summary["num_videos"] == 1500
    monkeypatch.undo()
    assert asked["stat"] >= 5000, asked  # only the training videos' sizes decide
    assert asked.total() <= 6000 + 20 * 20, asked


def test_jhmdb(shared, tmp_path):
    summary, rows = make(shared / "data/jhmdb", tmp_path / "j5", num_classes=5)
    assert layouts.detect(tmp_path / "j5") == "hmdb51"
    assert list(layouts.scan(tmp_path / "j5")) == rows
    folder = shared / "data/jhmdb/videos"
    train = {
        label: sum((shared / "data/jhmdb" / row["video"]).stat().st_size for row in some if row["split"] == "train")
        for label in os.listdir(folder)
        for some in [[row for row in layouts.scan(shared / "data/jhmdb") if row["label"] == label]]
    }
    assert summary["classes"] == sorted(sorted(train, key=train.get)[:5])
