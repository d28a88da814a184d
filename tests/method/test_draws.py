"""What a step draws: the same for one process and several, and grouped as the batch can be."""

import pytest
import torch

from rspnet.errors import ConfigError
from rspnet.method.draws import Draws, StepDraws


def test_what_the_draws_show():
    draws = Draws(torch.tensor([True, False]), 3, torch.arange(2), torch.arange(2))
    assert draws.shown() == [((3,), (1, 3)), ((1,), (1, 3))]


def test_the_draws_of_a_seed_and_a_step_stay_what_they_are():
    """As recorded: another release that drew otherwise would not go on with a run."""
    draws = StepDraws(5, 8, [2, 3, 4], bn_groups=2)
    found = draws[4]
    assert found.fast.tolist() == [True, False, True, False, True, False, True, False]
    assert (found.speed, type(found.speed)) == (4, int)
    assert found.shuffle_other.tolist() == [3, 6, 4, 0, 5, 2, 1, 7]
    assert found.shuffle_same.tolist() == [7, 3, 2, 5, 1, 0, 6, 4]
    assert draws.shown(4) == found.shown() == [((4,), (1, 4)), ((1,), (1, 4))] * 4
    assert draws[3].fast.tolist() == [False, False, True, True, True, True, False, False]
    assert draws[3].speed == 3


def test_draws_are_the_same_for_one_process_and_several():
    one = StepDraws(5, 16, [2, 4], bn_groups=4)[3]
    parts = [StepDraws(5, 16, [2, 4], bn_groups=4, rank=rank, world_size=2)[3] for rank in (0, 1)]
    assert torch.equal(one.fast, torch.cat([part.fast for part in parts]))
    assert all(
        torch.equal(one.shuffle_other, p.shuffle_other) and torch.equal(one.shuffle_same, p.shuffle_same) for p in parts
    )
    assert {one.speed} == {p.speed for p in parts}


@pytest.mark.parametrize(
    ("total_batch", "wanted", "world_size", "found"),
    [
        (128, 4, 1, (4, 32)),
        (128, 4, 4, (1, 32)),
        (128, 8, 8, (1, 16)),
        (128, 4, 2, (2, 32)),
        (12, 6, 3, (2, 2)),
        (6, 1, 1, (1, 6)),
    ],
)
def test_batch_norm_groups(total_batch, wanted, world_size, found):
    draws = StepDraws(0, total_batch, [2], bn_groups=wanted, world_size=world_size)
    assert (draws.groups, draws.group_size) == found


@pytest.mark.parametrize(("total_batch", "wanted", "world_size"), [(6, 4, 1), (4, 4, 1), (10, 4, 2)])
def test_batches_that_cannot_be_grouped(total_batch, wanted, world_size):
    with pytest.raises(ConfigError, match=rf"optim\.total_batch: {total_batch} videos cannot be divided into"):
        StepDraws(0, total_batch, [2], bn_groups=wanted, world_size=world_size)


@pytest.mark.parametrize(
    ("wanted", "world_size", "remedy"), [(4, 64, "64 or another"), (4, 3, "6 or another"), (1, 2, "2 or another")]
)
def test_groups_that_processes_cannot_share(wanted, world_size, remedy):
    """Raised in silence they would be another method: batch norm over two clips, where 32 were published."""
    with pytest.raises(ConfigError, match=rf"pretext\.bn_groups: {wanted} cannot be shared by .*: give {remedy}"):
        StepDraws(0, 192, [2], bn_groups=wanted, world_size=world_size)


def test_small_groups_are_said():
    assert StepDraws(0, 128, [2], bn_groups=16, world_size=16).remarks() == []
    (line,) = StepDraws(0, 128, [2], bn_groups=64, world_size=64).remarks()
    assert line.startswith("batch-norm groups of 2 videos are small (published: 32 and 64)")
    assert "bn_groups" not in line  # a process has one already
    (line,) = StepDraws(0, 8, [2], bn_groups=2).remarks()
    assert "a larger optim.total_batch or a smaller pretext.bn_groups" in line


@pytest.mark.parametrize(("bn_groups", "said"), [(1, "1 batch-norm group of 8"), (4, "4 batch-norm groups of 2")])
def test_what_is_said_of_the_groups(bn_groups, said):
    assert str(StepDraws(0, 8, [2], bn_groups=bn_groups, world_size=1 if bn_groups == 1 else 2)) == said
