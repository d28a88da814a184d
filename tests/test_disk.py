"""What arrives is whole, or nothing is there."""

import errno
import fcntl
import json
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from rspnet import disk
from rspnet.disk import identity, whole
from rspnet.errors import ConfigError, DiskError
from rspnet.temporary import sweep


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_a_folder_get_their_names_when_whole(tmp_path):
    with whole(tmp_path / "new/file") as temporary:
        temporary.write_text("half")
        assert temporary.parent == tmp_path / "new"
        assert temporary.name.startswith(".file.")
        assert not (tmp_path / "new/file").exists()
        temporary.write_text("whole")
    assert (tmp_path / "new/file").read_text() == "whole"
    (tmp_path / "new/folder").mkdir()
    with whole(tmp_path / "new/folder", folder=True) as temporary:
        (temporary / "inside").mkdir()
        (temporary / "inside/file").write_text("a")
        (temporary / "inside/link").symlink_to("nowhere")
    assert (tmp_path / "new/folder/inside/file").read_text() == "a"
    assert names(tmp_path / "new") == ["file", "folder"]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_what_was_not_finished(tmp_path, error, folder):
    def interrupted():
        with whole(tmp_path / "new", folder=folder) as temporary:
            (temporary / "file" if folder else temporary).write_text("a")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_what_has_got_the_name_meanwhile_stays(tmp_path):
    def overtaken():
        with whole(tmp_path / "file", replace=False) as temporary:
            temporary.write_text("mine")
            (tmp_path / "file").write_text("another's")

    with pytest.raises(FileExistsError, match="file: exists"):
        overtaken()
    assert (tmp_path / "file").read_text() == "another's"
    assert names(tmp_path) == ["file"]


def test_a_folder_may_be_replaced_whole(tmp_path, monkeypatch):
    """By several at once too: one of them is there in the end, with all that it wrote, and nothing beside it."""
    for content in "ab":
        with whole(tmp_path / "out", folder=True, over=True) as new:
            (new / content).write_text(content)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]

    def write(content):
        with whole(tmp_path / "out", folder=True, over=True) as new:
            (new / content).write_text(content)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, "cdefghijklmnop"))
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    before = [path.name for path in (tmp_path / "out").iterdir()]
    refused = iter([OSError(errno.ENOTEMPTY, "full"), OSError(errno.EACCES, "no")])
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(next(refused)))
    with pytest.raises(ConfigError, match="out: cannot be written"):
        write("q")
    assert [path.name for path in (tmp_path / "out").iterdir()] == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_contents_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = disk.fsync, os.replace
    monkeypatch.setattr(disk, "fsync", lambda path: (done.append(path.name), fsync(path)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("replace"), replace(old, new)))
    with whole(tmp_path / "new", folder=True) as temporary:
        (temporary / "file").write_text("a")
    assert done == ["file", temporary.name, "replace", tmp_path.name]


def test_folders_that_cannot_be_flushed(tmp_path, monkeypatch):
    """As in a folder that a virtual machine shares with its host; a file that cannot is another matter."""

    def refused(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) or refuses_files:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    refuses_files = False
    monkeypatch.setattr(os, "fsync", refused)
    for folder in (False, True):
        with whole(tmp_path / str(folder), folder=folder):
            pass
    assert names(tmp_path) == ["False", "True"]
    refuses_files = True
    with pytest.raises(ConfigError, match=r"new: cannot be written \(Invalid argument\)"), whole(tmp_path / "new"):
        pass


def test_two_who_write_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with whole(path) as one:
        one.write_text("one")
        with whole(path) as other:
            other.write_text("other")
            sweep(tmp_path)  # takes nothing from those who live
        assert path.read_text() == "other"
        assert names(tmp_path) == sorted([one.name, "file"])
    assert path.read_text() == "one"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("folder", [False, True])
def test_killed_before_the_name_is_given(tmp_path, folder):
    """The old file stays; what the killed process left harms nobody, and is swept away."""
    (tmp_path / "file").write_text("old")
    (tmp_path / ".hidden.partial").write_text("somebody's")
    if (child := os.fork()) == 0:
        with whole(tmp_path / ("folder" if folder else "file"), folder=folder) as temporary:
            (temporary / "inside" if folder else temporary).write_text("new")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert (tmp_path / "file").read_text() == "old"
    assert len(names(tmp_path)) == 3
    sweep(tmp_path)
    assert names(tmp_path) == [".hidden.partial", "file"]


def test_file_systems_without_locks(tmp_path, monkeypatch):
    """There a name of the kernel's stands in for the lock."""

    def refuse(*args):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with whole(tmp_path / "file") as temporary:
        temporary.write_text("new")
        sweep(tmp_path)
    assert (tmp_path / "file").read_text() == "new"


def test_long_names(tmp_path):
    """A file system takes 255 bytes, which may be fewer letters."""
    for name in ("x" * 255, "ü" * 127):
        disk.write_text(tmp_path / name, "a")
    assert sorted(len(name) for name in names(tmp_path)) == [127, 255]


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
        f"{path}: cannot be written: its disk, or `ulimit -f`, does not allow a file so large (File too large); "
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


def test_what_is_no_folder_is_not_written_into(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("gone")
    for name in ("file/new", "link/new", "link/a/new"):
        with pytest.raises(ConfigError, match=rf"{name}: cannot be written \(Not a directory\); choose another place"):
            disk.write_text(tmp_path / name, "a")


def test_a_folder_that_takes_no_new_names():
    """/proc is there, and says of a new name that there is no such file."""
    refused = r"^/proc/new: cannot be written \(No such file or directory\); choose another place$"
    for folder in (False, True):
        with pytest.raises(ConfigError, match=refused), disk.whole("/proc/new", folder=folder):
            pass
    with pytest.raises(ConfigError, match=refused), disk.created("/proc/new"):
        pass


def test_a_folder_that_cannot_be_made_is_told_with_the_remedy(tmp_path):
    disk.make_folder(tmp_path / "a/b", "choose another")
    disk.make_folder(str(tmp_path / "a/b"), "choose another")
    assert (tmp_path / "a/b").is_dir()
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone")
    for name, said in {
        "file": "something else has that name",
        "nowhere": "something else has that name",
        "file/a": "Not a directory",
    }.items():
        with pytest.raises(ConfigError) as caught:
            disk.make_folder(tmp_path / name, "choose another")
        assert str(caught.value) == f"{tmp_path / name}: cannot be made ({said}); choose another"


def test_a_folder_on_a_full_disk(tmp_path, monkeypatch):
    def full(path, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "makedirs", full)
    with pytest.raises(DiskError, match=r"/a: cannot be written: its disk is full .*; make room"):
        disk.make_folder(tmp_path / "a", "choose another")


def test_a_library_that_hides_the_reason(tmp_path):
    """torch says "unexpected pos 704 vs 598" of a full disk."""
    with pytest.raises(DiskError, match=r"^/dev/full: .*No space left on device"), disk.created("/dev/full") as file:
        torch.save(torch.zeros(1000), file)
    with disk.created(tmp_path / "file") as file:
        torch.save(torch.arange(1000), file)
    assert torch.load(tmp_path / "file").sum() == 499500
