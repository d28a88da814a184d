import pytest
import torch
from torch import nn

from rspnet.method.momentum import Queue, grouped, momentum_update


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
    normed, plain = grouped(together, x.chunk(3))
    expected = torch.cat([nn.BatchNorm1d(3)(part) for part in x.chunk(3)])
    torch.testing.assert_close(normed, expected)
    torch.testing.assert_close(plain, x + 1)
    alone(x[:2])
    torch.testing.assert_close(together.norm.running_mean, alone.norm.running_mean)
    torch.testing.assert_close(together.norm.running_var, alone.norm.running_var)
    assert together.norm.num_batches_tracked.item() == 1
    assert together.norm.track_running_stats
