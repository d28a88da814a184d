"""Running means that lose nothing, and go on where a checkpoint left them."""

import pytest
import torch

from rspnet.running.state import RunState


def test_means_of_both_windows():
    state = RunState()
    for value in (1.0, 2.0, 6.0):
        state.add({"a": torch.tensor(value), "b": torch.tensor(-value)})
        if value == 2.0:
            assert state.take("interval") == {"a": 1.5, "b": -1.5}
    assert state.take("interval") == {"a": 6, "b": -6}
    assert state.take("epoch", lambda means: means * 10) == {"a": 30, "b": -30}
    assert state.step == 3


def test_sums_do_not_lose_small_terms():
    """In float32 the sum of 2**24 ones and one more stands still."""
    state = RunState()
    state.add({"a": torch.tensor(2.0**24)})
    for _ in range(4):
        state.add({"a": torch.tensor(1.0)})
    assert state.take("epoch")["a"] == (2**24 + 4) / 5


def test_state_goes_on_to_the_bit(tmp_path):
    torch.manual_seed(0)
    values = torch.randn(20).unbind()
    one = RunState()
    for number, value in enumerate(values):
        one.add({"a": value})
        if number == 7:
            one.take("interval")
            one.best, one.last_epoch = 12.5, {"a": 1.0}
            torch.save(one.state_dict(), tmp_path / "state.pt")
    two = RunState()
    two.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (two.step, two.best, two.last_epoch) == (8, 12.5, {"a": 1.0})
    for value in values[8:]:
        two.add({"a": value})
    assert one.take("interval") == two.take("interval")
    assert one.take("epoch") == two.take("epoch")


def test_each_process_goes_on_with_its_own_sums(tmp_path):
    """And with the mean of all, where their number is another one now."""
    states = [RunState(), RunState()]
    for rank, state in enumerate(states):
        state.add({"a": torch.tensor(1.0 + rank), "b": torch.tensor(0.1)})
        state.take("interval")
    rows = torch.cat([state.state_dict()["sums"]["epoch"]["rows"] for state in states])
    saved = states[0].state_dict(lambda row: rows)
    for rank, world_size, expected in ((0, 2, 1.0), (1, 2, 2.0), (0, 1, 1.5), (3, 4, 1.5)):
        state = RunState()
        state.load_state_dict(saved, rank, world_size)
        state.add({"a": torch.tensor(10.0), "b": torch.tensor(0.1)})
        assert state.take("interval")["a"] == 10
        assert state.take("epoch") == {"a": (10 + expected) / 2, "b": pytest.approx(0.1)}
