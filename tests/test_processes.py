"""A process that works for another starts undisturbed, ends with it, and leaves nothing behind."""

import multiprocessing
import os
import signal
import tempfile
from multiprocessing import util

import pytest

from rspnet import processes


def test_ctrl_c_waits_for_a_worker_to_be_known():
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - what comes after the signal is the point
        with processes.uninterrupted():
            signal.raise_signal(signal.SIGINT)
            known = True
        known = False
    assert known
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_waits_for_a_worker_to_be_known():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(known))
    try:
        known = False
        with processes.uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            known = True
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [True]


def test_handlers_that_are_not_pythons_are_left_alone(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: pytest.fail("replaced"))
    with processes.uninterrupted():
        pass


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """Where folders for sockets are made; this process has none yet, and is not to remove one in the end."""
    kept = dict(util._finalizer_registry)
    util._finalizer_registry.clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", None)
    yield tmp_path
    util._finalizer_registry.clear()
    util._finalizer_registry.update(kept)


def serve(pipe):
    os.chdir(util.get_temp_dir())
    pipe.send(os.getcwd())
    signal.pause()


def test_a_killed_process_leaves_no_folder_for_sockets(folders):
    processes.share_folder()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,))
    process.start()
    (folder,) = folders.iterdir()
    assert ours.recv() == str(folder)
    process.kill()
    process.join(10)
    processes.remove_folder()
    assert not list(folders.iterdir())


def test_a_folder_that_somebody_cleared_away_is_made_again(folders):
    """As systems do with what has been there for days; Python's own end would complain of it too."""
    for _ in range(2):
        processes.share_folder()
        processes.remove_folder()
    processes._make_folder()
    util._run_finalizers()
    assert not list(folders.iterdir())


def have_one_that_follows(pipe):
    processes.share_folder()
    multiprocessing.get_context("fork").Process(target=follow, args=(pipe,)).start()
    signal.pause()


def follow(pipe):
    pipe.send(os.getpid())
    processes.follow_parent()


def test_who_follows_a_killed_one_takes_its_folder_along(folders, monkeypatch):
    monkeypatch.setattr(processes, "LOOK", 0.1)
    ours, theirs = multiprocessing.Pipe()
    parent = multiprocessing.get_context("fork").Process(target=have_one_that_follows, args=(theirs,))
    parent.start()
    assert ours.recv() > 0
    assert len(list(folders.iterdir())) == 1
    parent.kill()
    parent.join(10)
    theirs.close()
    with pytest.raises(EOFError):  # none is left that could speak
        ours.recv()
    assert not list(folders.iterdir())
