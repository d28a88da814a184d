"""Videos of a server on this machine's disk: whole, bounded, and whatever the server does."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from rspnet.clipspec import ClipSpec
from rspnet.data import fetched, layouts, remote
from rspnet.data.batches import OrderedBatches
from rspnet.data.clip_dataset import even_clips
from rspnet.data.index import to_dataset
from rspnet.data.loader import Loader
from rspnet.errors import ConfigError, DiskError, VideoError
from rspnet.lock import exclusive
from tests.support import REPO
from tests.support.web import Server


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, which is looked through before each file; servers are given up soon."""
    monkeypatch.setattr(fetched, "_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(fetched, "_OFTEN", 0)
    monkeypatch.setattr(remote, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "PATIENCE", 2.0)
    monkeypatch.setenv(fetched._LIMIT, "1000000000")
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """Ten files of a thousand bytes."""
    folder = tmp_path / "there"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.mp4").write_bytes(bytes([number]) * 1000)
    return folder


def row(server, number, size=1000):
    return {"root": server.url, "video": f"{number}.mp4", "bytes": size}


def read(a_row):
    with fetched.fetched(a_row) as path, open(path, "rb") as file:
        return file.read()


def kept(cache):
    return [path for path in cache.glob("*/*") if path.name[0] != "."]


def test_a_file_is_fetched_once_and_whole(folder, cache):
    with Server(folder) as server:
        for _ in range(3):
            assert read(row(server, 3)) == b"\3" * 1000
        assert server.asked["3.mp4"] == 1
        with fetched.fetched({"root": str(folder), "video": "3.mp4", "bytes": None}) as path:
            assert path == str(folder / "3.mp4")  # what is here needs no copy
    assert len(kept(cache)) == 1
    assert read(row(server, 3)) == b"\3" * 1000  # without the server


@pytest.mark.parametrize("parts", [True, False])
def test_a_server_that_cuts_files_off_is_asked_for_the_rest(folder, monkeypatch, parts):
    monkeypatch.setattr(fetched, "_CHUNK", 300)
    content = os.urandom(1000)
    (folder / "large.mp4").write_bytes(content)
    with Server(folder, lambda path, times: ("cut", "drop", 500, None)[times % 4], parts=parts) as server:
        assert read({"root": server.url, "video": "large.mp4", "bytes": 1000}) == content


def test_a_server_that_is_gone_for_a_moment(folder, tmp_path):
    """Whoever waits for a file has it as soon as the server is back."""
    with Server(folder, lambda *_: "drop") as server:
        threading.Timer(0.3, lambda: setattr(server, "fails", lambda *_: None)).start()
        assert read(row(server, 1)) == b"\1" * 1000


def test_what_cannot_be_fetched_is_named_by_its_url(folder, cache):
    with Server(folder) as server:
        with pytest.raises(fetched.MissingError, match=rf"^{server.url}/gone.mp4: no such file on its server"):
            read(row(server, "gone"))
        with pytest.raises(VideoError, match=r"2.mp4: has 1000 bytes, not 999 as its index says"):
            read(row(server, 2, 999))
        server.fails = lambda *_: 403
        with pytest.raises(ConfigError, match=r"4.mp4: may not be read .*credentials"):
            read(row(server, 4))
        server.fails = lambda *_: 500
        with pytest.raises(VideoError, match=r"5.mp4: cannot be fetched .*tried \d+ times"):
            read(row(server, 5))
        server.fails = lambda *_: 410
        with pytest.raises(VideoError, match=r"6.mp4: is refused by its server .*; drop it"):
            read(row(server, 6))
        server.fails = lambda *_: None
        with pytest.raises(VideoError, match=rf"^{server.url}/7.mp4: broken"), fetched.fetched(row(server, 7)) as path:
            raise VideoError(f"{path}: broken")
    assert len(kept(cache)) == 1
    assert not list(cache.glob("*/.*"))


def test_a_file_that_changed_is_fetched_anew(folder):
    with Server(folder) as server:
        read(row(server, 1))
        (folder / "1.mp4").write_bytes(b"new")
        assert read(row(server, 1, 3)) == b"new"


def test_the_cache_is_bounded_and_what_is_read_stays(folder, cache, monkeypatch):
    fetched.bound(3500e-9)
    with Server(folder) as server, fetched.fetched(row(server, 0)) as first:
        for number in range(1, 10):
            read(row(server, number))
            assert sum(path.stat().st_size for path in kept(cache)) <= 4500  # and the one that came last
        assert os.path.exists(first)
        fetched.make_room()
        assert {path.read_bytes()[0] for path in kept(cache)} == {0, 8, 9}
        assert read(row(server, 9)) == b"\x09" * 1000
        assert server.asked["9.mp4"] == 1


def test_a_cache_smaller_than_a_file_still_serves(folder):
    fetched.bound(1e-9)
    with Server(folder) as server:
        assert [read(row(server, number))[0] for number in range(10)] == list(range(10))


def test_one_that_is_being_taken_away_comes_again(folder, cache):
    with Server(folder) as server:
        read(row(server, 1))
        (path,) = kept(cache)

        def take_away():
            with open(path, "r+b") as file, exclusive(file.fileno()):
                started.set()
                time.sleep(0.2)
                path.unlink()

        started = threading.Event()
        thread = threading.Thread(target=take_away)
        thread.start()
        started.wait()
        assert read(row(server, 1)) == b"\1" * 1000
        thread.join()


def test_another_users_cache(folder, cache, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with Server(folder) as server:
        read(row(server, 1))
        monkeypatch.setattr(fetched, "open", refuse, raising=False)
        with pytest.raises(ConfigError, match=r"cache/.*: is another user's, and cannot be read; .*HF_DATASETS_CACHE"):
            read(row(server, 1))


def test_a_full_disk_is_said_and_room_is_made_first(folder, cache, monkeypatch):
    with Server(folder) as server:
        for number in range(4):
            read(row(server, number))
        fetched.bound(4000e-9)
        real, refuses = fetched.whole, [True]

        def full(path):
            if refuses and refuses.pop():
                raise DiskError(f"{path}: cannot be written: its disk is full ({os.strerror(errno.ENOSPC)})")
            return real(path)

        monkeypatch.setattr(fetched, "whole", full)
        assert read(row(server, 5)) == b"\5" * 1000
        assert len(kept(cache)) == 3  # half of what it may hold, and this one
        refuses += [True, True]
        with pytest.raises(DiskError, match=r"disk is full .*lower data.cache_gb, or give another HF_DATASETS_CACHE"):
            read(row(server, 6))


def test_killed_in_the_middle_of_a_file(folder, cache):
    """What it leaves is no file, and goes."""
    program = (
        "import sys, pathlib; from rspnet.data import fetched; fetched._folder = lambda: pathlib.Path(sys.argv[2]);"
        "fetched._CHUNK = 300; fetched.fetched({'root': sys.argv[1], 'video': '1.mp4', 'bytes': 1000}).__enter__()"
    )
    with Server(folder, lambda path, times: None if times < 3 else time.sleep(30)) as server:
        process = subprocess.Popen([sys.executable, "-c", program, server.url, str(cache)], cwd=REPO)
        while not (rests := list(cache.glob("*/.*.partial"))) or server.asked["1.mp4"] < 3:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert rests[0].exists()
        assert not kept(cache)
        server.fails = lambda *_: None
        assert read(row(server, 1)) == b"\1" * 1000
        fetched.make_room()
    assert not list(cache.glob("*/.*.partial"))
    assert len(kept(cache)) == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_clips_are_those_of_files_here(root, cache, num_workers):
    """Nine videos, of which one is cut off, through a server that fails now and then; and again without it."""
    clip = ClipSpec(4, 16, views=1, mean=(0.5,) * 3, std=(0.5,) * 3)

    def batches(place):
        rows = [each for each in layouts.scan(place) if each["video"] != "single.mp4"]
        clips = even_clips(to_dataset(rows, cache.parent / "index"), clip, time_limit=30.0)
        loader = Loader(clips, OrderedBatches(len(rows), 2), num_workers)
        found = [(batch["clips"][0].clone(), batch["failed"].tolist(), batch["reason"]) for batch in loader]
        return found, loader.close()

    with Server(root, lambda path, times: (None, "cut", 503)[times % 3] if times < 9 else None) as server:
        there, _ = batches(server.url)
        url = server.url
        here, _ = batches(root)
        for (clips, failed, reasons), (same, bad, why) in zip(there, here, strict=True):
            assert clips.equal(same)
            assert failed == bad
            assert [reason.replace(url, str(root)) for reason in reasons] == why
        asked = server.asked["3.mp4"]
        batches(url)
        assert server.asked["3.mp4"] == asked


def test_the_next_batch_is_fetched_while_one_is_read(folder, cache):
    with Server(folder) as server:
        fetched.expect([row(server, number) for number in range(10)])
        deadline = time.monotonic() + 10
        while len(kept(cache)) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(kept(cache)) == 10
        assert [read(row(server, number))[0] for number in range(10)] == list(range(10))
        assert set(server.asked.values()) == {1}
    shutil.rmtree(cache)
