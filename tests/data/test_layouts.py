"""Data-set folders in miniature, with empty files for videos and official list files as they are published."""

import json
import logging
import os
from collections import Counter
from typing import get_args

import pytest

from rspnet.cli import options
from rspnet.data import layouts
from rspnet.errors import ConfigError


def make(root, *paths, text=""):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def scan(root, layout="auto"):
    return {row["video"]: row for row in layouts.scan(root, layout)}


def lines(path):
    return [line.strip() for line in path.read_text().splitlines()]


def short(rows):
    """Video -> (label, split, folds)."""
    return {name: (row["label"], row["split"], row["folds"]) for name, row in rows.items()}


def test_every_layout_may_be_asked_for():
    assert {"auto", *layouts.LAYOUTS} == set(get_args(options.Layout))


@pytest.fixture
def ucf101(tmp_path):
    """Two classes, two folds, in the list format of the official zip (CRLF, class ids in train lists only)."""
    first = ["v_Hammering_g01_c01", "v_Hammering_g02_c01"]
    second = ["v_HandStandPushups_g01_c01", "v_HandStandPushups_g02_c01"]
    make(tmp_path, *(f"UCF-101/Hammering/{stem}.avi" for stem in first))
    make(tmp_path, *(f"UCF-101/HandstandPushups/{stem}.avi" for stem in second))
    lists = {
        "classInd.txt": "1 Hammering\r\n2 HandStandPushups\r\n",
        "trainlist01.txt": f"Hammering/{first[1]}.avi 1\r\nHandstandPushups/{second[1]}.avi 2\r\n",
        "testlist01.txt": f"Hammering/{first[0]}.avi\r\nHandstandPushups/{second[0]}.avi\r\n",
        "trainlist02.txt": f"Hammering/{first[0]}.avi 1\r\nHandstandPushups/{second[0]}.avi 2\r\n",
        "testlist02.txt": f"Hammering/{first[1]}.avi\r\nHandstandPushups/{second[1]}.avi\r\n",
    }
    for name, text in lists.items():
        make(tmp_path, f"ucfTrainTestlist/{name}", text=text)
    return tmp_path


HMDB51_NAMES = {"hug": "-_FREE_HUGS!_-_[a;b]&#_hug_u_cm_np2_ba_goo_1", "wave": "21_wave_u_nm_np1_fr_goo_5"}


@pytest.fixture
def hmdb51(tmp_path):
    """Two classes with names as odd as the real ones; the lists end lines with a blank and say .avi."""
    for label, stem in HMDB51_NAMES.items():
        make(tmp_path, f"videos/{label}/{stem}.avi", f"videos/{label}/other_{label}.avi")
        for fold, (tag, other) in enumerate([(1, 2), (2, 0), (0, 1)], 1):
            text = f"{stem}.avi {tag} \nother_{label}.avi {other} \n"
            make(tmp_path, f"metafile/{label}_test_split{fold}.txt", text=text)
    return tmp_path


@pytest.fixture
def something_v2(tmp_path):
    """One video per list under the official names; brackets stand around the placeholders of a template."""
    make(tmp_path, *(f"20bn-something-something-v2/{number}.webm" for number in (1, 22, 333)))
    lists = {
        "labels": {"Closing something": "0", "Covering something with something": "1"},
        "train": [{"id": "1", "label": "closing a box", "template": "Closing [something]", "placeholders": ["a box"]}],
        "validation": [{"id": "22", "template": "Covering [something] with [something]"}],
        "test": [{"id": "333"}],
    }
    for name, content in lists.items():
        make(tmp_path, f"labels/something-something-v2-{name}.json", text=json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(("train", "val"), [("train_video", "val_video"), ("train", "val")])
def test_kinetics(tmp_path, train, val):
    make(tmp_path, f"{train}/b c/1.mp4", f"{train}/a/2.MP4", f"{val}/a/3.mkv", f"{val}/a/list.csv", "other/4.mp4")
    assert layouts.detect(tmp_path) == "kinetics"
    assert short(scan(tmp_path)) == {
        f"{train}/a/2.MP4": ("a", "train", None),
        f"{train}/b c/1.mp4": ("b c", "train", None),
        f"{val}/a/3.mkv": ("a", "val", None),
    }


def test_kinetics_prefers_the_published_names(tmp_path, caplog):
    make(tmp_path, "train_video/a/1.mp4", "train/a/1.mp4", "val_video/a/2.mp4")
    assert list(scan(tmp_path)) == ["train_video/a/1.mp4", "val_video/a/2.mp4"]
    assert caplog.messages == [f"{tmp_path}: train/ is left out, because it is not the only folder of train"]


@pytest.mark.parametrize(
    "folders", [("train", "val_video"), ("train_video", "val_video", "test"), ("Train", "test_video")]
)
def test_no_split_is_lost_for_another_ones_name(tmp_path, folders):
    make(tmp_path, *(f"{folder}/a/1.mp4" for folder in folders))
    assert layouts.detect(tmp_path) == "kinetics"
    splits = {video: row["split"] for video, row in scan(tmp_path).items()}
    assert splits == {f"{folder}/a/1.mp4": folder.lower().removesuffix("_video") for folder in folders}


def test_rows_have_the_keys_of_the_index_and_no_facts(tmp_path):
    make(tmp_path, "a/1.mp4")
    (row,) = layouts.scan(str(tmp_path))
    assert row == dict.fromkeys(row) | {"video": "a/1.mp4", "root": str(tmp_path), "label": "a"}
    assert [*row][:7] == ["video", "root", "label", "split", "status", "reason", "num_frames"]


def test_ucf101(ucf101):
    assert layouts.detect(ucf101) == "ucf101"
    assert short(scan(ucf101)) == {
        "UCF-101/Hammering/v_Hammering_g01_c01.avi": ("Hammering", "test", ["test", "train"]),
        "UCF-101/Hammering/v_Hammering_g02_c01.avi": ("Hammering", "train", ["train", "test"]),
        "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi": ("HandstandPushups", "test", ["test", "train"]),
        "UCF-101/HandstandPushups/v_HandStandPushups_g02_c01.avi": ("HandstandPushups", "train", ["train", "test"]),
    }


def test_ucf101_after_transcoding_and_renaming(ucf101):
    for path in list(ucf101.glob("UCF-101/*/*.avi")):
        path.rename(path.with_suffix(".mp4"))
    (ucf101 / "UCF-101/HandstandPushups").rename(ucf101 / "UCF-101/HandStandPushups")  # as classInd.txt writes it
    (ucf101 / "UCF-101").rename(ucf101 / "videos")
    rows = scan(ucf101)
    assert Counter(row["split"] for row in rows.values()) == {"train": 2, "test": 2}
    assert {row["label"] for row in rows.values()} == {"Hammering", "HandstandPushups"}


def test_missing_and_unlisted_videos_are_told(ucf101, caplog):
    (ucf101 / "UCF-101/Hammering/v_Hammering_g02_c01.avi").unlink()
    make(ucf101, "UCF-101/Hammering/mine.mp4")
    rows = scan(ucf101)
    missing = rows["UCF-101/Hammering/v_Hammering_g02_c01.avi"]
    assert (missing["status"], missing["label"], missing["split"]) == ("missing", "Hammering", "train")
    assert short(rows)["UCF-101/Hammering/mine.mp4"] == ("Hammering", None, [None, None])
    assert "1 of 4 listed videos are missing, e.g. Hammering/v_Hammering_g02_c01.avi" in caplog.text
    assert "videos in no official list, and so in no split: 1" in caplog.text


def test_an_absent_class_is_named_but_makes_no_rows(ucf101, caplog):
    for path in ucf101.glob("UCF-101/Hammering/*"):
        path.unlink()
    assert {row["label"] for row in scan(ucf101).values()} == {"HandstandPushups"}
    assert "1 of 2 classes have no video, e.g. Hammering" in caplog.text


def test_the_same_video_twice_is_refused(ucf101):
    make(ucf101, "transcoded/Hammering/v_Hammering_g01_c01.mp4")
    with pytest.raises(ConfigError, match=r"v_Hammering_g01_c01.avi and .*v_Hammering_g01_c01.mp4 are one video"):
        scan(ucf101)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trainlist01.txt", "v_no_class.avi 1\n", "trainlist01.txt:1: expected CLASS/FILE.avi"),
        ("testlist01.txt", "Hammering/v_Hammering_g02_c01.avi\n", "as Hammering train, but before as .* test"),
        ("trainlist01.txt", "UCF-101/Hammering/v_Hammering_g01_c01.avi 1\n", "trainlist01.txt:1: expected CLASS/FILE"),
        ("trainlist03.txt", "", "a fold needs both its trainlist and its testlist"),
    ],
)
def test_ucf101_lists_that_are_wrong(ucf101, name, text, message):
    make(ucf101, f"ucfTrainTestlist/{name}", text=text)
    with pytest.raises(ConfigError, match=message):
        scan(ucf101)


def test_ucf101_needs_folds_without_a_gap(ucf101):
    for part in ("train", "test"):
        (ucf101 / f"ucfTrainTestlist/{part}list01.txt").unlink()
    with pytest.raises(ConfigError, match=r"folds \[2\]"):
        scan(ucf101)


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
@pytest.mark.parametrize("folder", ["metafile", "testTrainMulti_7030_splits"])
def test_hmdb51(hmdb51, suffix, folder):
    for path in list(hmdb51.glob("videos/*/*.avi")):
        path.rename(path.with_suffix(suffix))
    (hmdb51 / "metafile").rename(hmdb51 / folder)
    assert layouts.detect(hmdb51) == "hmdb51"
    rows = short(scan(hmdb51))
    for label, stem in HMDB51_NAMES.items():
        assert rows.pop(f"videos/{label}/{stem}{suffix}") == (label, "train", ["train", "test", "unused"])
        assert rows.pop(f"videos/{label}/other_{label}{suffix}") == (label, "test", ["test", "unused", "train"])
    assert not rows


def test_hmdb51_class_folders_in_the_root(hmdb51):
    for label in HMDB51_NAMES:
        (hmdb51 / "videos" / label).rename(hmdb51 / label)
    assert {row["label"] for row in scan(hmdb51).values()} == set(HMDB51_NAMES)


def test_a_list_that_is_missing_for_one_fold_is_told(hmdb51, caplog):
    (hmdb51 / "metafile/wave_test_split2.txt").unlink()
    assert {tuple(row["folds"])[1] for row in scan(hmdb51).values() if row["label"] == "wave"} == {None}
    assert "2 listed videos are in no list of fold 2; is one missing or cut short?" in caplog.text


def test_hmdb51_with_an_unknown_tag(hmdb51):
    make(hmdb51, "metafile/hug_test_split2.txt", text="a.avi 1\nb.avi 3 \n")
    with pytest.raises(ConfigError, match=r"hug_test_split2.txt:2: expected FILE.avi and a tag 0, 1 or 2; found 'b"):
        scan(hmdb51)


def test_lists_in_two_places_are_refused(hmdb51):
    make(hmdb51, "old/hug_test_split1.txt", text="a.avi 1\n")
    with pytest.raises(ConfigError, match="hmdb51 lists lie in metafile/ and in old/"):
        scan(hmdb51)


def test_something_v2(something_v2):
    assert layouts.detect(something_v2) == "something_v2"
    folder = "20bn-something-something-v2"
    assert short(scan(something_v2)) == {
        f"{folder}/1.webm": ("Closing something", "train", None),
        f"{folder}/22.webm": ("Covering something with something", "val", None),
        f"{folder}/333.webm": (None, "test", None),
    }


def test_something_v2_under_short_names_transcoded_and_without_a_test_list(something_v2):
    for path in list(something_v2.glob("*/*")):
        name = path.name.replace("something-something-v2-", "")
        path.rename(path.with_name(name.replace(".webm", ".mp4")))
    (something_v2 / "labels/test.json").unlink()
    rows = scan(something_v2)
    assert [row["split"] for row in rows.values()] == ["train", "val", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("5", "expected a list"),
        ('[{"id": "1", "template": 5}]', "entry 0 of the train list: expected an object with an id and a template"),
        ('[{"template": "Closing [something]"}]', "entry 0 of the train list: expected an object with an id"),
        ('[{"id": "1", "template": "Eating [something]"}]', "label 'Eating something' is not in the labels file"),
        ('[{"id": "1"}, {"id": "22", "template": "Closing [something]"}]', "22.webm is listed as .* but before"),
    ],
)
def test_something_v2_lists_that_are_wrong(something_v2, text, message):
    make(something_v2, "labels/something-something-v2-train.json", text=text)
    with pytest.raises(ConfigError, match=message):
        scan(something_v2)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("a/1.mp4", "b/2.avi"), {"a/1.mp4": ("a", None), "b/2.avi": ("b", None)}),
        (("1.mp4", "b/2.avi"), {"1.mp4": (None, None), "b/2.avi": (None, None)}),
        (("a/1.mp4", "a/b/2.mov"), {"a/1.mp4": (None, None), "a/b/2.mov": (None, None)}),
        (("train/a/1.mp4", "test/b/2.m4v"), {"test/b/2.m4v": ("b", "test"), "train/a/1.mp4": ("a", "train")}),
        (("train/1.mp4", "test/2.mpg"), {"test/2.mpg": (None, "test"), "train/1.mp4": (None, "train")}),
        (("Train/a/1.mp4", "TEST/b/2.m4v"), {"TEST/b/2.m4v": ("b", "test"), "Train/a/1.mp4": ("a", "train")}),
        (("train/a/1.mp4", "Testing/b/2.ts"), {"Testing/b/2.ts": ("b", "test"), "train/a/1.mp4": ("a", "train")}),
        (("test 1/1.mp4", "test 2/2.mp4"), {"test 1/1.mp4": ("test 1", None), "test 2/2.mp4": ("test 2", None)}),
    ],
    ids=["classes", "mixed depth", "deep", "splits and classes", "splits only", "case", "other names", "no splits"],
)
def test_folder(tmp_path, paths, expected):
    make(tmp_path, *paths)
    assert layouts.detect(tmp_path) == "folder"
    assert {name: parts[:2] for name, parts in short(scan(tmp_path)).items()} == expected


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path):
    make(tmp_path, "a/1.mp4", "a/._1.mp4", ".cache/2.mp4", "a/notes.TXT", "a/old.zip", "README")
    ignored = Counter()
    assert [row["video"] for row in layouts.scan(tmp_path, ignored=ignored)] == ["a/1.mp4"]
    assert ignored == {".txt": 1, ".zip": 1, "": 1}


@pytest.mark.parametrize("stray", ["stray.mp4", "train/stray.mp4", "train/a/deep/stray.mp4"])
def test_a_stray_video_is_named_and_takes_nothing_away(tmp_path, stray, caplog):
    make(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4", "test/b/4.mp4", stray)
    rows = short(scan(tmp_path))
    assert rows.pop(stray)[:2] == (None, "train" if "/" in stray else None)
    assert {name: parts[:2] for name, parts in rows.items()} == {
        "train/a/1.mp4": ("a", "train"),
        "train/b/2.mp4": ("b", "train"),
        "test/a/3.mp4": ("a", "test"),
        "test/b/4.mp4": ("b", "test"),
    }
    assert f"1 video lies beside the folders of the others and has no label: {stray}" in caplog.text


def test_stray_videos_of_other_layouts(tmp_path, caplog):
    make(tmp_path / "classes", "a/1.mp4", "a/2.mp4", "b/3.mp4", "4.mp4")
    assert [row["label"] for row in scan(tmp_path / "classes").values()] == [None, "a", "a", "b"]
    make(tmp_path / "kinetics", "train/a/1.mp4", "val/a/2.mp4", *(f"train/{number}.mp4" for number in range(4)))
    assert Counter(row["label"] for row in scan(tmp_path / "kinetics").values()) == {"a": 2, None: 4}
    assert "classes: 1 video lies beside the folders of the others and has no label: 4.mp4" in caplog.text
    assert "kinetics: 4 videos lie beside the folders of the others and have no label: train/0.mp4" in caplog.text
    assert "train/0.mp4, train/1.mp4, train/2.mp4 ..." in caplog.text


@pytest.mark.parametrize(
    ("train", "val"), [("Train", "validation"), ("TRAIN", "Valid"), ("train_256", "val_256"), ("videos_train", "val")]
)
def test_kinetics_by_other_names(tmp_path, train, val):
    make(tmp_path, f"{train}/a/1.mp4", f"{val}/a/2.mp4")
    assert layouts.detect(tmp_path) == "kinetics"
    assert short(scan(tmp_path)) == {f"{train}/a/1.mp4": ("a", "train", None), f"{val}/a/2.mp4": ("a", "val", None)}


def test_a_data_set_one_folder_deeper(tmp_path, caplog):
    make(tmp_path, "set/train/a/1.mp4", "set/test/a/2.mp4")
    assert [row["split"] for row in scan(tmp_path).values()] == [None, None]
    assert f"{tmp_path}: its splits are not in it, but in {tmp_path}/set; give that folder to use them" in caplog.text


def test_splits_in_two_sizes(tmp_path):
    """train/ is meant where there is train_480/ as well; of two others nobody knows."""
    make(tmp_path / "one", "train/a/1.mp4", "train_480/a/1.mp4", "val/a/2.mp4")
    assert list(scan(tmp_path / "one")) == ["train/a/1.mp4", "val/a/2.mp4"]
    make(tmp_path / "two", "train_256/a/1.mp4", "train_480/a/1.mp4", "val/a/2.mp4")
    assert layouts.detect(tmp_path / "two") == "folder"


def test_links_are_followed_without_loops(tmp_path):
    make(tmp_path / "elsewhere", "1.mp4")
    make(tmp_path / "root", "a/2.mp4")
    (tmp_path / "root/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/up").symlink_to("..")
    (tmp_path / "root/a/gone.mp4").symlink_to("nowhere.mp4")
    assert list(scan(tmp_path / "root")) == ["a/2.mp4", "a/gone.mp4", "b/1.mp4"]


def test_a_subset_inside_the_root_is_not_seen_twice(hmdb51):
    (hmdb51 / "small").mkdir()
    (hmdb51 / "small/videos").symlink_to("../videos")
    (hmdb51 / "small/metafile").symlink_to("../metafile")
    make(hmdb51, f"small/{layouts.SUBSET_MARK}", text="{}")
    assert len(scan(hmdb51)) == 4
    assert len(scan(hmdb51 / "small")) == 4


def test_a_closed_folder_is_left_out(tmp_path, monkeypatch, caplog):
    make(tmp_path, "a/1.mp4", "lost+found/2.mp4")
    list_folder = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied")  # root, who may run the tests, is refused nothing
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(scan(tmp_path)) == ["a/1.mp4"]
    assert "left out a folder that is closed to this user: lost+found (Permission denied)" in caplog.text


def test_lists_with_a_byte_order_mark(ucf101):
    expected = short(scan(ucf101))
    for path in ucf101.glob("ucfTrainTestlist/*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert short(scan(ucf101)) == expected


@pytest.mark.parametrize(
    ("encoding", "words"), [("utf-16", "UTF-16 text; save"), ("latin-1", ":2: not UTF-8 text; save")]
)
def test_lists_in_another_encoding(ucf101, encoding, words):
    text = "Hammering/v_Hammering_g02_c01.avi 1\nH\xe4mmern/v_Hammern_g02_c01.avi 1\n"
    (ucf101 / "ucfTrainTestlist/trainlist01.txt").write_bytes(text.encode(encoding))
    with pytest.raises(ConfigError, match=f"trainlist01.txt{'' if words[0] == ':' else ': '}{words}"):
        scan(ucf101)


def test_a_path_that_is_not_utf8_costs_its_row_only(tmp_path):
    make(tmp_path, "a/good.mp4")
    folder = os.fsencode(tmp_path / "a")
    open(os.path.join(folder, b"caf\xe9.mp4"), "w").close()
    bad, good = sorted(layouts.scan(tmp_path), key=lambda row: row["status"] is None)
    assert (bad["video"], bad["status"], bad["label"]) == (r"a/caf\xe9.mp4", "bad_name", "a")
    assert good["status"] is None


def test_detect_says_what_it_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no data set found; looked for \.mp4, \.avi, "):
        layouts.detect(tmp_path / "empty")
    make(tmp_path, "notes.txt")
    with pytest.raises(ConfigError) as caught:
        layouts.detect(tmp_path)
    said = str(caught.value).removeprefix(f"{tmp_path}: ")
    assert said == "no data set found, only 1 .txt file; looked for .mp4, .avi, .mkv, .webm and other videos"
    assert len(said) < 100
    with pytest.raises(ConfigError, match="no such folder"):
        layouts.detect(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not a folder"):
        layouts.detect(tmp_path / "notes.txt")
    make(tmp_path, "a/1.JPG", "a/2.jpg", "b/3.jpg")
    found = r"only 3 \.jpg, 1 \.txt files \(pictures\); looked for"
    with pytest.raises(ConfigError, match=rf"no data set found, {found}"):
        layouts.detect(tmp_path)
    with pytest.raises(ConfigError, match=rf"no videos in the folder layout, {found}"):
        layouts.scan(tmp_path, "folder")


def test_official_lists_are_no_stray_files(tmp_path):
    make(tmp_path, "a/v_a_g01_c01.avi", "a/v_a_g02_c01.avi", "notes.txt")
    (tmp_path / "trainlist01.txt").write_text("a/v_a_g01_c01.avi 1\n")
    (tmp_path / "testlist01.txt").write_text("a/v_a_g02_c01.avi\n")
    ignored = Counter()
    assert len(list(layouts.scan(tmp_path, "auto", ignored))) == 2
    assert ignored == {"lists": 2, ".txt": 1}


def test_two_data_sets_in_one_root_are_refused(ucf101):
    make(ucf101, "splits/hug_test_split1.txt", text="a.avi 1\n")
    with pytest.raises(ConfigError, match="lists of ucf101 and hmdb51"):
        layouts.detect(ucf101)


def test_a_layout_that_is_not_there_is_refused(tmp_path):
    make(tmp_path, "a/1.mp4")
    for layout, message in [
        ("kinetics", "needs train_video/"),
        ("ucf101", r"ucf101 are missing \(trainlist01\.txt and testlist01\.txt\); use --data\.layout auto"),
    ]:
        with pytest.raises(ConfigError, match=message):
            scan(tmp_path, layout)
    with pytest.raises(ConfigError, match="unknown layout 'ucf'; choose auto, kinetics"):
        scan(tmp_path, "ucf")


def test_lists_of_other_videos_are_refused(ucf101):
    for path in ucf101.glob("UCF-101/*/*"):
        path.rename(path.with_stem(path.stem + "_renamed"))
    with pytest.raises(ConfigError, match=r"none of its videos .* is in the official lists \(Hammering/v_\S+ ...\)"):
        scan(ucf101)


@pytest.mark.parametrize(("fold", "column"), [(0, "split1"), (1, "split2"), (2, "split3")])
def test_jhmdb(shared, fold, column):
    root = shared / "data/jhmdb"
    rows = scan(root)
    head, *clips = (line.split("\t") for line in lines(root / "clips.tsv"))
    expected = {clip[0]: (clip[1], clip[head.index(column)]) for clip in clips}
    assert {name: (row["label"], row["folds"][fold]) for name, row in rows.items()} == expected
    if fold == 0:
        assert Counter(row["split"] for row in rows.values()) == {"train": 671, "test": 257}
        assert len({row["label"] for row in rows.values()}) == 21


def test_official_ucf101_lists(shared, tmp_path, caplog):
    lists = shared / "data/annotations/ucf101"
    (tmp_path / "ucfTrainTestlist").symlink_to(lists)
    names = [line.split()[0] for part in ("train", "test") for line in lines(lists / f"{part}list01.txt")]
    make(tmp_path / "UCF-101", *(name.replace(".avi", ".mp4") for name in names))
    with caplog.at_level(logging.WARNING):
        rows = scan(tmp_path).values()
    assert not caplog.records
    assert len(rows) == 13320
    sizes = [Counter(row["folds"][fold] for row in rows) for fold in range(3)]
    assert sizes == [{"train": 9537, "test": 3783}, {"train": 9586, "test": 3734}, {"train": 9624, "test": 3696}]


def test_official_hmdb51_lists(shared, tmp_path, caplog):
    lists = shared / "data/annotations/hmdb51/splits"
    (tmp_path / "metafile").symlink_to(lists)
    for path in lists.glob("*_test_split1.txt"):
        label = path.name.removesuffix("_test_split1.txt")
        make(tmp_path, *(f"{label}/{line.rpartition(' ')[0]}" for line in lines(path)))
    rows = scan(tmp_path).values()
    assert not caplog.records
    assert len(rows) == 6766
    for fold in range(3):  # 70 training and 30 test clips per class in every split, says the data set's paper
        assert Counter((row["label"], row["folds"][fold]) for row in rows if row["folds"][fold] != "unused") == {
            (label, split): number
            for label in {row["label"] for row in rows}
            for split, number in [("train", 70), ("test", 30)]
        }


def test_official_something_v2_lists(shared, tmp_path):
    (tmp_path / "labels").symlink_to(shared / "data/annotations/ssv2")
    validation = json.loads((tmp_path / "labels/something-something-v2-validation.json").read_text())
    make(tmp_path, *(f"videos/{item['id']}.webm" for item in validation))
    rows = scan(tmp_path).values()
    assert Counter(row["split"] for row in rows) == {"val": 24777}
    assert len({row["label"] for row in rows}) == 174
