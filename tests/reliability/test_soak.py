"""Reading for long takes no more memory and files than reading for short: 20,000 reads, of broken videos too."""

import os
from pathlib import Path

import pytest

from rspnet.data.batches import TrainBatches
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.loader import Loader
from tests.support.clips import PICKER, SIZE, index_of

pytestmark = pytest.mark.slow

READS = int(os.environ.get("READS", "20000"))
"""Fewer for a short look."""
BATCH = 8


def held(pid: int) -> tuple[float, int]:
    """Megabytes of a process's own memory, and its open files."""
    lines = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(lines["Pss_Anon"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_memory_and_files_stay_flat(root, tmp_path, num_workers):
    """Each of nine videos by ten names; the last of them is broken, and another is read in its place."""
    names = [f"{number:02d}" for number in range(90)]
    for number, name in enumerate(names):
        (tmp_path / f"{name}.mp4").symlink_to(root / f"{number % 9}.mp4")
    index = index_of(tmp_path, names)
    sampler = TrainBatches(len(index), BATCH, 3)
    made = Loader(ClipDataset(index, PICKER, SIZE, seed=3, replace=True), sampler, num_workers, keep_workers=True)
    per_epoch = BATCH * len(sampler)
    epochs, measured = max(8, READS // per_epoch), []
    for epoch in range(epochs):
        sampler.seek(epoch)
        assert sum(len(batch["row"]) for batch in made) == per_epoch
        measured.append([held(pid) for pid in (os.getpid(), *made.pids)])
    made.close()
    for process in zip(*measured[epochs // 4 :], strict=True):  # what is kept for good has been made by then
        memory, files = zip(*process, strict=True)
        third = len(memory) // 3
        assert max(memory[-third:]) < max(memory[:third]) + 8, memory
        assert max(files[-third:]) <= max(files[:third]) + 2, files
