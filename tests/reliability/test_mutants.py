"""Two thousand damaged files of ten kinds, through verify's eyes and through those of training."""

import resource
import time

import numpy as np
import pytest

from rspnet.data.batches import Request
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.index import new_row, to_dataset
from rspnet.data.picker import Picker
from rspnet.errors import VideoError
from rspnet.video.reader import Video, inspect
from tests.support.mutated import mutants, write_kinds

COUNT = 2000
STATUSES = {"ok", "empty", "broken", "no_video", "encrypted", "truncated", "corrupt", "short", "timeout"}
SECONDS = 10.0  # for one file, of which it takes some hundredths
MEMORY = 400_000  # kB more than before


def damaged(folder):
    for name, content in mutants(write_kinds(folder), range(COUNT)):
        path = folder / name
        path.write_bytes(content)
        yield path
        path.unlink()


@pytest.mark.slow
def test_verify_has_a_status_for_each(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in damaged(tmp_path):
        start = time.monotonic()
        found = inspect(path, "decode", time_limit=SECONDS)
        assert found["status"] in STATUSES, path.name
        assert (found["reason"] is None) == (found["status"] == "ok"), path.name
        assert time.monotonic() - start < 2 * SECONDS, path.name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("frame_rate", [None, 12.5])
def test_training_reads_them_or_names_them(tmp_path, frame_rate):
    """By the file alone, as where the index has no plans."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    picker = Picker(8, views=2, crop_area=(0.4, 1.0), top_speed=2)
    rows = [new_row(path.name, str(tmp_path)) for path in damaged(tmp_path)]
    clips = ClipDataset(to_dataset(rows, tmp_path / "cache"), picker, 32, frame_rate=frame_rate, time_limit=SECONDS)
    for row, path in enumerate(damaged(tmp_path)):
        start = time.monotonic()
        item = clips[Request(0, row, row)]
        assert (item["failed"] == row) == item["reason"].startswith(f"{path}: "), path.name
        assert time.monotonic() - start < 4 * SECONDS, path.name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


@pytest.mark.slow
def test_single_frames_are_those_of_a_full_decode(tmp_path):
    for path in damaged(tmp_path):
        try:
            with Video(path, time_limit=SECONDS) as video:
                whole = video.read(range(video.num_frames))
        except VideoError:
            continue
        for index in {0, len(whole) // 3, len(whole) * 2 // 3, len(whole) - 1} - {-1}:
            try:
                with Video(path, time_limit=SECONDS) as video:
                    assert np.array_equal(video.read([index])[0], whole[index]), (path.name, index)
            except VideoError:
                continue  # too much of it is gone
