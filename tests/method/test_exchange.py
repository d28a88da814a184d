"""Clips come to the group that wants them, each sent once, and equal to the bit to gathering all everywhere."""

import pytest
import torch
import torch.distributed as dist

from rspnet.method import exchange as module
from rspnet.method.exchange import Shuffle, exchange, gather, share
from tests.support.ranks import run_ranks

CPU = torch.device("cpu")


def test_on_one_process_nothing_is_sent():
    clips = torch.randn(6, 2, 3)
    shuffle = Shuffle(torch.tensor([2, 0, 5, 3, 1, 4]), 3, CPU)
    assert [route.sent.tolist() for route in shuffle.routes] == [[2, 0], [5, 3], [1, 4]]
    parts = [exchange(clips[route.sent], route) for route in shuffle.routes]
    assert torch.equal(torch.cat(parts)[shuffle.back], clips)
    assert gather(clips) is clips
    assert torch.equal(share(clips), clips)


@pytest.mark.parametrize(("world_size", "groups", "size"), [(3, 2, 2), (64, 1, 4), (2, 4, 3)])
def test_each_clip_is_sent_once_and_what_is_sent_is_what_is_awaited(monkeypatch, world_size, groups, size):
    """All processes in one, number by number."""
    local = groups * size
    permutation = torch.randperm(world_size * local, generator=torch.Generator().manual_seed(world_size))
    monkeypatch.setattr(module, "_world_size", lambda: world_size)
    shuffles = []
    for rank in range(world_size):
        monkeypatch.setattr(module, "_rank", lambda rank=rank: rank)
        shuffles.append(Shuffle(permutation, groups, CPU))
    for rank, shuffle in enumerate(shuffles):
        assert sorted(torch.cat([route.sent for route in shuffle.routes]).tolist()) == list(range(local))
        for group, route in enumerate(shuffle.routes):
            come = []
            for sender, other in enumerate(shuffles):
                counts = other.routes[group].sent_counts
                sent = other.routes[group].sent.split(counts)[rank] + sender * local
                assert len(sent) == route.received_counts[sender]
                come += sent.tolist()
            start = rank * local + group * size
            assert torch.equal(torch.tensor(come)[route.order], permutation[start : start + size])


def meet(_):
    """What each of several processes finds."""
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    for groups, kind in ((1, torch.float32), (2, torch.bfloat16), (4, torch.float16)):
        every = torch.randn(8 * world_size, 3, 2, 5, 5, generator=torch.Generator().manual_seed(1)).to(kind)
        permutation = torch.randperm(len(every), generator=torch.Generator().manual_seed(groups))
        mine = share(every)
        clips = mine.contiguous(memory_format=torch.channels_last_3d)
        shuffle = Shuffle(permutation, groups, CPU)
        parts = [exchange(clips[route.sent], route) for route in shuffle.routes]
        found, gathered = torch.cat(parts), gather(mine)
        assert torch.equal(gathered, every)
        assert torch.equal(found, gathered[permutation].chunk(world_size)[rank])
        assert torch.equal(share(gather(found)[shuffle.back]), mine)
        turned = every.transpose(1, 4)  # of other strides
        assert torch.equal(gather(share(turned)), turned)
    dist.destroy_process_group()


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_send_what_gathering_would_give(tmp_path, processes):
    statuses = run_ranks(tmp_path, meet, None, processes=processes)
    assert statuses == [0] * processes, "\n".join(path.read_text() for path in tmp_path.glob("*.err"))
