"""A copy is made where there is none that is whole, of this source and by this recipe; else it is left."""

import os
import shutil

import pytest

from rspnet.data import copying, layouts, verification
from rspnet.data.copying import Task, transcode_row
from rspnet.data.rows import new_row
from rspnet.video.inspection import inspect
from rspnet.video.writer import transcode

RECIPE = {"codec": "h264", "short_side": 32, "gop": 4, "crf": 30.0, "x264_preset": "veryfast"}


@pytest.fixture
def task(videos, tmp_path):
    """One video, and where its copy goes."""
    row = next(layouts.scan(videos))
    (tmp_path / "old").mkdir()
    shutil.copy(videos / row["video"], tmp_path / "old" / "v.mp4")
    return Task(new_row("v.mp4", str(tmp_path / "old"), "a", status="ok"), "x/y.mp4")


def work(task, tmp_path, **recipe):
    return transcode_row(task, str(tmp_path), RECIPE | recipe)


def test_a_copy(task, tmp_path):
    row, made, entry = work(task, tmp_path)
    assert made
    facts = inspect(tmp_path / "x" / "y.mp4", "decode")
    source = str(tmp_path / "old" / "v.mp4")
    assert row == task.row | facts | {"video": "x/y.mp4", "root": str(tmp_path), "source": source, "recipe": RECIPE}
    assert min(row["width"], row["height"]) == 32
    assert work(task, tmp_path) == (row, False, entry)  # the run was killed before the entry was kept
    assert work(task._replace(known=entry), tmp_path) == (row, False, entry)
    assert work(task._replace(known=entry), tmp_path, gop=5).made  # another recipe
    assert work(task, tmp_path).made


def test_what_is_as_it_was_made_is_not_decoded_again(task, tmp_path, monkeypatch):
    row, _, entry = work(task, tmp_path)
    monkeypatch.setattr(copying, "inspect_row", None)
    monkeypatch.setattr(copying, "read_comment", None)
    assert work(task._replace(known=entry), tmp_path) == (row, False, entry)


def damage(path, how):
    content = bytearray(path.read_bytes())
    middle = len(content) * 2 // 3
    if how == "a bit in a picture":  # which H.264 decodes without a word
        content[middle] ^= 1
    elif how == "zeros at the start":
        content[:64] = bytes(64)
    elif how == "a page of zeros":
        content[middle : middle + 512] = bytes(512)
    elif how == "all zeros":
        content = bytearray(len(content))
    elif how == "cut":
        del content[middle:]
    elif how == "empty":
        content.clear()
    elif how == "longer":
        content += b"more"
    path.write_bytes(content)


DAMAGE = ("a bit in a picture", "zeros at the start", "a page of zeros", "all zeros", "cut", "empty", "longer")


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_copy_is_made_again(task, tmp_path, how):
    row, _, entry = work(task, tmp_path)
    copy = tmp_path / "x" / "y.mp4"
    whole = copy.read_bytes()
    damage(copy, how)
    assert work(task._replace(known=entry), tmp_path) == (row, True, entry)
    assert copy.read_bytes() == whole


def test_another_source_of_the_same_size_is_noticed(task, tmp_path):
    _, _, entry = work(task, tmp_path)
    source = tmp_path / "old" / "v.mp4"
    size = source.stat().st_size
    transcode(source, source, crf=45, short_side=32)
    padding = size - source.stat().st_size
    with source.open("ab") as file:
        file.write(padding.to_bytes(4) + b"free" + bytes(padding - 8))
    again = work(task._replace(known=entry), tmp_path)
    assert again.made
    assert again.entry.source["sha256"] != entry.source["sha256"]


def test_a_source_that_was_only_touched_is_the_same(task, tmp_path):
    row, _, entry = work(task, tmp_path)
    os.utime(tmp_path / "old" / "v.mp4", (1, 1))
    again = work(task._replace(known=entry), tmp_path)
    assert (again.row, again.made) == (row, False)
    assert again.entry == entry._replace(source=entry.source | {"modified": 10**9})  # and next time at once


@pytest.mark.parametrize("what", ["video", "text", "folder", "link"])
def test_other_peoples_files_are_left_alone(task, tmp_path, what):
    path = tmp_path / "x" / "y.mp4"
    path.parent.mkdir()
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(tmp_path / "old" / "v.mp4")
    else:
        shutil.copy(tmp_path / "old" / "v.mp4", path) if what == "video" else path.write_text("mine")
    before = path.lstat()
    row, made, entry = work(task, tmp_path)
    assert (row["status"], made, entry) == ("failed", False, None)
    assert row["reason"] == f"{path}: exists already, and was not made by this stage; remove it"
    after = path.lstat()  # but for when it was looked at
    for fact in ("st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns"):
        assert getattr(after, fact) == getattr(before, fact), fact


def test_one_that_came_in_a_copys_place_is_left_alone(task, tmp_path):
    _, _, entry = work(task, tmp_path)
    shutil.copy(tmp_path / "old" / "v.mp4", tmp_path / "x" / "y.mp4")
    assert work(task._replace(known=entry), tmp_path).row["status"] == "failed"
    assert (tmp_path / "x" / "y.mp4").read_bytes() == (tmp_path / "old" / "v.mp4").read_bytes()


def test_bad_sources_say_what_they_are(task, tmp_path):
    (tmp_path / "old" / "bad.mp4").touch()
    bad = new_row("bad.mp4", str(tmp_path / "old"), status="ok")
    assert work(Task(bad, "new.mp4"), tmp_path).row["status"] == "empty"
    gone = new_row("gone.mp4", str(tmp_path / "old"), status="ok")
    assert work(Task(gone, "new.mp4"), tmp_path).row["status"] == "missing"


def test_a_source_that_was_removed_is_called_as_verify_calls_it(task, tmp_path, monkeypatch):
    """Before it is looked at, or in the middle of that."""
    path = tmp_path / "old" / "v.mp4"

    for module, name in ((copying, "sha256"), (verification, "inspect")):
        before, content = getattr(module, name), path.read_bytes()

        def late(*args, before=before, **kwargs):
            path.unlink()
            return before(*args, **kwargs)

        monkeypatch.setattr(module, name, late)
        row = verification.inspect_row(task.row, "probe", 1) if module is verification else work(task, tmp_path).row
        assert (row["status"], row["reason"], row["bytes"]) == ("missing", "no such file", None)
        monkeypatch.undo()
        path.write_bytes(content)
    path.unlink()
    assert work(task, tmp_path).row == verification.inspect_row(task.row, "decode", 1)
    assert work(task, tmp_path).row["status"] == "missing"
