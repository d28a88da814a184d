"""The demo around its commands: where it lies, and how it ends when it is asked to."""

import json
import os
import shutil
import signal
import threading
import time

import pytest

import demo
from rspnet.errors import ConfigError

STAGE = """
import pathlib, signal, sys, time
def kept(*_):
    print("step 3 is kept", file=sys.stderr)
    sys.exit(130)
signal.signal(signal.{name}, kept)
pathlib.Path("{ready}").touch()
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _handlers(monkeypatch):
    monkeypatch.setattr(demo, "asked", [])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, demo.pass_on)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_command_at_work_ends_in_order(tmp_path, name, capfd):
    ready = tmp_path / "ready"

    def press():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), getattr(signal, name))

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(SystemExit) as left:
        demo.stage("-c", STAGE.format(name=name, ready=ready))
    assert left.value.code == 130
    assert capfd.readouterr().err.splitlines()[-1] == "step 3 is kept"


def test_no_other_command_begins(capfd):
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(SystemExit) as left:
        demo.stage("-c", "print('begun')")
    assert left.value.code == 130
    assert capfd.readouterr().err == "demo.py: interrupted; the same command goes on from there\n"


def test_what_a_command_says():
    assert demo.stage("-c", "print('a line'); print('{\"top1\": 1.5}')") == {"top1": 1.5}
    assert demo.stage("-c", "print('a line')") == {}
    for code, status in (("import sys; sys.exit(2)", 2), ("import os; os.kill(os.getpid(), 9)", 137)):
        with pytest.raises(SystemExit) as left:
            demo.stage("-c", code)
        assert left.value.code == status


def test_it_is_as_large_as_there_are_videos_to_learn_from(tmp_path):
    """Those of the training split, where there is one, that can be read."""
    index = tmp_path / "i.jsonl"

    def sizes(**numbers):
        rows = [{"status": "ok", "split": split} for split, number in numbers.items() for _ in range(number)]
        rows = [row | {"split": row["split"] if row["split"] != "none" else None} for row in rows]
        index.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"status": "broken", "split": "train"}]))
        return demo.sizes(index)[1::2]

    assert sizes(train=24, test=12) == (24, 800, 24)
    assert sizes(none=24) == (24, 800, 24)
    assert sizes(train=100, test=900) == (32, 267, 96)
    assert sizes(test=3, train=4) == (4, 800, 4)
    with pytest.raises(ConfigError, match="3 usable videos to learn from; the demo needs at least 4"):
        sizes(train=3, test=9)


def test_folders_of_one_name_and_other_videos_are_told_apart(tmp_path, motions, monkeypatch, capsys):
    monkeypatch.setattr(demo, "HERE", tmp_path)
    video = motions / "test/down/18.mp4"
    for name in ("one", "two"):
        (tmp_path / name / "videos").mkdir(parents=True)
        shutil.copy(video, tmp_path / name / "videos/a.mp4")
    one, two = (demo.folder_of(tmp_path / name / "videos") for name in ("one", "two"))
    assert one != two
    one.mkdir(parents=True)
    assert demo.folder_of(tmp_path / "one/videos") == one
    shutil.copy(video, tmp_path / "one/videos/b.mp4")
    more = demo.folder_of(tmp_path / "one/videos")
    assert more not in (one, two)
    (tmp_path / "one/videos/b.mp4").write_bytes(b"another")
    assert demo.folder_of(tmp_path / "one/videos") not in (one, two, more)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{tmp_path}/one/videos: other videos than in the last call; beginning anew in {more}"
    assert len(lines) == 2


def test_names_of_videos_do_not_control_the_terminal(tmp_path, monkeypatch, capsys):
    index, found = tmp_path / "i.jsonl", tmp_path / "neighbours" / "neighbours.jsonl"
    index.write_text(4 * (json.dumps({"status": "ok", "split": None}) + "\n"))
    found.parent.mkdir()
    near = [{"video": "b\u202e.mp4", "similarity": 0.5}]
    found.write_text(json.dumps({"video": "a\x1b[2J.mp4", "neighbours": near}) + "\n")
    monkeypatch.setattr(demo, "prepare", lambda *_: index)
    monkeypatch.setattr(demo, "stage", lambda *_, **__: {})
    demo.unlabelled(tmp_path, tmp_path)
    assert r"  a\x1b[2J.mp4: b\u202e.mp4 (0.500)" in capsys.readouterr().out.splitlines()
