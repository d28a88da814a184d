"""What is a row of an index, and what a row may name."""

import json
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rspnet.data.indexfile import read_rows, write_rows
from rspnet.data.rows import fault, named, new_row
from rspnet.data.source import read_source
from rspnet.errors import ConfigError


@pytest.mark.parametrize("name", ["a.mp4", "a/b c.mp4", "a/..b.mp4", "...mp4", "ünï/x\n.mp4", "a/b\\c.mp4"])
def test_paths_below_the_root_are_names(name):
    assert (new_row(name, "/r")["status"], new_row(name, "/r")["video"]) == (None, name)


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        ("../x.mp4", "../x.mp4", "leads out of its root"),
        ("a/../../x.mp4", "a/../../x.mp4", "leads out of its root"),
        ("a/..", "a/..", "leads out of its root"),
        ("/etc/x.mp4", "/etc/x.mp4", "leads out of its root"),
        ("", "", "empty"),
        ("./.", "./.", "empty"),
        ("a\0.mp4", "a\0.mp4", "NUL"),
        ("caf\udce9.mp4", "caf\\xe9.mp4", "UTF-8"),
        ("\ud800.mp4", "\\ud800.mp4", "UTF-8"),
    ],
)
def test_what_a_row_may_not_name(name, shown, reason):
    row = new_row(name, "/r", status="ok")
    assert (row["status"], row["video"]) == ("bad_name", shown)
    assert reason in row["reason"]


def test_one_path_has_one_name():
    assert named(new_row("a//./b.mp4", "/r"))["video"] == "a/b.mp4"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_frames": 2**70}, "'num_frames' is a number of more than 64 bits"),
        ({"num_frames": -1}, "num_frames is -1; it cannot be negative"),
        ({"num_frames": True}, "num_frames is True; expected int"),
        ({"fps": 0.0}, "fps is 0.0, which no video has; write null where it is not known"),
        ({"fps": -0.0, "status": "ok"}, "fps is -0.0, which no video has"),
        ({"fps": -25, "status": "ok"}, "fps is -25; it cannot be negative"),
        ({"fps": float("nan"), "status": "ok"}, "'fps' is nan, which is not a finite number"),
        ({"width": 0, "status": "ok"}, "width is 0, which no video has"),
        ({"num_frames": 0, "status": "ok"}, "num_frames is 0, which no video has"),
        ({"fps": float("inf")}, "'fps' is inf, which is not a finite number"),
        ({"folds": ["train", 3]}, "expected a list of splits"),
        ({"root": "/r\0"}, "'root' is not valid text"),
        ({"reason": "\ud800"}, "'reason' is not valid text"),
        ({"mine": {"deep": [["\ud800"]]}}, "'mine' is not valid text"),
        ({"mine": json.loads("[" * 30 + "]" * 30)}, "'mine' is nested too deeply"),
        ({"video": None}, "video is None; expected str"),
        ({"label": ""}, "label is empty; write null"),
        ({"mine": datetime(2024, 1, 1)}, "'mine' is a datetime, which an index cannot hold; write it as text"),
    ],
)
def test_what_no_row_holds(change, told):
    assert fault(new_row("a.mp4", "/r")) is None
    assert told in fault(new_row("a.mp4", "/r") | change)


def test_rows_that_other_programs_wrote(tmp_path):
    row = new_row("a.mp4", str(tmp_path), "a", split="Train", num_frames=64.0, bytes=7.0, fps=25.0) | {"n": 1.0}
    (tmp_path / "i.jsonl").write_text(json.dumps(row))
    (read,) = read_rows(tmp_path / "i.jsonl")
    assert read == row | {"split": "train"}
    assert [type(read[key]) for key in ("num_frames", "bytes", "fps", "n")] == [int, int, float, float]
    table = pa.table({key: [value] for key, value in (row | {"when": datetime(2024, 1, 1)}).items()})
    pq.write_table(table, tmp_path / "i.parquet")
    with pytest.raises(ConfigError, match=r"i\.parquet:1: 'when' is a datetime, which an index cannot hold"):
        list(read_rows(tmp_path / "i.parquet"))


LINE = json.dumps(new_row("a.mp4", "/tmp"))


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace('"num_frames": null', f'"num_frames": {"9" * 5000}'),
        LINE.replace('"num_frames": null', f'"num_frames": {"[" * 100_000}{"]" * 100_000}'),
        LINE.replace('"fps": null', '"fps": Infinity'),
        LINE.replace('"root": "/tmp"', '"root": "/tmp\\u0000"'),
        LINE[:-4],
        "5",
    ],
    ids=["digits", "depth", "inf", "nul", "cut", "number"],
)
def test_a_line_that_is_no_row_is_refused_before_any_work(tmp_path, line):
    """Its number is said at once, though it comes last."""
    (tmp_path / "i.jsonl").write_text(f"{LINE}\n{LINE.replace('a.mp4', 'b.mp4')}\n{line}\n")
    with pytest.raises(ConfigError, match=r"i\.jsonl:3: ") as error:
        read_source(str(tmp_path / "i.jsonl"))
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


def test_a_name_that_is_none_costs_its_row_only(tmp_path):
    (tmp_path / "i.jsonl").write_text("".join(f"{LINE.replace('a.mp4', name)}\n" for name in ("a.mp4", "../x.mp4")))
    source = read_source(str(tmp_path / "i.jsonl"))
    assert source.total == 2
    rows = list(source.rows)
    assert [row["status"] for row in rows] == [None, "bad_name"]
    write_rows(rows, tmp_path / "o.parquet")
    assert list(read_rows(tmp_path / "o.parquet")) == rows


def test_damaged_parquet_is_named(tmp_path):
    """Whatever byte is hit: the rows as they were, or one line."""
    path = tmp_path / "i.parquet"
    rows = [new_row(f"{n}.mp4", "/tmp", "a", status="ok", num_frames=n + 1, fps=25) | {"mine": [n]} for n in range(50)]
    write_rows(rows, path)
    whole = path.read_bytes()
    outcomes = set()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        outcomes.add(_what_is_read(path, rows))
    assert outcomes == {"the same", "refused"}


def _what_is_read(path, rows):
    try:
        return "the same" if list(read_rows(path)) == rows else "others"
    except ConfigError as error:
        one_line = str(error).startswith(str(path)) and "\n" not in str(error)
        return "refused" if one_line else str(error)
