"""What is kept of copies, and that one process at a time makes them."""

import json

import pytest

from rspnet.data.copying import Entry, Outcome, Task
from rspnet.errors import ConfigError
from rspnet.running.ledger import Ledger

ROW = {"video": "a.avi"}


def entry(name, size=1):
    sums = {"bytes": size, "sha256": "0"}
    return Entry(name, {"video": "a.avi", "modified": 2, **sums}, {"gop": 4}, sums, {"num_frames": 3})


def kept(tmp_path, *entries):
    with Ledger(str(tmp_path), "-") as ledger:
        ends = [(Task(ROW, each.video), Outcome(ROW, True, each)) for each in entries]
        assert list(ledger(iter(ends))) == ends


def test_the_last_word_counts(tmp_path):
    kept(tmp_path, entry("1.mp4"), entry("2.mp4"))
    kept(tmp_path, entry("1.mp4", 5))
    with Ledger(str(tmp_path), "-") as ledger:
        assert ledger.made == {"1.mp4": entry("1.mp4", 5), "2.mp4": entry("2.mp4")}
        before = (tmp_path / "copies.jsonl").read_bytes()
        known = Task(ROW, "2.mp4", entry("2.mp4"))
        list(ledger([(known, Outcome(ROW, False, entry("2.mp4"))), (Task(ROW), Outcome(ROW))]))
        assert (tmp_path / "copies.jsonl").read_bytes() == before  # nothing new


@pytest.mark.parametrize("end", [b'{"video": "cut', b"\0" * 50, b"3\n", b'{"video": "2.mp4"}\n', b"[" * 10**5 + b"\n"])
def test_damaged_lines_are_forgotten(tmp_path, end):
    kept(tmp_path, entry("1.mp4"))
    path = tmp_path / "copies.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + end)
    kept(tmp_path, entry("2.mp4"))
    assert path.read_bytes() == before + json.dumps(entry("2.mp4")._asdict()).encode() + b"\n"


def test_two_in_one_folder(tmp_path):
    with Ledger(str(tmp_path), "-"), pytest.raises(ConfigError, match="another process is writing to this folder"):
        Ledger(str(tmp_path), "-")
    with Ledger(str(tmp_path), "-"):
        pass


def test_the_index_is_another_file(tmp_path):
    with pytest.raises(ConfigError, match="give another name"):
        Ledger(str(tmp_path), f"{tmp_path}/./copies.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_damaged_line_costs_its_own_copy_only(tmp_path, capsys):
    kept(tmp_path, entry("1.mp4"), entry("2.mp4"), entry("3.mp4"))
    path = tmp_path / "copies.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + bytes(20) + b"\n" + lines[2])
    with Ledger(str(tmp_path), "-") as ledger:
        assert sorted(ledger.made) == ["1.mp4", "3.mp4"]
    assert "1 line damaged" in capsys.readouterr().err
