"""What is found out about single videos, and how it is counted and told."""

import dataclasses
import os
import shutil

import numpy as np

from rspnet.data import verification
from rspnet.data.rows import new_row
from rspnet.running.worker import Failure
from rspnet.video.inspection import inspect
from rspnet.video.plan import Plan

FACTS = {"status": "ok", "reason": None, "duration": 1800.0, "plan": None}


def count(rows):
    tally = verification.Tally()
    assert list(tally(iter(rows))) == rows
    return tally.summary()


def told(summary, ignored=(), out="-"):
    return list(verification.report(summary | {"ignored": dict(ignored), "out": out}))


def test_a_row_says_what_its_file_is_like(root):
    row = new_row("0.mp4", str(root), "old", split="val", status="broken", reason="then", num_frames=9) | {
        "recipe": "x"
    }
    assert verification.inspect_row(row, "decode", 2) == row | inspect(root / "0.mp4", "decode")
    assert verification.inspect_row(row, "decode", 21)["status"] == "short"  # it has 20 frames


def test_files_that_are_not_there(tmp_path):
    row = new_row("gone.mp4", str(tmp_path), "a", status="ok", num_frames=9, codec="h264")
    gone = new_row("gone.mp4", str(tmp_path), "a", status="missing", reason="no such file")
    assert verification.inspect_row(row, "probe", 2) == gone
    assert verification.inspect_row(row | {"status": "broken", "reason": "then"}, "probe", 2) == gone
    listed = row | {"status": "missing", "reason": "in a list, but not here"}
    assert verification.inspect_row(listed, "probe", 2) == gone | {"reason": "in a list, but not here"}
    bad = new_row("a\udce9.mp4", str(tmp_path))
    assert verification.inspect_row(bad, "probe", 2) == bad


def test_files_that_nobody_may_read(tmp_path, root, monkeypatch):
    shutil.copy(root / "0.mp4", tmp_path / "closed.mp4")
    os.symlink("loop.mp4", tmp_path / "loop.mp4")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root, who may run the tests, is refused nothing
    rows = [new_row(name, str(tmp_path)) for name in ("closed.mp4", "loop.mp4")]
    closed, loop = (verification.inspect_row(row, "probe", 2) for row in rows)
    assert (closed["status"], closed["reason"]) == ("unreadable", "this user may not read the file")
    assert (loop["status"], loop["reason"]) == ("unreadable", "Too many levels of symbolic links")


def test_workers_that_fail_leave_a_row_that_says_so():
    row = new_row("1.mp4", "/r", "a", bytes=9, codec="h264")
    assert verification.looked_at(row, row | FACTS) == row | FACTS
    for kind, status in (("timeout", "timeout"), ("crash", "crashed"), ("error", "error")):
        lost = verification.looked_at(row, Failure(kind, "why"))
        assert lost == new_row("1.mp4", "/r", "a", status=status, reason="why")  # nothing old is kept


def test_what_is_counted():
    rows = [
        new_row(f"{n}.mp4", "/r", label, split=split) | FACTS for n, (label, split) in enumerate(["at", "at", "bv"])
    ]
    rows += [
        new_row("3.mp4", "/r") | FACTS | {"duration": None},
        new_row("4.mp4", "/r", "c", status="empty", reason="no"),
    ]
    summary = count(rows)
    assert summary == {
        "num_videos": 5,
        "num_bad": 1,
        "hours": 1.5,
        "status": {"ok": 4, "empty": 1},
        "splits": {"t": 2, "v": 1, "no split": 1},
        "num_classes": 2,
        "smallest_class": ("b", 1),
        "largest_class": ("a", 2),
        "num_unlabelled": 1,
        "unlabelled": ["3.mp4"],
        "slow": {},
        "bad": ["4.mp4: empty: no"],
    }
    assert told(summary, out="i.parquet") == [
        "5 videos (4 ok, 1 empty); 1.50 hours are ok",
        "of these 2 t, 1 v, 1 no split",
        "2 classes, from 1 video (b) to 2 (a); 1 video of no class, e.g. 3.mp4",
        "4.mp4: empty: no",
        "index written to i.parquet",
    ]
    assert count(rows[3:4])["unlabelled"] == []  # where nothing has a class, none is missed


def test_the_first_bad_ones_are_named():
    rows = [new_row(f"{n}.mp4", "/nowhere", status="missing") for n in range(13)]
    lines = told(count(rows), {"lists": 2, ".txt": 1, "": 3})
    assert lines[:3] == [
        "13 videos (13 missing); 0.00 hours are ok",
        "official lists of the data set, which define the splits: 2 files",
        "files that are not named like videos: 1 .txt, 3 without suffix",
    ]
    assert lines[3:-1] == [f"{n}.mp4: missing: None" for n in range(verification.NUM_NAMED)]
    assert lines[-1] == "... and 3 more that are not ok"


def test_videos_that_are_slow_to_read_are_counted(root):
    facts = verification.inspect_row(new_row("0.mp4", str(root)), "decode", 2)
    plan = dataclasses.replace(Plan.from_text(facts["plan"]), keys=np.empty(0, np.int64), header=-1, times=None)
    summary = count([facts, facts | {"video": "a.TS", "plan": plan.to_text()}])
    assert summary["slow"] == {".ts": 1}
    line = "can only be read from the beginning, which is slow: 1 .ts; stages/transcode.py mends that"
    assert line in told(summary)
