"""Failures are counted and told, and the videos that take longest to read are known."""

import numpy as np
import pytest
import torch

from rspnet.data.sets import Failures, Slowest
from rspnet.errors import VideoError
from tests.support.clips import index_of


def failed(*rows):
    """A batch as far as `Failures` looks at it."""
    reasons = ["" if row < 0 else f"/data/{row}.mp4: broken" for row in rows]
    return {"failed": torch.tensor(rows), "status": ["broken" if why else "ok" for why in reasons], "reason": reasons}


def test_failures_are_named_once_and_counted(root, capsys):
    failures = Failures(index_of(root), max_failures=50, instead="another video takes its place")
    failures.add(failed(-1, -1))
    failures.add(failed(3, -1))
    failures.add(failed(3, 5))
    assert failures.count == 3
    assert capsys.readouterr().err.splitlines() == [
        "could not read /data/3.mp4: broken; another video takes its place",
        "could not read /data/5.mp4: broken; another video takes its place",
    ]


@pytest.mark.parametrize(
    ("max_failures", "world_size", "allowed"), [(50, 1, 4), (50, 2, 2), (0, 1, 0), (5, 1, 1), (100, 1, 8)]
)
def test_too_many_failures_stop_the_run(root, max_failures, world_size, allowed):
    """A single one does only where none may fail: it is no share of anything."""
    failures = Failures(index_of(root), max_failures, world_size)
    failures.add(failed(*[0] * allowed))
    failures.count = 0  # another epoch
    failures.add(failed(*[0] * allowed))
    among = "8 videos" if world_size == 1 else "4 videos of this process"
    with pytest.raises(
        VideoError,
        match=rf"^{allowed + 1} of the {among} could not be read so far; more than {max_failures} % .*verify",
    ):
        failures.add(failed(0))


def test_in_several_passes_as_many_more_may_fail(root):
    failures = Failures(index_of(root), 25, passes=3)
    failures.add(failed(*[0] * 6))
    with pytest.raises(VideoError, match=r"^7 of the 8 videos could not be read so far"):
        failures.add(failed(0))


def test_the_slowest_videos_of_an_epoch(root):
    index = index_of(root)
    slowest, random = Slowest(index), np.random.default_rng(0)
    for _ in range(2):
        took = random.random((4, 8))
        for rows in (torch.randperm(8)[:6], torch.arange(8)):
            for seconds in took:
                slowest.add({"row": rows, "seconds": seconds[rows].tolist()})
        obvious = sorted(zip(took.max(0).tolist(), index["video"]), reverse=True)[:5]
        assert list(slowest.take().items()) == [(video, round(seconds, 3)) for seconds, video in obvious]
    assert slowest.take() == {}
