"""Some damaged files of each kind: a status or a VideoError, in bounded time, and frames that are those of a decode."""

import numpy as np
import pytest

from rspnet.errors import VideoError
from rspnet.video.reader import Video, inspect
from tests.support.mutated import mutants, write_kinds


def everything(path):
    """What a full decode gives, or None."""
    try:
        with Video(path, time_limit=10) as video:
            return video.read(range(video.num_frames))
    except VideoError:
        return None


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_damaged_files(tmp_path, first):
    for name, content in mutants(write_kinds(tmp_path), range(first, first + 30)):
        path = tmp_path / name
        path.write_bytes(content)
        found = inspect(path, "decode", time_limit=10)
        assert (found["reason"] is None) == (found["status"] == "ok"), name
        frames = everything(path)
        if frames is None:
            continue
        for index in {0, len(frames) // 2, len(frames) - 1} - {-1}:
            for known in ({}, {"num_frames": found["num_frames"], "plan": found["plan"]}):
                try:
                    with Video(path, **known) as video:
                        assert np.array_equal(video.read([index])[0], frames[index]), (name, index, known)
                except VideoError:
                    continue  # too much of it is gone
