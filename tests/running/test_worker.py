"""One worker: it hears and is heard until it ends."""

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
