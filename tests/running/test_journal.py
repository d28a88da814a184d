"""A scan that was stopped goes on where it was, and with no other settings."""

import json

import pytest

from rspnet.data.rows import new_row
from rspnet.errors import ConfigError
from rspnet.running.journal import LOOKED_AT_AGAIN, Journal
from rspnet.running.pool import Ready

SETTINGS = {"depth": "probe", "source": "/data"}


def row(name, **facts):
    return new_row(name, "/data", "a", **facts)


def stopped(out, rows):
    """Keep rows of a scan, and leave it."""
    journal = Journal(str(out), SETTINGS)
    assert list(journal(rows)) == rows
    with pytest.raises(KeyboardInterrupt, match=f"kept in {out}.partial; the same command goes on"), journal:
        raise KeyboardInterrupt


@pytest.fixture
def out(tmp_path):
    """Where a scan was stopped after three rows."""
    out = tmp_path / "i.parquet"
    rows = [
        row("1.mp4", status="ok", codec="h264"),
        row("2.mp4", status="ok"),
        row("3.mp4", status="empty", reason="no"),
    ]
    stopped(out, rows)
    return out


def journal_of(out):
    return out.with_name(f"{out.name}.partial")


def test_it_goes_when_the_index_is_there(tmp_path):
    with Journal(str(tmp_path / "i.jsonl"), SETTINGS) as journal:
        assert list(journal([row("1.mp4", status="ok")]))
        assert len((tmp_path / "i.jsonl.partial").read_text().splitlines()) == 2
    assert not list(tmp_path.iterdir())


def test_stdout_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Journal("-", SETTINGS) as journal:
        rows = [row("1.mp4", status="ok")]
        assert list(journal(rows)) == list(journal.todo(rows)) == rows
        assert not list(tmp_path.iterdir())


def test_what_was_looked_at_needs_no_worker(out, capsys):
    """What an index says of a video is what it says now; what was found in the file is what was found then."""
    before = journal_of(out).read_bytes()
    with Journal(str(out), SETTINGS) as journal:
        first, second = row("1.mp4") | {"label": "new"}, row("4.mp4")
        assert list(journal.todo([first, second])) == [Ready(first, first | {"status": "ok", "codec": "h264"}), second]
        assert list(journal([first, second])) == [first, second]
        assert journal_of(out).read_bytes() == before + json.dumps(second).encode() + b"\n"  # the first is in it
    assert capsys.readouterr().err == f"going on after the 3 videos in {journal_of(out)}\n"


def test_what_has_changed_meanwhile_is_looked_at_again(tmp_path):
    out, names = tmp_path / "i.jsonl", ("same.mp4", "grown.mp4", "gone.mp4")
    for name in names:
        (tmp_path / name).write_bytes(b"12345")
    now = [new_row(name, str(tmp_path), "a") for name in names]
    stopped(out, [each | {"status": "ok", "bytes": 5} for each in now])
    (tmp_path / "grown.mp4").write_bytes(b"123456")
    (tmp_path / "gone.mp4").unlink()
    same, grown = Ready(now[0], now[0] | {"status": "ok", "bytes": 5}), now[1] | {"status": "ok", "bytes": 6}
    journal = Journal(str(out), SETTINGS)
    assert list(journal.todo(now)) == [same, *now[1:]]
    assert list(journal([grown])) == [grown]
    journal.__exit__(None, KeyboardInterrupt(), None)
    with Journal(str(out), SETTINGS) as journal:  # what was found then counts
        assert list(journal.todo(now)) == [same, Ready(now[1], grown), now[2]]


def test_a_name_that_is_no_path_is_not_followed(tmp_path):
    """An index may say the size of a video all the same."""
    out, now = tmp_path / "i.jsonl", [new_row(name, str(tmp_path), bytes=5) for name in ("a\0.mp4", "../i.mp4")]
    stopped(out, now)
    with Journal(str(out), SETTINGS) as journal:
        assert list(journal.todo(now)) == [Ready(each, each) for each in now]


def test_files_that_may_answer_now_are_looked_at_again(out):
    stopped(out, [row(f"{status}.mp4", status=status) for status in LOOKED_AT_AGAIN])
    with Journal(str(out), SETTINGS) as journal:
        assert {video for _, video in journal.done} == {"1.mp4", "2.mp4", "3.mp4"}


GOOD = json.dumps(row("5.mp4", status="ok")).encode()


@pytest.mark.parametrize(
    "end",
    [
        b'{"video": "cut sho',
        GOOD,
        b"\n\n",
        b"\0" * 100,
        b"5\n",
        b"[" * 100_000 + b"\n",
        GOOD.replace(b'"status": "ok"', b'"status": 5') + b"\n",
        GOOD.replace(b'"plan": null', b'"plan": "none"') + b"\n",
        GOOD.replace(b'"status": "ok"', b'"status": "xx"') + b"\n",
        b'{"video": "5.mp4"}\n',
    ],
)
def test_a_line_that_was_cut_short_is_dropped(out, end, capsys):
    path = journal_of(out)
    before = path.read_bytes()
    path.write_bytes(before + end)
    with Journal(str(out), SETTINGS) as journal:
        assert len(journal.done) == 3
        assert path.read_bytes() == before
    said = f"{path}: line 5 is damaged; the videos from there on are checked again\n"
    assert (said in capsys.readouterr().err) is end.endswith(b"\n")  # the end of one that was killed is no damage


def test_a_head_that_was_cut_short_starts_it_anew(out):
    path = journal_of(out)
    head = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(head[:10])
    with Journal(str(out), SETTINGS) as journal:
        assert not journal.done
        assert path.read_bytes() == head


def test_another_scan_is_not_overwritten(out):
    before = journal_of(out).read_bytes()
    told = r"i\.parquet\.partial: was left by an interrupted scan with depth probe; give that command again"
    with pytest.raises(ConfigError, match=told):
        Journal(str(out), SETTINGS | {"depth": "decode"})
    assert journal_of(out).read_bytes() == before


@pytest.mark.parametrize("head", [bytes(43), b"mine", b'{"depth": "probe"}', b'"text"', b"\xff", b"[" * 99_999, b""])
@pytest.mark.parametrize("depth", ["probe", "decode"])
def test_a_first_line_that_tells_no_scan(out, head, depth):
    """Damaged, or somebody's: there is no command to give again."""
    path = journal_of(out)
    content = head + b"\n" + path.read_bytes().partition(b"\n")[2]
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"its first line does not hold the settings of a scan: .*, and cannot be"):
        Journal(str(out), SETTINGS | {"depth": depth})
    assert path.read_bytes() == content


def test_a_journal_that_somebody_removed_is_not_missed(tmp_path):
    """Nor is that of another scan, which has its name since, taken away."""
    out = tmp_path / "i.jsonl"
    with Journal(str(out), SETTINGS):
        journal_of(out).unlink()
    with Journal(str(out), SETTINGS) as first:
        journal_of(out).unlink()
        second = Journal(str(out), SETTINGS)
        assert list(first([row("1.mp4", status="ok")]))
    assert journal_of(out).exists()
    with second:
        pass
    assert not list(tmp_path.iterdir())


def test_two_scans_for_one_file(out):
    with Journal(str(out), SETTINGS), pytest.raises(ConfigError, match=r"another process is making .*; wait for it"):
        Journal(str(out), SETTINGS)
