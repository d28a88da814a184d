"""A folder or an index, by one function."""

import json
from collections import Counter
from pathlib import Path

import pytest

from rspnet.data.index import new_row, read_rows, write_rows
from rspnet.data.layouts import scan
from rspnet.data.source import read_source, read_sources
from rspnet.errors import ConfigError


def test_a_folder(videos):
    source = read_source(str(videos))
    assert source.rows == list(scan(videos))
    assert (source.total, source.layout) == (40, "ucf101")
    assert "ucfTrainTestlist/trainlist01.txt" in source.lists
    assert source.ignored == Counter({"lists": 6, ".txt": 1, ".json": 1})  # classInd.txt, synthetic.json
    with pytest.raises(ConfigError, match="train_video/ and val_video/"):
        read_source(str(videos), "kinetics")


def test_an_index_is_read_as_it_is_asked_for(videos, tmp_path):
    write_rows(scan(videos), tmp_path / "i.jsonl")
    source = read_source(str(tmp_path / "i.jsonl"), "kinetics")
    assert (source.total, source.layout, source.lists, source.ignored) == (40, "index", [], Counter())
    assert next(iter(source.rows)) == next(scan(videos))
    assert len(list(source.rows)) == len(list(source.rows)) == 40  # anew each time
    assert len(list(read_source(str(tmp_path / "i.jsonl")).rows)) == len(list(read_rows(tmp_path / "i.jsonl")))


def test_folders_files_and_lists_together(videos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = list(scan(videos))
    one, two = (videos / rows[n]["video"] for n in (0, -1))
    assert [row["video"] for row in read_sources([str(one)])] == [one.name]
    both = read_sources([str(two), str(one)])
    assert [Path(row["root"]) / row["video"] for row in both] == [two, one]
    assert len({row["root"] for row in both}) == 1
    Path("list.txt").write_text(f"{two}\n{one}\n")
    assert [Path(row["root"], row["video"]) for row in read_sources(["list.txt"])] == [two, one]
    assert [row["label"] for row in read_sources([str(videos), str(videos)])] == [row["label"] for row in rows]


def test_folders_with_videos_of_the_same_name(tmp_path, capsys):
    for name in ("a/x.mp4", "b/x.mp4", "b/y/z.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
    found = read_sources([str(tmp_path / "b"), str(tmp_path / "a")])
    assert [row["video"] for row in found] == ["b/x.mp4", "b/y/z.mp4", "a/x.mp4"]
    assert {row["root"] for row in found} == {str(tmp_path)}
    said = f"several folders have a video x.mp4; videos are named by their paths below {tmp_path}"
    assert said in capsys.readouterr().err
    assert [row["bytes"] for row in found] == [4, 4, 4]
    write_rows([new_row("x.mp4", f"memory://{name}") for name in "ab"], tmp_path / "i.jsonl")
    with pytest.raises(ConfigError, match=r"^memory://a: several folders have a video x\.mp4; name the folder above"):
        read_sources([str(tmp_path / "i.jsonl")])
    inside = read_sources([str(tmp_path / "b"), str(tmp_path / "b" / "y")])
    assert [row["video"] for row in inside] == ["x.mp4", "y/z.mp4"]
    assert "1 video named more than once" in capsys.readouterr().err


def test_paths_and_rows_through_a_pipe(videos, tmp_path, monkeypatch):
    monkeypatch.chdir(videos)
    rows = list(scan(videos))
    monkeypatch.setattr("sys.stdin", iter(["\n", f"{rows[0]['video']}\n", f"{videos}/{rows[1]['video']} walk\n"]))
    found = read_sources(["-"])
    assert [(row["root"], row["video"], row["label"]) for row in found] == [
        (str(videos), rows[0]["video"], None),
        (str(videos), rows[1]["video"], "walk"),
    ]
    monkeypatch.setattr("sys.stdin", iter([json.dumps(rows[0]) + "\n", "{\n"]))
    with pytest.raises(ConfigError, match="standard input:2: not JSON"):
        read_sources(["-"])
    monkeypatch.setattr("sys.stdin", iter(["a new\n", "line.mp4\n"]))  # a name that find wrote in two lines
    with pytest.raises(ConfigError, match="standard input:1: neither a JSON object nor the path of a video: 'a new'"):
        read_sources(["-"])


def test_a_closed_standard_input_is_said_in_a_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ConfigError, match="standard input is closed; name a file"):
        read_sources(["-"])


def test_sources_that_are_not_there(tmp_path):
    for name in ("clip.mp4", "folder", "a.mp4/b.mp4"):
        (tmp_path / "a.mp4").write_bytes(b"")
        with pytest.raises(ConfigError, match=f"{name}: no such file or folder"):
            read_sources([str(tmp_path / "a.mp4"), str(tmp_path / name)])
    with pytest.raises(ConfigError, match=r"list\.txt: no such"):
        read_sources([str(tmp_path / "list.txt")])
