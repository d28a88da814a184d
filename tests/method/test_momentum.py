import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rspnet.method import momentum
from rspnet.method.momentum import Queue, gather, grouped, momentum_update, shuffled


def test_momentum_update_moves_parameters_and_leaves_buffers():
    query, key = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        query.weight.fill_(2.0)
        query.running_mean.fill_(5.0)
    momentum_update(key, query, 0.9)
    torch.testing.assert_close(key.weight, torch.full((3,), 0.9 * 1 + 0.1 * 2))
    assert key.running_mean.eq(0).all()


def test_momentum_update_needs_two_networks_of_one_kind():
    with pytest.raises(ValueError, match="zip"):
        momentum_update(nn.Linear(3, 3, bias=False), nn.Linear(3, 3), 0.9)


@pytest.mark.parametrize(("length", "batch"), [(8, 4), (7, 3), (5, 5), (6, 1)])
def test_queue_holds_the_last_keys_and_wraps(length, batch):
    queue = Queue(dim=2, length=length)
    slow = [column.tolist() for column in queue.columns.T]
    for step in range(9):
        keys = torch.arange(batch * 2, dtype=torch.float32).reshape(batch, 2) + 100 * step
        queue.enqueue(keys)
        for i, key in enumerate(keys.tolist()):
            slow[(step * batch + i) % length] = key
        assert queue.columns.T.tolist() == slow
        assert queue.pointer.item() == (step + 1) * batch % length


def test_queue_begins_with_unit_columns():
    queue = Queue(5, 7)
    assert queue.columns.shape == (5, 7)
    torch.testing.assert_close(queue.columns.norm(dim=0), torch.ones(7))


def test_queue_keeps_its_precision_and_no_gradient():
    queue, keys = Queue(2, 6), torch.tensor([[0.5, 0.25], [1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    queue.enqueue(keys)
    assert queue.columns[:, :2].T.tolist() == keys.tolist()
    assert queue.columns.dtype == torch.float32
    assert not queue.columns.requires_grad


def test_queue_is_written_where_the_keys_are():
    queue = Queue(3, 6).to("meta")
    queue.enqueue(torch.ones(4, 3, device="meta"))  # which a place on the CPU would be refused
    assert (queue.columns.shape, queue.columns.device.type) == ((3, 6), "meta")


def test_queue_survives_its_state_dict():
    queue, other = Queue(4, 6), Queue(4, 6)
    queue.enqueue(torch.randn(4, 4))
    other.load_state_dict(queue.state_dict())
    assert torch.equal(queue.columns, other.columns)
    assert other.pointer.item() == 4


def test_queue_refuses_more_keys_than_columns():
    with pytest.raises(ValueError, match=r"queue_length"):
        Queue(4, 6).enqueue(torch.randn(7, 4))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x), x + 1


def test_groups_are_normalised_apart_and_the_first_keeps_the_statistics():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    together, alone = Net(), Net()
    normed, plain = grouped(together, x, 3)
    expected = torch.cat([nn.BatchNorm1d(3)(part) for part in x.chunk(3)])
    torch.testing.assert_close(normed, expected)
    torch.testing.assert_close(plain, x + 1)
    alone(x[:2])
    torch.testing.assert_close(together.norm.running_mean, alone.norm.running_mean)
    torch.testing.assert_close(together.norm.running_var, alone.norm.running_var)
    assert together.norm.num_batches_tracked.item() == 1
    assert together.norm.track_running_stats


@pytest.mark.parametrize("groups", [1, 2])
def test_shuffled_outputs_come_back_in_order(groups):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    permutation = torch.tensor([2, 0, 3, 1])
    normed, plain = shuffled(Net(), x, permutation, groups=groups)
    torch.testing.assert_close(plain, x + 1)
    expected = grouped(Net(), x[permutation], groups)[0]
    torch.testing.assert_close(normed[permutation], expected)
    assert not normed.requires_grad


def test_gather_is_nothing_on_one_process():
    x = torch.randn(3)
    assert gather(x) is x


class Ranks:
    """Stands for torch.distributed: each rank is a thread of this process, and they meet to exchange."""

    def __init__(self, size):
        self.size, self.held = size, [None] * size
        self.all_here = threading.Barrier(size, timeout=5)
        self.here = threading.local()

    def is_available(self):
        return True

    is_initialized = is_available

    def get_world_size(self):
        return self.size

    def get_rank(self):
        return self.here.rank

    def all_gather(self, parts, own):
        assert own.is_contiguous()  # else gloo and NCCL refuse it
        self.held[self.here.rank] = own
        self.all_here.wait()
        for part, sent in zip(parts, self.held, strict=True):
            part.copy_(sent)
        self.all_here.wait()

    def run(self, work):
        def in_rank(rank):
            self.here.rank = rank
            return work(rank)

        with ThreadPoolExecutor(self.size) as threads:
            return list(threads.map(in_rank, range(self.size)))


def test_gather_puts_the_rows_in_rank_order(monkeypatch):
    monkeypatch.setattr(momentum, "dist", Ranks(3))
    x = torch.randn(4, 6)
    for gathered in momentum.dist.run(lambda rank: gather(x[:, 2 * rank : 2 * rank + 2].T)):
        torch.testing.assert_close(gathered, x.T)


def test_gather_is_nothing_in_a_group_of_one_and_where_torch_knows_no_groups(monkeypatch):
    x = torch.randn(3)
    monkeypatch.setattr(momentum, "dist", Ranks(1))
    assert momentum.dist.run(lambda rank: gather(x))[0] is x
    monkeypatch.setattr(momentum, "dist", SimpleNamespace(is_available=lambda: False))
    assert gather(x) is x


def test_clips_are_shuffled_over_all_processes(monkeypatch):
    """Two processes of two groups each are one of four groups."""
    x, permutation = torch.randn(12, 3), torch.randperm(12)
    normed, plain = shuffled(Net(), x, permutation, groups=4)
    monkeypatch.setattr(momentum, "dist", Ranks(2))
    parts = momentum.dist.run(lambda rank: shuffled(Net(), x[6 * rank : 6 * rank + 6], permutation, groups=2))
    for part, rows in zip(parts, (slice(0, 6), slice(6, 12)), strict=True):
        torch.testing.assert_close(part[0], normed[rows])
        torch.testing.assert_close(part[1], plain[rows])
