"""Processes that have come to differ are noticed."""

from types import SimpleNamespace

import pytest
import torch

from rspnet.errors import MachineError
from rspnet.method.momentum import Queue
from rspnet.running.replicas import check_replicas


class Team:
    """Two processes, of which the other has a queue of its own."""

    world_size = 2

    def __init__(self, other):
        self.other = other

    def everyones(self, mine):
        theirs = []
        check_replicas(self.other, SimpleNamespace(world_size=2, everyones=lambda sums: theirs.append(sums) or []), 7)
        return [mine, *theirs]


def network():
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.queue, model.norm = Queue(3, 5), torch.nn.BatchNorm1d(2)
    model._ddp_params_and_buffers_to_ignore = ["queue.columns", "queue.pointer"]
    return model


def test_equal_queues_and_statistics_of_ones_own():
    one, other = network(), network()
    other.norm.running_mean.fill_(3)
    check_replicas(one, Team(other), 7)


@pytest.mark.parametrize("name", ["columns", "pointer"])
def test_a_queue_that_differs(name):
    one, other = network(), network()
    if name == "columns":
        other.queue.columns.copy_(other.queue.columns.flip(1))  # the same numbers, as another order of ranks would give
    else:
        other.queue.pointer.fill_(1)
    with pytest.raises(MachineError, match=rf"^step 7: queue\.{name} of process 1 differs from the main process's"):
        check_replicas(one, Team(other), 7)
    check_replicas(one, SimpleNamespace(world_size=1), 7)
