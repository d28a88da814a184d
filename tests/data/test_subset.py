"""Which classes are taken, which links are made, and what the folder holds in the end."""

import json
import os

import pytest

from rspnet.data import subset
from rspnet.data.rows import new_row
from rspnet.errors import ConfigError


def video(label, name, split="train", size=1, **facts):
    return new_row(f"{split}/{label}/{name}.mp4", "/r", label, split=split, bytes=size, **facts)


# By size of the training files: b, c, a; by number: a, c, b.
ROWS = [
    video("a", 1, size=50),
    video("b", 1),
    video("b", 2),
    video("b", 3),
    video("c", 1, size=10),
    video("c", 2, size=10),
]
ROWS += [video("b", 4, "val", size=999), video("c", 9, size=999, status="missing"), new_row("x.mp4", "/r", bytes=1)]


@pytest.mark.parametrize(("by", "order"), [("bytes", "bca"), ("count", "acb")])
def test_the_smallest_are_taken(by, order):
    for number in (1, 2, 3):
        assert subset.choose_classes(ROWS, "/r", num_classes=number, by=by) == sorted(order[:number])


def test_of_equals_the_first_by_name():
    rows = [video(label, 1) for label in "dcba"]
    assert subset.choose_classes(rows, "/r", num_classes=2) == ["a", "b"]


def test_without_splits_all_videos_count():
    rows = [
        new_row(f"{label}/{n}.mp4", "/r", label, bytes=size)
        for label, n, size in (("a", 1, 2), ("a", 2, 2), ("b", 1, 3))
    ]
    assert subset.choose_classes(rows, "/r", num_classes=1) == ["b"]


def test_any_by_the_seed():
    rows = [video(label, 1) for label in "abcdefgh"]
    drawn = [subset.choose_classes(rows, "/r", num_classes=3, by="random", seed=seed) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert len({tuple(names) for names in drawn}) == 3
    assert subset.choose_classes(rows[::-1], "/r", num_classes=3, by="random", seed=0) == drawn[0]


def test_named_in_a_file(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("c\n\na\n")
    assert subset.choose_classes(ROWS, "/r", classes=str(names)) == ["a", "c"]
    assert subset.choose_classes(ROWS, "/r", classes=str(names), num_classes=2) == ["a", "c"]
    one = tmp_path / "one.txt"
    one.write_text("c\n")
    with pytest.raises(ConfigError, match=r"one.txt names 1 class, --num_classes is 3"):
        subset.choose_classes(ROWS, "/r", classes=str(one), num_classes=3)
    with pytest.raises(ConfigError, match=r"names.txt names 2 classes, --num_classes is 3"):
        subset.choose_classes(ROWS, "/r", classes=str(names), num_classes=3)
    names.write_text("zebra\n")
    with pytest.raises(ConfigError, match=r"no class 'zebra' in the data set; there are 3, e\.g\. 'a'"):
        subset.choose_classes(ROWS, "/r", classes=str(names))
    names.write_text("\n")
    with pytest.raises(ConfigError, match=r"names\.txt: names no class"):
        subset.choose_classes(ROWS, "/r", classes=str(names))


@pytest.mark.parametrize(
    ("rows", "wanted", "message"),
    [
        (ROWS[-1:], {"num_classes": 1}, "^/r: its videos have no labels"),
        (ROWS, {}, "^give --num_classes N, or --classes FILE"),
        (ROWS, {"num_classes": 0}, "^--num_classes 0: /r has 3 classes"),
        (ROWS, {"num_classes": 4}, "^--num_classes 4: /r has 3 classes"),
    ],
)
def test_what_cannot_be_is_refused(rows, wanted, message):
    with pytest.raises(ConfigError, match=message):
        subset.choose_classes(rows, "/r", **wanted)


def test_whole_folders_where_they_hold_nothing_else():
    rows = [video("a", 1), video("a", 2), new_row("one.mp4", "/r", "a"), new_row("mix/1.mp4", "/r", "a")]
    rows += [new_row("mix/2.mp4", "/r", "b"), video("a", 3, status="missing")]
    single = {path: f"/r/{path}" for path in ("one.mp4", "mix/1.mp4")}
    assert subset.plan_links(rows, "a", {}, whole_folders=True) == {"train/a": "/r/train/a", **single}
    each = {path: f"/r/{path}" for path in ("train/a/1.mp4", "train/a/2.mp4")}
    assert subset.plan_links(rows, "a", {}, whole_folders=False) == each | single


def test_a_folder_with_unwanted_videos_further_down_is_not_linked():
    rows = [video("a", 1), new_row("train/a/old/1.mp4", "/r", "a", status=subset.DUPLICATE)]
    assert subset.plan_links(rows, "a", {}, whole_folders=True) == {"train/a/1.mp4": "/r/train/a/1.mp4"}


def test_what_a_linked_folder_holds_needs_no_link():
    lists = {"train/a/list.txt": "/r/train/a/list.txt", "list.txt": "/r/list.txt"}
    found = subset.plan_links([video("a", 1)], "a", lists, whole_folders=True)
    assert found == {"train/a": "/r/train/a", "list.txt": "/r/list.txt"}
    assert len(lists) == 2


def test_two_videos_in_one_place_are_refused():
    rows = [new_row("a/1.mp4", root, "a") for root in ("/r", "/s")]
    with pytest.raises(ConfigError, match=r"^/r/a/1\.mp4 and /s/a/1\.mp4 would have the same place"):
        subset.plan_links(rows, "a", {}, whole_folders=False)


def test_the_folder_is_made_once(tmp_path):
    (tmp_path / "r/train/a").mkdir(parents=True)
    dst, mark = str(tmp_path / "k"), {"layout": "folder", "classes": ["a"]}
    links = {"train/a": str(tmp_path / "r/train/a"), "x.txt": str(tmp_path / "r/x.txt")}
    assert subset.make_tree(dst, links, mark, mark_name=".mark")
    assert [os.readlink(tmp_path / "k" / path) for path in links] == ["../../r/train/a", "../r/x.txt"]
    assert json.loads((tmp_path / "k/.mark").read_text()).items() > mark.items()
    assert not subset.make_tree(dst, links, mark, mark_name=".mark")
    for other_links, other_mark in [({}, mark), (links, mark | {"classes": ["b"]})]:
        with pytest.raises(ConfigError, match="k: holds another subset; choose another folder, or remove it first"):
            subset.make_tree(dst, other_links, other_mark, mark_name=".mark")
    with pytest.raises(ConfigError, match="r: exists and is not a subset"):
        subset.make_tree(str(tmp_path / "r"), links, mark, mark_name=".mark")


def test_two_at_once_make_it_once(tmp_path, monkeypatch):
    """Whoever is second finds it there, as in a later run; or another one, which stays."""
    (tmp_path / "r").mkdir()
    fill = subset._fill_tree

    def make(dst, mark, overtaken_by=None):
        def overtaken(*args):
            monkeypatch.setattr(subset, "_fill_tree", fill)
            if overtaken_by:
                assert make(dst, overtaken_by)
            fill(*args)

        monkeypatch.setattr(subset, "_fill_tree", overtaken)
        return subset.make_tree(str(dst), {"x.txt": str(tmp_path / "r/x.txt")}, mark, mark_name=".mark")

    assert not make(tmp_path / "k", {"classes": ["a"]}, overtaken_by={"classes": ["a"]})
    with pytest.raises(ConfigError, match="l: holds another subset; choose another folder, or remove it first"):
        make(tmp_path / "l", {"classes": ["a"]}, overtaken_by={"classes": ["b"]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "l", "r"]
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == [".mark", "x.txt"]


def test_a_name_that_is_not_utf8_costs_its_row_only():
    bad = os.fsdecode(b"train/a/caf\xe9.mp4")
    rows = [video("a", 1, size=9), new_row(bad, "/r", "a", split="train"), video("b", 1, size=10)]
    rows.append(new_row(os.fsdecode(b"train/\xe9/1.mp4"), "/r", os.fsdecode(b"\xe9"), split="train"))
    for by in ("bytes", "count"):
        assert subset.choose_classes(rows, "/r", num_classes=1, by=by) == ["a"]
    with pytest.raises(ConfigError, match="--num_classes 3: /r has 2 classes"):  # there is no video of the third
        subset.choose_classes(rows, "/r", num_classes=3)
    assert subset.plan_links(rows, "a", {}, whole_folders=False) == {"train/a/1.mp4": "/r/train/a/1.mp4"}
    assert subset.plan_links(rows, "a", {}, whole_folders=True) == {"train/a": "/r/train/a"}
    kept = [*rows[:2], video("a", 2, status="missing")]
    summary = subset.summary(kept, {}, ["a"])
    assert (summary["num_videos"], summary["splits"]) == (1, {"train": 1})
    assert summary["left_out"] == {"bad_name": 1, "missing": 1}
    line = "/k: 1 class, 1 video (1 train); left out: 1 bad_name, 1 missing"
    assert subset.report(summary | {"dst": "/k", "made": True}) == line


def test_another_class_with_such_a_name_keeps_the_folder_apart():
    rows = [new_row("mix/1.mp4", "/r", "a"), new_row(os.fsdecode(b"mix/\xe9.mp4"), "/r", "b")]
    assert subset.plan_links(rows, "a", {}, whole_folders=True) == {"mix/1.mp4": "/r/mix/1.mp4"}


def test_what_it_holds_is_told():
    rows = [video("a", 1), video("a", 2), video("b", 1, "val"), new_row("c.mp4", "/r", "b")]
    summary = subset.summary(rows, {"train/a": "/r/train/a"}, ["a", "b"])
    splits = {"train": 2, "val": 1, "no split": 1}
    counts = {"num_links": 1, "num_classes": 2, "num_videos": 4}
    assert summary == counts | {"splits": splits, "classes": ["a", "b"], "left_out": {}}
    line = "/k: 2 classes, 4 videos (2 train, 1 val, 1 no split)"
    assert subset.report(summary | {"dst": "/k", "made": True}) == line
    assert subset.report(summary | {"dst": "/k", "made": False}) == f"{line}; already there"
