"""One video under several names is noticed, whatever its container, and said where it decides a result."""

import shutil

import pytest

from rspnet.data import index
from rspnet.data.duplicates import duplicates, superfluous, tell_leaks
from rspnet.data.rows import new_row


def row(name, split="train", label="a", **facts):
    return new_row(name, "/data", label, split=split, status="ok", **facts)


def names(groups):
    return [[row["video"] for row in group] for group in groups]


def test_the_same_packets_or_the_same_bytes(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two"), ("d", b"four")):
        (tmp_path / name).write_bytes(content)
    unread = [new_row(name, str(tmp_path)) for name in "abcd"]
    rows = [row("1", content="x"), row("2", content="y"), row("3", content="x"), *unread, new_row("gone", "/none")]
    assert names(duplicates(rows)) == [["1", "3"], ["a", "b"]]


def test_the_training_set_gives_way():
    rows = [row("1", content="x"), row("2", "test", content="x"), row("3", "val", content="x"), row("4", content="y")]
    rows += [row("5", None, content="y")]
    assert [row["video"] for row in superfluous(rows)] == ["3", "1", "5"]


@pytest.fixture
def sets(tmp_path):
    """A training and a test set of an index."""

    def make(train, test):
        dataset = index.to_dataset([*train, *test], tmp_path)
        return index.select(dataset, "train")[0], index.select(dataset, "test")[0]

    return make


def test_what_both_sets_hold_is_said(sets, capsys):
    train = [row(f"{n}.mp4", content=str(n)) for n in range(9)]
    test = [row(f"{n}.mov", "test", content=str(n)) for n in range(4, 13)]
    tell_leaks(*sets(train, test))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning: 5 of 9 test videos are training videos too")
    assert lines[1:] == [
        "4.mov is 4.mp4, 5.mov is 5.mp4, 6.mov is 6.mp4 ...",
        "stages/subset.py --without_duplicates makes a data set without them",
    ]


def test_classes_that_nobody_has_learnt_are_said(sets, capsys):
    train = [row("1.mp4", content="1"), row("2.mp4", content="2")]
    test = [row(f"{n}.mov", "test", label, content=f"t{n}") for n, label in enumerate("abbc")]
    tell_leaks(*sets(train, test))
    said = "warning: no training video shows 2 classes of the test set, with 3 videos: b, c"
    assert capsys.readouterr().err.splitlines() == [said]
    tell_leaks(*sets(train, test[:1]))
    tell_leaks(*sets([*train, train[0] | {"video": "3.mp4"}], test[:1]))  # twice in one set harms no test
    assert not capsys.readouterr().err


def test_classes_that_are_spelt_in_two_ways_are_said(sets, capsys):
    train = [row(f"{n}", label=name, content=f"{n}") for n, name in enumerate(("Wave", "wave ", "run"))]
    tell_leaks(*sets(train, [row("t", "test", "run", content="t")]))
    assert capsys.readouterr().err == "warning: 'Wave' and 'wave ' are different classes, by case or blanks alone\n"


def test_files_that_nobody_has_looked_at(videos, sets, tmp_path, capsys):
    source = sorted(videos.rglob("*.mp4"))[:3]
    for name, file in zip(("1.mp4", "2.mp4", "t.mp4", "u.mp4"), (*source, source[1])):
        shutil.copy(file, tmp_path / name)
    rows = [
        new_row(name, str(tmp_path), "a", split="test" if name > "a" else "train")
        for name in sorted(path.name for path in tmp_path.glob("*.mp4"))
    ]
    tell_leaks(*sets(rows[:2], rows[2:]))
    assert "1 of 2 test videos are training videos too" in capsys.readouterr().err
