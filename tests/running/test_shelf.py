"""What a stage has done so far: nothing twice, nothing lost, in the videos' order."""

import errno
import os
import shutil

import pyarrow as pa
import pytest
import torch

from rspnet.data.parts import Span
from rspnet.errors import ConfigError, LostError, MachineError
from rspnet.evaluation.forward import Window
from rspnet.running.share import Share
from rspnet.running.shelf import Shelf
from rspnet.running.team import Team
from rspnet.temporary import sweep, temporary


def window(row, number, total=3):
    return Window(row, number, Span(number, number + 1, number, number + 1), torch.tensor([row, number]).float(), total)


def failure(row, number, status):
    return Window(row, number, None, torch.empty(0), number, status)


def taken(shelf, videos=()):
    return [
        (found["row"], found["number"], found["status"], found["value"])
        for table in shelf.in_order(videos)
        for found in table.to_pylist()
    ]


def keep(out, *windows):
    with Shelf(out, {"a": 1}, Team()) as shelf:
        for each in windows:
            shelf.add(each)
    return shelf


def test_windows_come_out_in_the_order_of_the_videos(tmp_path):
    out = str(tmp_path / "f.parquet")
    keep(out, window(2, 0), window(0, 0), window(2, 1))
    keep(out, window(0, 1), window(0, 2))
    with Shelf(out, {"a": 1}, Team()) as shelf:
        assert shelf.missing == {0: [], 2: [(2, 3)]}
        assert taken(shelf, [(1, "missing")]) == [
            *((0, number, "ok", [0, number]) for number in range(3)),
            (1, 0, "missing", None),
            *((2, number, "ok", [2, number]) for number in range(2)),
        ]


def test_what_a_killed_process_was_writing_goes(tmp_path):
    for name in ("f.parquet", "folder/features.npy", "folder.partial/settings.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        temporary(tmp_path / name).touch()
    for out in ("f.parquet", "folder"):
        keep(str(tmp_path / out)).remove()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_video_that_was_tried_again(tmp_path):
    out = str(tmp_path / "f.parquet")
    for status in ("broken", "short", "timeout"):  # before and after `ok` in the alphabet
        keep(out, window(0, 0), failure(0, 1, status), window(1, 0), window(1, 1), failure(1, 2, status))
        keep(out, window(0, 1), window(0, 2), failure(1, 2, "timeout"))
        with Shelf(out, {"a": 1}, Team()) as shelf:
            assert shelf.missing == {0: [], 1: [(2, 3)]}
            found = [(row, number, status) for row, number, status, _ in taken(shelf)]
            shelf.remove()
        assert found[:-1] == [(0, 0, "ok"), (0, 1, "ok"), (0, 2, "ok"), (1, 0, "ok"), (1, 1, "ok")]
        assert found[-1] in ((1, 2, status), (1, 2, "timeout"))


def test_nothing_counts_behind_a_window_that_cannot_be_read(tmp_path):
    """Processes that share a film find out at different places."""
    out = str(tmp_path / "f.parquet")
    numbers = (0, 1, 4, 5, 8)
    keep(out, *(window(0, number, 9) for number in numbers), failure(0, 6, "broken"), failure(0, 2, "timeout"))
    with Shelf(out, {"a": 1}, Team()) as shelf:
        assert shelf.missing == {0: [(2, 4), (6, 8)]}
        assert [(number, status) for _, number, status, _ in taken(shelf)] == [(0, "ok"), (1, "ok"), (2, "timeout")]
        shelf.add(window(0, 2, 9))
        shelf.add(window(0, 3, 9))
        shelf.flush()
        found = [(number, status) for _, number, status, _ in taken(shelf)]
        assert found == [*((number, "ok") for number in range(6)), (6, "broken")]


def test_a_hole_that_damage_left_is_filled(tmp_path):
    out = str(tmp_path / "f.parquet")
    keep(out, window(0, 0))
    first = next(iter((tmp_path / "f.parquet.partial").glob("*.arrow")))
    keep(out, window(0, 1), window(0, 2))
    first.write_bytes(first.read_bytes()[:-9])
    with Shelf(out, {"a": 1}, Team()) as shelf:
        assert shelf.missing == {0: [(0, 1)]}
        assert not first.exists()
        shelf.add(window(0, 0))
        shelf.flush()
        assert [number for _, number, _, _ in taken(shelf)] == [0, 1, 2]


def test_what_cannot_be_opened_now_is_not_damaged(tmp_path, monkeypatch):
    out = str(tmp_path / "f.parquet")
    kept = next(keep(out, window(0, 0)).folder.glob("*.arrow"))

    def refuse(path):
        raise OSError(errno.EMFILE, "Failed to open local file")

    with monkeypatch.context() as patch:
        patch.setattr(pa, "memory_map", refuse)
        with pytest.raises(MachineError, match=r"f\.parquet\.partial: cannot be read: this process may open no more"):
            Shelf(out, {"a": 1}, Team())
    assert kept.exists()
    with Shelf(out, {"a": 1}, Team()) as shelf:
        assert shelf.missing == {0: [(1, 3)]}


def test_nfs_keeps_names_of_open_files(tmp_path, monkeypatch):
    """And so their folder, which is in nobody's way, and is swept later."""

    def renamed(name, *, dir_fd):
        os.rename(name, f".nfs{name}", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    out = str(tmp_path / "f.parquet")
    with Shelf(out, {"a": 1}, Team()) as shelf:
        shelf.add(window(0, 0))
        shelf.flush()
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", renamed)
            shelf.remove()
    assert not shelf.folder.exists()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_last_of_several_shares_has_all_to_itself(tmp_path, capsys):
    out, shares = str(tmp_path / "f.parquet"), [Share(number, 3) for number in (1, 2, 3)]
    with Shelf(out, {"a": 1}, Team(), share=shares[0]) as first, Shelf(out, {"a": 1}, Team(), share=shares[1]) as other:
        with pytest.raises(ConfigError, match="another process is at it"):
            Shelf(out, {"a": 1}, Team())
        with pytest.raises(ConfigError, match=r"with another a \(1, now 2\)"):
            Shelf(out, {"a": 2}, Team(), share=shares[2])
        first.add(window(0, 0, 1))
        first.flush()
        lost = next(first.folder.glob("*.arrow"))
        other.add(failure(1, 0, "broken"))
        other.flush()
        assert not first.is_last()
        assert "share 1/3 is done; to come: shares 2, 3 of 3" in capsys.readouterr().err
        assert not other.is_last()
        lost.unlink()
    with Shelf(out, {"a": 1}, Team(), share=shares[2]) as third:
        third.add(window(2, 0, 2))
        third.add(window(2, 1, 2))
        third.flush()
        with Shelf(out, {"a": 1}, Team(), share=shares[1]):  # is done again
            assert not third.is_last()
            assert "share 3/3 is done; another process writes the output" in capsys.readouterr().err
        assert third.is_last()
        assert third.lacking([0, 1, 2]) == [0]
        third.add(window(0, 0, 1))
        third.flush()
        assert [found[:3] for found in taken(third)] == [(0, 0, "ok"), (1, 0, "broken"), (2, 0, "ok"), (2, 1, "ok")]


def test_a_folder_that_was_removed_is_missed(tmp_path):
    """Else the file would lack the windows that went with it."""
    out = str(tmp_path / "f.parquet")
    with Shelf(out, {"a": 1}, Team()) as shelf:
        shelf.add(window(0, 0))
        shelf.flush()
        shutil.rmtree(shelf.folder)
        with pytest.raises(LostError, match=r"f\.parquet\.partial: was removed"):
            taken(shelf)
        shelf.add(window(0, 1))
        with pytest.raises(LostError, match=r"f\.parquet\.partial: was removed"):
            shelf.flush()
        shelf._rows.clear()
    assert not shelf.folder.exists()


def test_what_lies_behind_a_name_has_changed(tmp_path):
    out, settings = str(tmp_path / "f.parquet"), {"weights": "a", "weights_sha256": "12", "videos": "34"}
    with Shelf(out, settings, Team()) as shelf:
        shelf.add(window(0, 0))
    for changes, said in (
        ({"videos": "5"}, "and the videos have changed since; put them back"),
        ({"weights_sha256": "5"}, "and the weights have changed since; put them back"),
        ({"weights": "b", "weights_sha256": "5"}, r"with another weights \(a, now b\); give that command again"),
    ):
        with pytest.raises(ConfigError, match=said):
            Shelf(out, settings | changes, Team())
    with Shelf(out, settings | {"weights": "../b"}, Team()) as shelf:  # the same by another name
        assert shelf.missing == {0: [(1, 3)]}
