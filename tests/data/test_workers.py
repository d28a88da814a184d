"""Who reads batches changes nothing; a batch lies in memory that lasts."""

import copy
import os
import subprocess
import sys
import time
from itertools import chain

import pytest
import torch

from rspnet.data.batches import OrderedBatches, Request, TrainBatches
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.workers import SLOTS, BatchMemory, Loader
from rspnet.errors import ConfigError, VideoError
from tests.support import REPO
from tests.support.clips import PICKER, SIZE, index_of, same


def joined(parts):
    """The batch that several processes make together."""
    clips = [torch.cat(views) for views in zip(*(part["clips"] for part in parts))]
    reasons = list(chain(*(part["reason"] for part in parts)))
    others = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if name not in ("clips", "reason")}
    return others | {"clips": clips, "reason": reasons}


def test_workers_and_processes_change_nothing(root):
    index = index_of(root, "01234568")  # with a broken one

    def batches(num_workers, world_size):
        shares = []
        for rank in range(world_size):
            sampler = TrainBatches(len(index), 4, 7, rank=rank, world_size=world_size)
            clips = ClipDataset(index, PICKER, SIZE, seed=7, replace=True)
            made = Loader(clips, sampler, num_workers, keep_workers=True)
            steps = []
            for epoch in range(2):
                sampler.seek(epoch)
                steps += map(copy.deepcopy, made)
            shares.append(steps)
        return [joined(parts) for parts in zip(*shares)]

    expected = batches(0, 1)
    assert len(expected) == 4
    for settings in ((2, 1), (0, 2), (1, 4)):
        assert all(same(one, two) for one, two in zip(expected, batches(*settings), strict=True))
    assert {7} < {row for batch in expected for row in batch["failed"].tolist()}


def test_more_workers_than_cores_are_no_warning_of_torchs(root):
    """Warnings are errors here; rspnet.running.machine says it in one line."""
    assert len(Loader(ClipDataset(index_of(root), PICKER, SIZE), OrderedBatches(8, 3), 999)) == 3


class Mistaken(torch.utils.data.Dataset):
    def batch_bytes(self, requests):
        return 0

    def __getitems__(self, requests):
        try:
            raise KeyError("fps")
        except KeyError:
            raise VideoError("Caught/1.mp4: cut: copy it again\n") from None


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_that_a_worker_finds_is_as_it_raised_it(workers):
    with pytest.raises(VideoError) as caught:
        next(iter(Loader(Mistaken(), OrderedBatches(8, 3), workers)))
    assert str(caught.value).rstrip() == "Caught/1.mp4: cut: copy it again"


def test_too_little_shared_memory_is_said_before_the_workers_begin(root, monkeypatch):
    clips = ClipDataset(index_of(root), PICKER, SIZE)
    batch = 3 * 2 * 6 * SIZE**2 * 3  # videos, views, frames, picture
    assert clips.batch_bytes([Request(0, row, row) for row in range(3)]) == batch
    needed = 3 * batch + 250_000  # a pass of three batches
    monkeypatch.setattr("rspnet.data.workers._free_memory", lambda: needed - 1)
    with pytest.raises(
        ConfigError, match=r"^data\.num_workers: no room for the 0\.8 MB of 3 batches .*/dev/shm has 0\.8 MB; .*--ipc"
    ):
        iter(Loader(clips, OrderedBatches(8, 3), 1))
    monkeypatch.setattr("rspnet.data.workers._free_memory", lambda: needed)
    assert sum(1 for _ in Loader(clips, OrderedBatches(8, 3), 1)) == 3


def test_shared_memory_that_others_take_meanwhile(root, monkeypatch):
    def refuse(size):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", refuse)
    clips = ClipDataset(index_of(root), PICKER, SIZE)
    with pytest.raises(
        ConfigError, match=r"^data\.num_workers: no room for another 0\.2 MB for a batch in shared memory"
    ):
        next(iter(Loader(clips, OrderedBatches(8, 3), 1)))


def test_a_workers_batches_use_shared_memory_in_turn(monkeypatch):
    memory = BatchMemory()
    one, other = memory.take((2, 3))[0], memory.take((2, 3))[0]
    assert not one.is_shared()
    assert one.data_ptr() != other.data_ptr()
    monkeypatch.setattr("rspnet.data.workers.get_worker_info", lambda: "a worker's")
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


def test_a_batch_lives_as_long_as_it_is_in_use(root):
    """The process uses a batch, and has not let go of the one before, while its worker is as far ahead as it can be."""
    sampler = TrainBatches(8, 1, 0)
    clips = ClipDataset(index_of(root), PICKER, SIZE, seed=7)
    expected = [clips.__getitems__(requests)["clips"] for requests in sampler]
    for batch, views in zip(Loader(clips, sampler, 1), expected, strict=True):
        time.sleep(0.1)
        assert same(batch["clips"], views)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_that_is_kept_longer_is_an_error(root, workers):
    """Before anything is overwritten: what has been handed out by then is right."""
    sampler = TrainBatches(8, 1, 0)
    clips = ClipDataset(index_of(root), PICKER, SIZE, seed=7)
    expected = [clips.__getitems__(requests)["clips"] for requests in sampler]
    made = Loader(clips, sampler, workers)
    kept = []
    with pytest.raises(RuntimeError, match=r"a batch is kept while its memory is about to be used again; .* copy"):
        kept.extend(batch["clips"][1][:, 2:] for batch in made)  # a view is enough
    assert len(kept) == 2 * workers
    time.sleep(0.1)
    assert all(torch.equal(view, views[1][:, 2:]) for view, views in zip(kept, expected))
    del kept
    assert [batch["row"].item() for batch in made] == [request.row for (request,) in sampler]
    assert len(list(Loader(clips, sampler, 0))) == 8  # where each has memory of its own


def test_workers_leave_signals_to_the_training_process(root):
    """A scheduler sends SIGTERM to all processes; the run still wants to make its checkpoint."""
    sampler = TrainBatches(8, 1, 0)
    made = Loader(ClipDataset(index_of(root), PICKER, SIZE), sampler, 1)
    batches = iter(made)
    next(batches)
    for kind in ("TERM", "INT"):
        subprocess.run(["bash", "-c", f"kill -{kind} {made.pids[0]}"], check=True)
    assert sum(1 for _ in batches) == 7


def test_workers_end_with_the_training_process(root, tmp_path):
    """Also where an error ends it that leaves them waiting for work."""
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.support.clips import *\nfrom rspnet.data.clip_dataset import *\n"
        "from rspnet.data.batches import *\nfrom rspnet.data.workers import *\n"
        "from pathlib import Path\n"
        f"index = index_of(Path({str(root)!r}), cache=Path({str(tmp_path)!r}))\n"
        "batches = iter(Loader(ClipDataset(index, PICKER, SIZE), TrainBatches(8, 1, 0), 2))\n"
        "next(batches)\nraise RuntimeError('the end')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "RuntimeError: the end"
