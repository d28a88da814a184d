"""Who reads batches changes nothing, nor who is lost over them; a batch is there until the next but one."""

import copy
import faulthandler
import os
import signal
import subprocess
import sys
import time
from itertools import chain

import pytest
import torch

from rspnet.data.batches import OrderedBatches, Request, TrainBatches
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.loader import Loader
from rspnet.errors import ConfigError, VideoError, WorkerError
from rspnet.signals import ENDING
from tests.support import REPO
from tests.support.clips import PICKER, SIZE, index_of, same


def joined(parts):
    """The batch that several processes make together."""
    clips = [torch.cat(views) for views in zip(*(part["clips"] for part in parts))]
    texts = {name: list(chain(*(part[name] for part in parts))) for name in ("status", "reason", "seconds")}
    others = {name for name in parts[0] if name not in ("clips", *texts)}
    return texts | {name: torch.cat([part[name] for part in parts]) for name in others} | {"clips": clips}


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


def test_no_more_workers_than_batches(root):
    made = Loader(ClipDataset(index_of(root), PICKER, SIZE), OrderedBatches(8, 3), 999)
    assert len(made) == 3
    batches = iter(made)
    assert len(made.pids) == 3
    assert [batch["row"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert made.pids == []


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
    for room in ("workers", "loader"):
        monkeypatch.setattr(f"rspnet.data.{room}.free_memory", lambda: needed - 1)
    with pytest.raises(
        ConfigError, match=r"^data\.num_workers: no room for the 0\.8 MB of 3 batches .*/dev/shm has 0\.8 MB; .*--ipc"
    ):
        iter(Loader(clips, OrderedBatches(8, 3), 1))
    monkeypatch.setattr("rspnet.data.loader.free_memory", lambda: needed)
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
    with pytest.raises(RuntimeError, match=r"a batch is still in use, but its memory is about to be reused; .* copy"):
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
    (pid,) = made.pids
    for number in ENDING:
        os.kill(pid, number)
    assert [made.pids == [pid] for _ in batches] == [True] * 7


def test_workers_end_with_the_training_process(root, tmp_path):
    """Also where an error ends it that leaves them waiting for work."""
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.support.clips import *\nfrom rspnet.data.clip_dataset import *\n"
        "from rspnet.data.batches import *\nfrom rspnet.data.loader import *\n"
        "from pathlib import Path\n"
        f"index = index_of(Path({str(root)!r}), cache=Path({str(tmp_path)!r}))\n"
        "batches = iter(Loader(ClipDataset(index, PICKER, SIZE), TrainBatches(8, 1, 0), 1))\n"
        "next(batches)\nraise RuntimeError('the end')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "RuntimeError: the end"


def test_a_lost_worker_is_replaced_and_its_batches_are_the_same(root, capsys):
    """Killed before its first word, between two batches, in the midst of one, several at once, in the next epoch."""
    clips = ClipDataset(index_of(root), PICKER, SIZE, seed=7)
    sampler = TrainBatches(8, 1, 7)
    expected = []
    for epoch in range(2):
        sampler.seek(epoch)
        expected += [clips.__getitems__(requests) for requests in sampler]
    made = Loader(clips, sampler, 2, keep_workers=True)
    found, killed = [], 0
    for epoch in range(2):
        sampler.seek(epoch)
        batches = iter(made)
        for number in range(8):
            for pid in {0: made.pids[1:], 3: made.pids, 7: made.pids[:1]}.get(number, []):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            found.append(copy.deepcopy(next(batches)))
            time.sleep(0.02 * (number % 3))
        assert next(batches, None) is None
    made.close()
    assert killed == 8
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= killed
    assert set(lines) == {"a reading process was lost (SIGKILL); another one makes its batches again"}


class Deadly(ClipDataset):
    """Reading video 5 sends a signal to its process; or reading anything does."""

    always = None

    def _fill(self, request, facts, out):
        if self.always or request.row == 5:
            faulthandler.disable()  # pytest's, which would fill the screen
            os.kill(os.getpid(), self.always or signal.SIGSEGV)
        return super()._fill(request, facts, out)


def test_a_video_that_takes_its_worker_along_is_named(root, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    batches = iter(Loader(Deadly(index_of(root), PICKER, SIZE), OrderedBatches(8, 3), 2))
    assert next(batches)["row"].tolist() == [0, 1, 2]
    with pytest.raises(WorkerError) as caught:
        next(batches)
    assert str(caught.value) == (
        f"{root}/5.mp4: the process reading it was lost 3 times over one batch (SIGSEGV); find such videos with "
        "stages/verify.py --depth decode --out index.jsonl, and leave them out"
    )
    assert caught.value.exit_status == 1


def test_workers_that_are_always_killed_end_the_pass(root, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(Deadly, "always", signal.SIGKILL)
    made = Loader(Deadly(index_of(root), PICKER, SIZE), OrderedBatches(8, 3), 2, keep_workers=True)
    with pytest.raises(
        WorkerError, match=r"^data\.num_workers: .* 3 times .* \(SIGKILL\), .* ran out; lower it from 2, "
    ):
        next(iter(made))
    assert made.pids == []


def test_a_pass_that_is_left_early_is_begun_anew(root):
    clips = ClipDataset(index_of(root), PICKER, SIZE)
    made = Loader(clips, OrderedBatches(8, 3), 2, keep_workers=True)
    next(iter(made))
    assert [batch["row"].tolist() for batch in made] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    made.close()


def test_a_stopped_worker_is_ended(root):
    made = Loader(ClipDataset(index_of(root), PICKER, SIZE), OrderedBatches(8, 3), 1, keep_workers=True)
    next(iter(made))
    (pid,) = made.pids
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < 2
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
