"""Batches: the same whatever makes them, every video once an epoch, in memory that lasts; failures counted and told."""

import os
import subprocess
import sys
import time
from itertools import chain

import pytest
import torch
from test_architecture import REPO
from test_dataset import PICKER, SIZE, index_of, same

from rspnet.batches import SLOTS, BatchMemory, Failures, TrainBatches, loader
from rspnet.dataset import ClipDataset, Picker
from rspnet.errors import ConfigError, VideoError


def test_batches_tell_the_speeds_of_their_step(root):
    def speeds(step):
        return [((1 + (step + place) % 2,), (1, 2)) for place in range(4)]

    batches = TrainBatches(8, 4, 7, speeds=speeds)
    plain = list(chain(*epoch_of(TrainBatches(8, 4, 7), 3)))
    assert [key[:3] for keys in epoch_of(batches, 3) for key in keys] == plain
    assert [[key[3] for key in keys] for keys in epoch_of(batches, 3)] == [speeds(6), speeds(7)]
    assert [[key[3] for key in keys] for keys in epoch_of(batches, 3, 1)] == [speeds(7)]
    batches.seek(0)
    clips = ClipDataset(index_of(root), Picker(4, views=2, crop_area=(0.5, 1.0), top_speed=2), SIZE, seed=7)
    query, key = next(iter(loader(clips, 0, batch_sampler=batches)))["clips"]
    assert query.shape == (4, 4, SIZE, SIZE, 3)
    assert key.shape == (4, 6, SIZE, SIZE, 3)


def test_workers_and_processes_change_nothing(root):
    index = index_of(root, "01234568")  # with a broken one

    def batches(num_workers, world_size):
        shares = []
        for rank in range(world_size):
            sampler = TrainBatches(len(index), 4, 7, rank, world_size)
            clips = ClipDataset(index, PICKER, SIZE, seed=7, replace=True)
            made = loader(clips, num_workers, batch_sampler=sampler, persistent_workers=num_workers > 0)
            steps = []
            for epoch in range(2):
                sampler.seek(epoch)
                steps += [{name: values.clone() for name, values in batch.items()} for batch in made]
            shares.append(steps)
        return [{key: torch.cat([part[key] for part in parts]) for key in parts[0]} for parts in zip(*shares)]

    expected = batches(0, 1)
    assert len(expected) == 4
    for settings in ((2, 1), (0, 2), (1, 4)):
        assert all(same(one, two) for one, two in zip(expected, batches(*settings), strict=True))
    assert {7} < {row for batch in expected for row in batch["failed"].tolist()}


def test_more_workers_than_cores_are_no_warning_of_torchs(root):
    """Warnings are errors here; rspnet.machine says it in one line."""
    assert loader(ClipDataset(index_of(root), PICKER, SIZE), 999, batch_size=2).num_workers == 999


def test_a_workers_batches_use_shared_memory_in_turn(monkeypatch):
    memory = BatchMemory()
    one, other = memory.take((2, 3))[0], memory.take((2, 3))[0]
    assert not one.is_shared()
    assert one.data_ptr() != other.data_ptr()
    monkeypatch.setattr("rspnet.batches.get_worker_info", lambda: "a worker's")
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


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_batch_lives_as_long_as_it_is_in_use(root, lookahead):
    """One process uses a batch while its worker is as far ahead as it can get; accelerate holds one more."""
    sampler = TrainBatches(8, 1, 0)
    clips = ClipDataset(index_of(root), PICKER, SIZE, seed=7)
    expected = [clips.__getitems__(keys)["clips"] for keys in sampler]
    held = []
    for batch, _ in zip(loader(clips, 1, batch_sampler=sampler), range(8)):
        held.append(batch["clips"])
        time.sleep(0.1)
        if len(held) > lookahead:
            assert torch.equal(held.pop(0), expected.pop(0))


def test_workers_leave_signals_to_the_training_process(root):
    """A scheduler sends SIGTERM to all processes; the run still wants to make its checkpoint."""
    sampler = TrainBatches(8, 1, 0)
    batches = iter(loader(ClipDataset(index_of(root), PICKER, SIZE), 1, batch_sampler=sampler))
    next(batches)
    for kind in ("TERM", "INT"):
        subprocess.run(["bash", "-c", f"kill -{kind} {batches._workers[0].pid}"], check=True)
    assert len(list(batches)) == 7


def test_workers_end_with_the_training_process(root, tmp_path):
    """Also where an error ends it that leaves them waiting for work."""
    script = tmp_path / "script.py"
    script.write_text(
        "from test_dataset import *\nfrom rspnet.batches import *\nfrom pathlib import Path\n"
        f"index = index_of(Path({str(root)!r}), cache=Path({str(tmp_path)!r}))\n"
        "batches = iter(loader(ClipDataset(index, PICKER, SIZE), 2, batch_sampler=TrainBatches(8, 1, 0)))\n"
        "next(batches)\nraise RuntimeError('the end')\n"
    )
    paths = os.pathsep.join([str(REPO), str(REPO / "tests")])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "RuntimeError: the end"


def test_failures_are_named_once_and_counted(root, capsys):
    failures = Failures(index_of(root), max_failures=50)
    failures.add(torch.tensor([-1, -1]))
    failures.add(torch.tensor([3, -1]))
    failures.add(torch.tensor([3, 5]))
    assert failures.count == 3
    assert capsys.readouterr().err.splitlines() == [
        "could not read 3.mp4; another video takes its place",
        "could not read 5.mp4; another video takes its place",
    ]


@pytest.mark.parametrize(
    ("max_failures", "world_size", "allowed"), [(50, 1, 4), (50, 2, 2), (0, 1, 1), (5, 1, 1), (100, 1, 8)]
)
def test_too_many_failures_stop_the_run(root, max_failures, world_size, allowed):
    """A single one never does: it is no share of anything."""
    failures = Failures(index_of(root), max_failures, world_size)
    failures.add(torch.zeros(allowed, dtype=torch.int64))
    failures.count = 0  # another epoch
    failures.add(torch.zeros(allowed, dtype=torch.int64))
    with pytest.raises(
        VideoError, match=rf"^0\.mp4: number {allowed + 1} of the videos .* more than {max_failures} % "
    ):
        failures.add(torch.tensor([0]))


def epoch_of(batches, epoch=0, start=0):
    batches.seek(epoch, start)
    return list(batches)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_shares_make_the_same_batches(world_size):
    whole = epoch_of(TrainBatches(30, 8, seed=1))
    shares = [epoch_of(TrainBatches(30, 8, 1, rank, world_size)) for rank in range(world_size)]
    assert [list(chain(*parts)) for parts in zip(*shares)] == whole
    assert {len(part) for share in shares for part in share} == {8 // world_size}


def test_every_video_at_most_once_an_epoch():
    batches = TrainBatches(30, 8, seed=1)
    assert len(batches) == 3
    orders = []
    for epoch in range(20):
        keys = list(chain(*epoch_of(batches, epoch)))
        assert [key[:2] for key in keys] == [(epoch, place) for place in range(24)]
        rows = [row for _, _, row in keys]
        assert len(set(rows)) == 24
        assert set(rows) <= set(range(30))
        orders.append(tuple(rows))
    assert len(set(orders)) == 20
    assert set().union(*orders) == set(range(30))  # who is left out changes
    assert epoch_of(TrainBatches(30, 8, seed=2)) != epoch_of(batches, 0)


def test_from_the_middle_on():
    batches = TrainBatches(30, 8, seed=1)
    assert epoch_of(batches, 3, 2) == epoch_of(batches, 3)[2:]
    assert epoch_of(batches, 3, 3) == []
    batches.seek(1)
    assert batches.start == 0


def test_batches_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"optim\.total_batch: 9 is no multiple of the 2 processes"):
        TrainBatches(30, 9, 0, 0, 2)
    with pytest.raises(ConfigError, match=r"optim\.total_batch: 31 is more than the 30 training videos; lower it"):
        TrainBatches(30, 31, 0)
    assert len(TrainBatches(30, 30, 0)) == 1
