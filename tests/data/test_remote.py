"""Data sets behind URLs: how they are listed, and what is said where a server does not answer."""

import logging
import shutil

import fsspec
import pytest

from rspnet.data import layouts, remote
from rspnet.data.index import load, read_rows, write_rows
from rspnet.data.run_index import check_places, keep_index, look_for_videos
from rspnet.data.source import read_source, read_sources
from rspnet.errors import ConfigError, VideoError
from tests.support.web import Server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(remote, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "PATIENCE", 1.0)


@pytest.fixture
def in_memory(videos):
    """The data set of all tests, in fsspec's memory."""
    fs = fsspec.filesystem("memory")
    fs.put(f"{videos}/", "/ucf/", recursive=True)
    yield "memory://ucf"
    fs.rm("/ucf", recursive=True)


def without_places(rows):
    return [{key: value for key, value in row.items() if key not in ("root", "bytes")} for row in rows]


def test_the_layouts_are_those_of_folders(videos, in_memory):
    there, here = list(layouts.scan(in_memory)), list(layouts.scan(videos))
    assert without_places(there) == without_places(here)
    assert {row["root"] for row in there} == {in_memory}
    assert [row["bytes"] for row in there] == [(videos / row["video"]).stat().st_size for row in here]
    assert read_source(in_memory).total == 40


def test_a_web_page_of_links_is_a_folder(videos, tmp_path):
    folder = tmp_path / "a b/Ünder"
    folder.mkdir(parents=True)
    shutil.copy(next(videos.rglob("*.mp4")), folder / "50% off #1?.mp4")
    with Server(tmp_path) as server:
        (row,) = read_sources([f"{server.url}/a%20b"])
        assert (row["root"], row["video"], row["status"]) == (f"{server.url}/a%20b", "Ünder/50% off #1?.mp4", None)


def test_indexes_and_lists_say_where_videos_lie(in_memory, tmp_path):
    path = tmp_path / "i.parquet"
    write_rows(layouts.scan(in_memory), path)
    assert {row["root"] for row in read_rows(path)} == {in_memory}
    assert {row["root"] for row in read_rows(path, "s3://other/place/")} == {"s3://other/place"}
    assert load(path, cache_dir=tmp_path)["root"][0] == in_memory
    names = [row["video"] for row in layouts.scan(in_memory)]
    (tmp_path / "train.txt").write_text(f"{names[0]} a\n{in_memory}/{names[1]} b\n../{names[2]} c\n")
    rows = list(read_rows(tmp_path / "train.txt", in_memory))
    assert [row["video"] for row in rows[:2]] == names[:2]
    assert [row["status"] for row in rows] == [None, None, "bad_name"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_index_may_lie_behind_a_url_itself(videos, tmp_path, suffix):
    """It is read as it is now; what is relative in it is so to its URL's folder."""
    index = tmp_path / f"some/i.{suffix}"
    index.parent.mkdir()
    rows = [row | {"root": "../videos"} for row in layouts.scan(videos)]
    write_rows(rows, index)
    with Server(tmp_path) as server:
        url = f"{server.url}/some/i.{suffix}"
        found = list(read_rows(url))
        assert [row["video"] for row in found] == [row["video"] for row in rows]
        assert {row["root"] for row in found} == {f"{server.url}/some/../videos"}
        assert {row["root"] for row in read_rows(url, tmp_path)} == {str(tmp_path)}
        write_rows(rows[:3], index)
        assert len(list(read_rows(url))) == 3
        index.write_bytes(b"{")
        with pytest.raises(ConfigError, match=f"^{url}[:].*(not JSON|damaged)"):
            list(read_rows(url))
        with pytest.raises(ConfigError, match=f"^{server.url}/none.{suffix}: no such file on its server"):
            list(read_rows(f"{server.url}/none.{suffix}"))
        with pytest.raises(ConfigError, match=r"list.txt: an index is a .jsonl or .parquet file"):
            list(read_rows(f"{server.url}/list.txt"))


def test_a_run_keeps_to_its_videos(in_memory, tmp_path):
    path = tmp_path / "index.parquet"
    look_for_videos(path, in_memory, None)
    keep_index(path, in_memory, None, layout="auto")
    look_for_videos(path, in_memory, None)
    assert len(list(read_rows(path))) == 40
    with pytest.raises(ConfigError, match="of 20 videos looked for none exists, such as memory://elsewhere/UCF"):
        look_for_videos(path, "memory://elsewhere", None)


def test_a_file_url_is_a_folder_of_this_machine(videos):
    assert remote.absolute(f"file://{videos}") == str(videos)
    assert list(layouts.scan(f"file://{videos}")) == list(layouts.scan(videos))
    assert read_source(f"file://{videos}").layout == "ucf101"
    check_places(f"file://{videos}", None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://nothing", "no such folder"),
        ("nonsense://bucket/x", "nonsense://bucket/x: Protocol not known: nonsense; name a folder, or a URL"),
        ("gs://bucket/x", r"gs://bucket/x: .*gcsfs.*; pip install it"),
    ],
)
def test_what_is_no_data_set(url, said):
    with pytest.raises(ConfigError, match=said) as caught:
        read_source(url)
    assert "\n" not in str(caught.value)


def test_a_server_that_fails_now_and_then_is_asked_again(videos):
    with Server(videos, lambda path, times: [503, "drop", None][min(times, 3) - 1]) as server:
        assert without_places(layouts.scan(server.url)) == without_places(layouts.scan(videos))


@pytest.mark.parametrize(("status", "said"), [(403, "may not be read.*credentials"), (404, "no such folder")])
def test_a_server_that_refuses_is_asked_once(tmp_path, status, said):
    with Server(tmp_path, lambda *_: status) as server, pytest.raises(ConfigError, match=said):
        layouts.scan(server.url)
    assert sum(server.asked.values()) <= 2


def test_a_server_that_is_gone():
    with pytest.raises(ConfigError, match=r"http://127.0.0.1:9: cannot be fetched .*tried \d times.*same command"):
        layouts.scan("http://127.0.0.1:9")
    with pytest.raises(VideoError, match="hm"):
        remote.persistent(lambda: (_ for _ in ()).throw(OSError("hm")), "x://y", patience=0)


@pytest.mark.parametrize(("kind", "inside"), [("zip", ""), ("zip", "UCF-101/FastRise")])
def test_an_archive_is_a_folder(videos, tmp_path, kind, inside):
    archive = shutil.make_archive(str(tmp_path / "videos"), kind, videos)
    root = f"{kind}://{inside}::file://{archive}"
    rows = read_source(root).rows
    assert len(rows) == (4 if inside else 40)
    path = remote.path_of(root, rows[0]["video"])
    assert fsspec.open(path).open().read() == (videos / inside / rows[0]["video"]).read_bytes()


def test_warnings_name_the_url(in_memory, caplog):
    fsspec.filesystem("memory").rm("/ucf/UCF-101/FastRise", recursive=True)
    with caplog.at_level(logging.WARNING):
        list(layouts.scan(in_memory))
    assert in_memory in caplog.text
    assert "rspnet-remote" not in caplog.text
