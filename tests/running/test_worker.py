"""One worker: it hears and is heard until it ends, and no signal comes in between."""

import signal
import threading
from multiprocessing import Pipe

import pytest

from rspnet.running import worker


@pytest.mark.parametrize("unread", [False, True])
def test_a_worker_takes_its_parents_silence_for_the_end(unread):
    ours, theirs = Pipe()
    ours.send(1)
    ours.send(2)
    thread = threading.Thread(target=worker._converse, args=(theirs, _double))
    if not unread:
        thread.start()
        assert [ours.recv() for _ in range(3)] == ["started", 2, 4]
        ours.close()
    else:  # "started" lies unread when the pipe is closed: the worker's next word is answered by a reset
        theirs.send("unread")
        ours.close()
        thread.start()
    thread.join(20)  # an exception that left it would be an error of this test
    assert not thread.is_alive()


def _double(item):
    return item * 2


def test_ctrl_c_waits_for_a_worker_to_be_known():
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - what comes after the signal is the point
        with worker.uninterrupted():
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
        with worker.uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            known = True
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [True]


def test_handlers_that_are_not_pythons_are_left_alone(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: pytest.fail("replaced"))
    with worker.uninterrupted():
        pass
