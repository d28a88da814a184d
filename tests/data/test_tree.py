"""Which files below a folder are taken for videos."""

import os

import pytest

from rspnet.data import layouts
from rspnet.data.tree import VIDEO_SUFFIXES, Tree, split_of
from rspnet.errors import ConfigError


def make(root, *paths, content=b""):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def test_every_ending_in_any_case(tmp_path):
    names = [f"{number}{suffix}" for number, suffix in enumerate(VIDEO_SUFFIXES)]
    make(tmp_path, *names, *(name.upper() for name in names))
    assert len(set(Tree(tmp_path).videos())) == 2 * len(names) == 44


def test_programs_in_typescript_are_no_videos(tmp_path):
    make(tmp_path, "index.ts", "module.MTS", content=b"export const a = 1;\n" * 40)
    make(tmp_path, "stream.ts", content=b"\x47\x40\x11\x10\x00" + b"\xff" * 183)
    make(tmp_path, "empty.ts")
    tree = Tree(tmp_path)
    assert sorted(tree.videos()) == ["empty.ts", "stream.ts"]
    assert tree.ignored == {".ts": 1, ".mts": 1}


def test_litter_is_neither_taken_nor_counted(tmp_path):
    make(tmp_path, "a/1.mp4", "a/._1.mp4", "a/.DS_Store", "a/Thumbs.db", "a/desktop.ini", "__MACOSX/a/1.mp4")
    make(tmp_path, "$RECYCLE.BIN/2.mp4", "System Volume Information/3.mp4", "a/@eaDir/1.mp4/4.mp4", ".Trash-1000/5.mp4")
    make(tmp_path, "b/notes.txt")
    tree = Tree(tmp_path)
    assert list(tree.videos()) == ["a/1.mp4"]
    assert tree.ignored == {".txt": 1}


def test_a_link_to_itself(tmp_path):
    make(tmp_path, "1.mp4")
    os.symlink("loop", tmp_path / "loop")
    os.symlink("loop.mp4", tmp_path / "loop.mp4")
    assert sorted(Tree(tmp_path).videos()) == ["1.mp4", "loop.mp4"]  # verify says what is wrong with it


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("train_video", "train"),
        ("VAL", "val"),
        ("validation", "val"),
        ("val_256", "val"),
        ("videos-test", "test"),
        ("train.txt", None),
        ("training session", None),
        ("train_test", None),
        ("trains", None),
        ("256", None),
    ],
)
def test_what_folders_of_splits_are_called(name, split):
    assert split_of(name) == split


def test_roots_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="no such folder; give the root of a data set"):
        Tree(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not a folder"):
        Tree(tmp_path / "file")


def test_a_pipe_that_is_named_like_a_program_or_a_video(tmp_path):
    """Nobody writes to it, and nobody waits for that."""
    os.mkfifo(tmp_path / "a.ts")
    assert list(Tree(tmp_path).videos()) == ["a.ts"]


def test_pipes_and_loops_hold_nothing_up(tmp_path):
    """To open a named pipe waits for ever; a link to itself leads nowhere."""
    for name in ("a.ts", "b.mp4"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "loop.mts").symlink_to("loop.mts")
    (tmp_path / "loop").symlink_to("loop")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    for name in ("classInd.txt", "trainlist01.txt", "testlist01.txt"):
        os.mkfifo(lists / name)
    assert sorted(Tree(tmp_path).videos()) == ["a.ts", "b.mp4", "loop.mts"]
    assert layouts.list_files(tmp_path, "ucf101") == []
    assert layouts.detect(tmp_path) == "folder"
