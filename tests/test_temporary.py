"""A name is given in one move, or not at all, by whatever means a file system has."""

import errno
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rspnet import temporary
from rspnet.disk import whole
from rspnet.temporary import put_new, sweep


def without(monkeypatch, *names):
    """A file system that knows no such moves."""

    def refuse(*_):
        raise OSError(errno.EPERM, "no such move here")

    for name in names:
        module = os if name == "link" else temporary
        monkeypatch.setattr(module, name, refuse)


def make(path, *, folder):
    path.mkdir() if folder else path.touch()
    (path / "file" if folder else path).write_text(path.name)
    return path


MOVES = [(), ("_rename_new",), ("_rename_new", "link")]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("lacking", MOVES)
def test_what_has_the_name_stays_whatever_it_is(tmp_path, monkeypatch, lacking, folder):
    without(monkeypatch, *lacking)
    new = make(tmp_path / "new", folder=folder)
    (tmp_path / "file").write_text("old")
    (tmp_path / "empty").mkdir()
    make(tmp_path / "full", folder=True)
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "empty", "full", "link"):
        with pytest.raises(FileExistsError, match=f"^{tmp_path}/{name}: exists$"):
            put_new(new, tmp_path / name)
    assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "full/file").read_text() == "full"
    put_new(new, tmp_path / "free")
    assert (tmp_path / "free/file" if folder else tmp_path / "free").read_text() == "new"


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("lacking", MOVES[:2])
def test_of_many_at_once_one_succeeds(tmp_path, monkeypatch, lacking, folder):
    """Nobody's file is replaced, however near the others are: where the name was free a moment before, too."""
    without(monkeypatch, *lacking)
    monkeypatch.setattr(os.path, "lexists", lambda _: False)

    def give(number):
        with whole(tmp_path / "out", folder=folder, replace=False) as new:
            (new / "file" if folder else new).write_text(str(number))
        return number

    def tried(number):
        try:
            return give(number)
        except (FileExistsError, OSError):
            return None

    with ThreadPoolExecutor(8) as threads:
        done = [number for number in threads.map(tried, range(32)) if number is not None]
    assert len(done) == 1
    assert (tmp_path / "out/file" if folder else tmp_path / "out").read_text() == str(done[0])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_file_system_cannot_promise_is_said(tmp_path, monkeypatch, caplog):
    without(monkeypatch, "_rename_new", "link")
    with caplog.at_level(logging.WARNING), whole(tmp_path / "file", replace=False) as new:
        new.write_text("a")
    assert (tmp_path / "file").read_text() == "a"
    said = "file: its file system cannot rename without replacing; let no other process write there"
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}/{said}"]


def test_a_refusal_is_passed_on(tmp_path):
    with pytest.raises(FileNotFoundError):
        put_new(make(tmp_path / "new", folder=False), tmp_path / "nowhere/file")
    assert (tmp_path / "new").exists()


def test_what_another_machine_left_is_nobodys_after_a_day(tmp_path):
    """A container has a new name each time."""
    for name, age in ((".a.mp4.0badcafe-01234567.partial", 25), (".b.mp4.0badcafe-01234567.partial", 23)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age * 3600,) * 2)
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".b.mp4.0badcafe-01234567.partial"]
