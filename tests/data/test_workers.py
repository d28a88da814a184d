"""Where batches lie."""

import multiprocessing
import os
import socket
import tempfile
import threading
from multiprocessing.resource_sharer import DupFd

import torch

from rspnet.data import workers
from rspnet.data.workers import SLOTS, BatchMemory


def offer(pipe):
    workers._become_worker()
    offered = DupFd(2)
    pipe.send(offered)
    pipe.recv()


def test_who_leaves_while_memory_is_handed_over_makes_no_noise(capfd):
    """As where Ctrl-C comes just then."""
    pipe, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=offer, args=(theirs,), daemon=True)
    process.start()
    offered = pipe.recv()
    with socket.socket(socket.AF_UNIX) as leaving:
        leaving.connect(offered._id[0])
    os.close(offered.detach())  # one after the other: the first is over by then
    pipe.send(None)
    process.join(20)
    assert process.exitcode == 0
    assert "Traceback" not in capfd.readouterr().err


class Ones:
    def __getitems__(self, requests):
        return {"clips": [torch.ones(2)]}


def test_a_worker_has_no_folder_of_its_own(monkeypatch, tmp_path):
    """It is killed in the end, and could not remove it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", str(tmp_path / "ours"))
    worker = workers.Worker(Ones())
    worker.ask([])
    assert worker.answer()["clips"][0].sum() == 2
    worker.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


class Told:
    def __getitems__(self, requests):
        return {"clips": [], "told": requests[0]}


def test_nobody_waits_for_the_other_where_questions_and_answers_are_long():
    worker, long = workers.Worker(Told()), "x" * 2**22
    asking = threading.Thread(target=lambda: [worker.ask([long]) for _ in range(2)], daemon=True)
    asking.start()
    asking.join(60)
    try:
        assert not asking.is_alive()
        assert [worker.answer()["told"] for _ in range(2)] == [long, long]
    finally:
        worker.kill()


def test_a_workers_batches_use_shared_memory_in_turn(monkeypatch):
    memory = BatchMemory()
    one, other = memory.take((2, 3))[0], memory.take((2, 3))[0]
    assert not one.is_shared()
    assert one.data_ptr() != other.data_ptr()
    monkeypatch.setattr("rspnet.data.workers._is_worker", True)
    shapes = [(2, 3), (4, 1, 5)]
    batches = [memory.take(*shapes) for _ in range(SLOTS)]
    for value, batch in enumerate(batches):
        for part, shape in zip(batch, shapes, strict=True):
            assert part.is_shared()
            assert part.shape == shape
            part.fill_(value)
    for value, batch in enumerate(batches):
        assert all((part == value).all() for part in batch)
        again = memory.take((1, 3), (2, 1, 5))  # a last, smaller batch
        assert again[0].data_ptr() == batch[0].data_ptr()
    (larger,) = memory.take((1000, 3))
    assert larger.shape == (1000, 3)
