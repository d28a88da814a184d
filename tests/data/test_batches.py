"""Batches: the same whatever makes them, every video once an epoch."""

from itertools import chain

import pytest

from rspnet.data.batches import OrderedBatches, Request, TrainBatches
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.loader import Loader
from rspnet.data.picker import Picker
from rspnet.errors import ConfigError
from tests.support.clips import SIZE, index_of


def test_batches_tell_the_speeds_of_their_step(root):
    def speeds(step):
        return [((1 + (step + place) % 2,), (1, 2)) for place in range(4)]

    batches = TrainBatches(8, 4, 7, speeds=speeds)
    plain = list(chain(*epoch_of(TrainBatches(8, 4, 7), 3)))
    assert [request._replace(speeds=None) for batch in epoch_of(batches, 3) for request in batch] == plain
    assert [[request.speeds for request in batch] for batch in epoch_of(batches, 3)] == [speeds(6), speeds(7)]
    assert [[request.speeds for request in batch] for batch in epoch_of(batches, 3, 1)] == [speeds(7)]
    batches.seek(0)
    clips = ClipDataset(index_of(root), Picker(4, views=2, crop_area=(0.5, 1.0), top_speed=2), SIZE, seed=7)
    query, key = next(iter(Loader(clips, batches, 0)))["clips"]
    assert query.shape == (4, 4, SIZE, SIZE, 3)
    assert key.shape == (4, 6, SIZE, SIZE, 3)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize(("videos", "batch"), [(1, 3), (7, 2), (8, 4)])
def test_every_video_is_tested_by_one_process(world_size, videos, batch):
    shares = [list(OrderedBatches(videos, batch, rank=rank, world_size=world_size)) for rank in range(world_size)]
    for rank, share in enumerate(shares):
        assert len(OrderedBatches(videos, batch, rank=rank, world_size=world_size)) == len(share)
    requests = sorted(chain(*chain(*shares)))
    assert requests == [Request(0, row, row) for row in range(videos)]
    assert max(len(requests) for share in shares for requests in share) <= batch
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def epoch_of(batches, epoch=0, start=0):
    batches.seek(epoch, start)
    return list(batches)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_shares_make_the_same_batches(world_size):
    whole = epoch_of(TrainBatches(30, 8, seed=1))
    shares = [epoch_of(TrainBatches(30, 8, 1, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert [list(chain(*parts)) for parts in zip(*shares)] == whole
    assert {len(part) for share in shares for part in share} == {8 // world_size}


def test_every_video_at_most_once_an_epoch():
    batches = TrainBatches(30, 8, seed=1)
    assert len(batches) == 3
    orders = []
    for epoch in range(20):
        keys = list(chain(*epoch_of(batches, epoch)))
        assert [key[:2] for key in keys] == [(epoch, place) for place in range(24)]
        rows = [key.row for key in keys]
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
    with pytest.raises(ConfigError, match=r"optim\.total_batch: 9 is not a multiple of 2, the number of processes"):
        TrainBatches(30, 9, 0, rank=0, world_size=2)
    with pytest.raises(ConfigError, match=r"optim\.total_batch: 31 is more than the 30 training videos; lower it"):
        TrainBatches(30, 31, 0)
    assert len(TrainBatches(30, 30, 0)) == 1


def test_passes_make_an_epoch_of_several():
    """Each in an order of its own, the first in that of an epoch of one; no two places have the same draws."""
    batches = TrainBatches(10, 4, 7, passes=3)
    assert len(batches) == 7
    asked = list(chain(*epoch_of(batches, 2)))
    assert [request.position for request in asked] == list(range(28))
    rows = [request.row for request in asked]
    assert rows[:8] == [request.row for request in chain(*epoch_of(TrainBatches(10, 4, 7), 2))]
    assert sorted(rows[:10]) == sorted(rows[10:20]) == list(range(10))
    assert rows[:10] != rows[10:20]
    assert list(chain(*epoch_of(batches, 2, 5))) == asked[20:]
