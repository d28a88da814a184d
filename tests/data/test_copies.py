"""Where copies go, and what is counted."""

import pytest

from rspnet.data import copies
from rspnet.data.copying import Entry, Outcome, Task
from rspnet.data.rows import new_row
from rspnet.disk import refusal
from rspnet.errors import ConfigError, DiskError
from rspnet.running.worker import Failure

RECIPE = {"codec": "h264", "short_side": 32, "gop": 4, "crf": 30.0, "x264_preset": "veryfast"}


def planned(rows, dst):
    folders = set()
    tasks = copies.plan(rows, str(dst), "auto", folders=folders, made={})
    return [(task.row["status"], task.target) for task in tasks], folders


def test_the_folder_is_made_when_the_first_row_is_known(tmp_path):
    rows = [new_row(f"{n}.mp4", str(tmp_path / "old")) for n in range(3)]
    assert list(copies.begin(iter(rows), str(tmp_path / "new"))) == rows
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: cannot be made .*give another folder"):
        copies.begin(rows, str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="give a folder beside it"):
        copies.begin(rows, str(tmp_path / "old" / "new"))
    assert not (tmp_path / "old").exists()


@pytest.mark.parametrize(("root", "dst"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "link/b")])
def test_one_folder_never_holds_the_other(tmp_path, root, dst):
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(ConfigError, match="give a folder beside it"):
        copies.check_apart(str(tmp_path / root), str(tmp_path / dst))
    copies.check_apart(str(tmp_path / root), f"{tmp_path / root}_small")


def test_each_video_has_its_own_copy(tmp_path):
    names = ["a/1.avi", "a/1.mp4", "a/./b/2.v2.MOV", "../x.avi", "3.avi"]
    rows = [new_row(name, str(tmp_path / "old")) for name in names]
    rows[4].update(status="broken")
    tasks, folders = planned([*rows, rows[0]], tmp_path / "new")
    assert tasks == [
        (None, "a/1.mp4"),
        ("failed", ""),
        (None, "a/b/2.v2.mp4"),
        ("bad_name", ""),
        ("broken", ""),
        (None, "a/1.mp4"),  # one video twice is one copy
    ]
    assert folders == {str(tmp_path / "new/a"), str(tmp_path / "new/a/b")}
    tasks = copies.plan(rows, str(tmp_path / "new"), "auto", folders=set(), made={})
    reasons = [task.row["reason"] for task in tasks]
    assert reasons[1] == f"{tmp_path}/old/a/1.avi becomes a/1.mp4 as well; rename one"
    assert reasons[3] == "its path leads out of its root"


def test_long_names():
    """A file system takes 255 bytes; a copy's name may be longer than the video's."""
    for name in ("x" * 252 + ".ts", "x" * 251 + ".ts", "ü" * 126 + ".ts", "x" * 250 + ".webm"):
        copy = copies.copy_name(f"a/{name}")
        assert copy.startswith("a/x") or copy.startswith("a/ü")
        assert copy.endswith(".mp4")
        assert len(copy.encode()) <= 257
    assert copies.copy_name("x" * 251 + ".ts") == "x" * 251 + ".mp4"
    assert copies.copy_name("x" * 251 + "a.ts") != copies.copy_name("x" * 251 + "b.ts")


def test_a_later_root_is_looked_at_too(tmp_path):
    rows = [new_row("1.avi", str(tmp_path / "old")), new_row("2.avi", str(tmp_path / "new" / "old"))]
    with pytest.raises(ConfigError, match="give a folder beside it"):
        planned(rows, tmp_path / "new")


def test_lists_come_along(videos, tmp_path):
    copies.copy_lists(str(videos), str(tmp_path), "auto")
    names = [path.name for path in (videos / "ucfTrainTestlist").iterdir()]
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == sorted(names)
    (tmp_path / "empty").mkdir()
    copies.copy_lists(str(tmp_path / "empty"), str(tmp_path / "none"), "auto")  # no order that is known
    assert not (tmp_path / "none").exists()


def test_workers_that_fail_leave_a_row_that_says_so(tmp_path):
    row = new_row("1.avi", "/r", "a", bytes=9)
    task = Task(row, "1.mp4")
    assert copies.copied(task, Outcome(row, True)) == Outcome(row, True)
    for kind, status in (("timeout", "timeout"), ("crash", "crashed"), ("error", "failed")):
        lost = copies.copied(task, Failure(kind, "why"))
        assert lost == Outcome(row | {"status": status, "reason": "why"})
    full = refusal(tmp_path, OSError(28, "No space left on device"))
    with pytest.raises(DiskError):
        copies.copied(task, full)


def test_what_is_counted_and_told():
    def copy(number, size):
        return new_row(f"{number}.mp4", "/new", status="ok", bytes=size)

    def lost(status, number=0):
        return new_row(f"{number}.avi", "/r", status=status, reason="why")

    unknown, good, bad = new_row("1.avi", "/r"), new_row("2.avi", "/r", status="ok"), lost("broken")
    ends = [(good, copy(1, 5_000_000), True), (good, copy(2, 1_000_000), False), (unknown, copy(3, 2_000_000), True)]
    ends += [(bad, bad, False), (unknown, lost("empty"), False), (good, lost("empty"), False)]
    ends += [(failed, failed, False) for failed in (lost("failed", n) for n in range(10))]
    tally = copies.Tally()
    kept = Entry("", {"bytes": 2_000_000}, {}, {}, {})
    ends = [(Task(old), Outcome(new, made, kept if new["status"] == "ok" else None)) for old, new, made in ends]
    assert list(tally(ends)) == [outcome.row for _, outcome in ends]
    summary = tally.summary()
    assert summary == {
        "num_videos": 16,
        "num_made": 2,
        "num_kept": 1,
        "num_larger": 1,
        "num_skipped": 1,
        "num_bad": 1,
        "num_lost": 11,
        "bytes": {"source": 6_000_000, "new": 8_000_000},
        "bad": ["0.avi: empty: why"] * 2 + [f"{n}.avi: failed: why" for n in range(8)],
    }
    known = {"dst": "/new", "recipe": RECIPE, "ignored": {".wav": 2, ".mp4 ": 1}}
    lines = list(copies.report(summary | known))
    assert lines[0] == "/new: 2 videos made, 1 existed already; 8.0 MB in all, from 6.0 MB"
    assert lines[1].startswith("that is 1.33 times as much, and 1 file grew: the sources are small already, and a key")
    assert "a key frame every 4 frames and crf 30 take more" in lines[1]
    assert lines[2] == "files that are not named like videos: 2 .wav, 1 '.mp4 '"
    assert lines[3] == "of 16 videos, 1 not ok from the start, 1 found to be bad, 11 good but not copied"
    assert lines[4:] == [*summary["bad"], "... and 2 more"]
    fine = summary | {"num_skipped": 0, "num_bad": 0, "num_lost": 0, "bad": [], "bytes": {"source": 1, "new": 1}}
    assert len(list(copies.report(fine | known | {"ignored": {}}))) == 1
