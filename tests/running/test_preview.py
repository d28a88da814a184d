"""The first windows of many tell what all take."""

from types import SimpleNamespace

import pytest

from rspnet.errors import VideoError
from rspnet.running import preview as previews
from rspnet.running.preview import preview


class Viewing:
    """Of windows that take a second each, ten the first; the network waits for a part of it."""

    unit, team, number, seconds, waited = "windows", SimpleNamespace(world_size=2, rank=0), 0, 0.0, 0.0

    def __init__(self, number, waiting):
        self.there, self.waiting = number, waiting

    def at_once(self, batch):
        return batch

    def total(self, rows, missing):
        return 1000

    def __call__(self, rows, data, *, batch):
        for number in range(self.there):
            self.number += 1
            self.seconds += 1.0 if number else 10.0
            self.waited += self.waiting
            yield number


@pytest.mark.parametrize(("waiting", "bound"), [(0.7, "data"), (0.1, "network")])
def test_the_first_batches_are_passed_over_and_some_dozen_timed(waiting, bound, capsys):
    found = preview(viewing := Viewing(500, waiting), range(40), None, batch=3, shape=[8, 2])
    assert viewing.number == 3 * 26
    assert found == found | {"num_timed": 72, "per_second": 2.0, "seconds": 500.0, "disk_bytes": 64_000, "bound": bound}
    assert found["waited"] == pytest.approx(waiting)
    assert "2.00 windows a second (72 timed)" in capsys.readouterr().err


def test_of_few_all_count():
    found = preview(Viewing(4, 0.0), range(2), None, batch=3, shape=[8])
    assert (found["num_timed"], found["per_second"]) == (4, pytest.approx(2 * 4 / 13, rel=1e-5))


def test_two_minutes_are_enough(monkeypatch):
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr(previews, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert preview(Viewing(500, 0.0), range(2), None, batch=1, shape=[8])["num_timed"] < 24


def test_a_process_without_videos_leaves_the_estimate_to_the_main_one():
    (viewing := Viewing(0, 0.0)).team = SimpleNamespace(world_size=2, rank=1)
    assert preview(viewing, range(1), None, batch=3, shape=[8]) == {}
    with pytest.raises(VideoError, match="nothing of the 1 video could be read"):
        preview(Viewing(0, 0.0), range(1), None, batch=3, shape=[8])
