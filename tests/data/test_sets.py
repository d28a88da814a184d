"""Failures are counted and told, and the videos that take longest to read are known."""

import os
import shutil

import numpy as np
import pytest
import torch

from rspnet.clipspec import ClipSpec
from rspnet.data.augment import MEAN, STD
from rspnet.data.clip_dataset import even_clips
from rspnet.data.sets import Failures, Slowest, TestSet
from rspnet.errors import VideoError
from rspnet.running.team import Team
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


def test_a_test_counts_its_own_failures_alone(root, tmp_path):
    """A video that can be read again is no failure of a later validation, nor of the final test."""
    videos = [shutil.copy(root / f"{number}.mp4", tmp_path) for number in range(4)]
    index = index_of(tmp_path, "0123")
    failures = Failures(index, max_failures=30)
    clips = even_clips(index, ClipSpec(2, 16, MEAN, STD, views=1), time_limit=60)
    test_set = TestSet(clips, failures, batch=3, team=Team(), num_workers=0)
    for missing in range(4):
        os.rename(videos[missing], tmp_path / "away")
        assert [row for batch in test_set for row in batch["failed"].tolist() if row >= 0] == [missing]
        assert (failures.count, list(failures.statuses)) == (1, [missing])
        os.rename(tmp_path / "away", videos[missing])


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
