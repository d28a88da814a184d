"""A folder of several processes: one begins, the others are beside it, the last has it alone."""

import shutil
import threading
import time

import pytest

from rspnet.errors import ConfigError
from rspnet.running import hold
from rspnet.running.hold import Hold


def test_one_alone_or_several_side_by_side(tmp_path):
    first, second = Hold(tmp_path), Hold(tmp_path)
    first.alone()
    with pytest.raises(BlockingIOError):
        second.alone()
    first.beside(pytest.fail, lambda: True)
    second.beside(pytest.fail, lambda: True)
    third = Hold(tmp_path)
    with pytest.raises(BlockingIOError):
        third.alone()
    first.release()
    second.release()
    third.alone()
    third.release()


def test_the_first_begins_and_the_others_wait(tmp_path):
    """However many come at once, one begins, and nobody is in before that is done."""
    folder, begun, entered = tmp_path / "new", [], []

    def begin():
        begun.append(time.monotonic())
        time.sleep(0.2)
        (folder / "settings").touch()

    def enter():
        mine = Hold(folder)
        mine.beside(begin, (folder / "settings").exists)
        entered.append(time.monotonic())
        mine.release()

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), len(entered)) == (1, 5)
    assert min(entered) >= begun[0] + 0.2


def test_a_mistake_of_the_one_that_begins_leaves_it_to_others(tmp_path):
    def fails():
        raise ConfigError("no")

    mine = Hold(tmp_path)
    with pytest.raises(ConfigError, match="no"):
        mine.beside(fails, lambda: False)
    mine.release()
    other = Hold(tmp_path)
    other.alone()
    other.release()


def test_who_keeps_it_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(hold, "_WAIT", 0.1)
    other = Hold(tmp_path)
    other.alone()
    with pytest.raises(ConfigError, match=r": another process is at it; wait for it"):
        Hold(tmp_path).beside(pytest.fail, lambda: True)
    other.release()


def test_a_folder_that_was_taken_away_is_not_held(tmp_path):
    folder = tmp_path / "new"
    mine = Hold(folder)
    with pytest.raises(BlockingIOError):
        mine.alone()
    mine.beside((lambda: (folder / "settings").touch()), (folder / "settings").exists)
    shutil.rmtree(folder)
    with pytest.raises(BlockingIOError):
        mine.alone()
