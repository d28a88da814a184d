"""What arrives is whole, or nothing is there."""

import errno
import json
import os
import sys

import pytest
import torch

from rspnet import disk
from rspnet.disk import arriving, identity
from rspnet.errors import ConfigError, DiskError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_a_folder_arrive_whole(tmp_path):
    with arriving(tmp_path / "new/file") as partial:
        partial.write_text("half")
        assert not (tmp_path / "new/file").exists()
        partial.write_text("whole")
    assert (tmp_path / "new/file").read_text() == "whole"
    with arriving(tmp_path / "new/folder") as partial:
        (partial / "inside").mkdir(parents=True)
        (partial / "inside/file").write_text("a")
    assert (tmp_path / "new/folder/inside/file").read_text() == "a"
    assert names(tmp_path / "new") == ["file", "folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_what_did_not(tmp_path, error):
    def interrupted():
        with arriving(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / "file").write_text("a")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_what_has_got_the_name_meanwhile_stays(tmp_path):
    def overtaken():
        with arriving(tmp_path / "file") as partial:
            partial.write_text("mine")
            (tmp_path / "file").write_text("another's")

    with pytest.raises(FileExistsError, match="file: exists"):
        overtaken()
    assert (tmp_path / "file").read_text() == "another's"
    assert names(tmp_path) == ["file"]


def test_the_rest_of_a_killed_attempt_is_cleared_away(tmp_path):
    (tmp_path / ".file.partial/old").mkdir(parents=True)
    with arriving(tmp_path / "file") as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["file"]


def test_identity_tells_files_apart(tmp_path):
    for name, text in (("a", "text"), ("b", "texT"), ("c", "text")):
        (tmp_path / name).write_text(text)
    a, b, c = (identity(tmp_path / name) for name in "abc")
    assert a == c != b
    assert (a["bytes"], len(a["sha256"])) == (4, 64)


def test_texts_are_whole_or_not_there(tmp_path):
    path = tmp_path / "a.json"
    disk.write_json(path, {"ä": 1})
    disk.write_json(path, {"ä": 2})
    with pytest.raises(TypeError):
        disk.write_json(path, {"b": object()})
    assert json.loads(path.read_text()) == {"ä": 2}
    assert names(tmp_path) == ["a.json"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, no_file_larger_than):
    path = tmp_path / "a.json"
    disk.write_text(path, "old")
    with no_file_larger_than(100), pytest.raises(DiskError) as caught:
        disk.write_text(path, "new" * 100)
    assert str(caught.value) == (
        f"{path}: cannot be written: its disk, or `ulimit -f`, takes no file so large (File too large); "
        "write to another folder"
    )
    assert caught.value.exit_status == 1
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.ENOSPC, DiskError, "cannot be written: its disk is full (No space left on device); make room on it"),
        (errno.EDQUOT, DiskError, "cannot be written: your quota on its disk is used up (Disk quota exceeded); make"),
        (errno.EROFS, DiskError, "cannot be written: its disk is read-only (Read-only file system); write to another"),
        (errno.EACCES, ConfigError, "cannot be written (Permission denied); choose another place"),
    ],
)
def test_each_refusal_has_its_words(number, kind, message):
    with pytest.raises(kind) as caught, disk.writing_to("folder/file"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"folder/file: {message}")


def test_what_is_missing_elsewhere_is_no_refusal(tmp_path):
    with pytest.raises(FileNotFoundError), disk.writing_to(tmp_path / "file"):
        (tmp_path / "source").read_text()
    with (
        pytest.raises(ConfigError, match=r"gone/file: cannot be written \(No such file"),
        disk.created(tmp_path / "gone/file"),
    ):
        pass


def test_a_library_that_hides_the_reason(tmp_path):
    """torch says "unexpected pos 704 vs 598" of a full disk."""
    with pytest.raises(DiskError, match=r"^/dev/full: .*No space left on device"), disk.created("/dev/full") as file:
        torch.save(torch.zeros(1000), file)
    with disk.created(tmp_path / "file") as file:
        torch.save(torch.arange(1000), file)
    assert torch.load(tmp_path / "file").sum() == 499500


def test_a_result_that_nobody_can_keep(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(DiskError, match=r"^standard output: .*its disk is full"):
            disk.print_line("result")
