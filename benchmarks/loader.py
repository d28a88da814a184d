"""The cost of a training batch apart from reading its videos, and of loading an index of 300,000 videos.

    python benchmarks/loader.py [VIDEO ...] [--repeats 5] [--json FILE]

The batches are pretraining's: two clips of each video, cropped to 112, of 16 and 24 frames (those that one speed or
both show). The videos are transcoded as by stages/transcode.py; if none is given, they are made.

- outside the reader: how much more CPU time whole batches take than reading the same clips from the same files alone.
  The difference is the index row, the draws, the batch memory, and with workers the way to the training process. Both
  take turns, four videos at a time in one process and epoch by epoch with workers; medians of the repeats.
- MB a video: the bytes of a video in the batch. Frames are resized right into their place there, in memory shared with
  the training process, and are not copied before a GPU's pinned memory.
- memory of a worker: its share of the resident memory after the run, how much of it was added in the second half, and
  the batches in shared memory.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from decode import make_originals
from torch.utils.data import Dataset

from rspnet.console import some
from rspnet.data import clip_dataset, index
from rspnet.data.batches import TrainBatches
from rspnet.data.loader import Loader
from rspnet.method.draws import StepDraws
from rspnet.video.reader import Video
from rspnet.video.writer import transcode

BATCH = 32
SIZE = 112


def rows_of(files: dict[str, dict], count: int) -> list[dict]:
    """Return index rows of `count` videos: the files over and over, each time under another link."""
    rows = []
    for number in range(count):
        path, facts = list(files.items())[number % len(files)]
        link = Path(path).with_name(f"{number:06d}.mp4")
        link.symlink_to(path)
        rows.append(index.new_row(link.name, str(link.parent), **facts))
    return rows


def training_set(rows: list[dict], folder: str) -> tuple[clip_dataset.ClipDataset, TrainBatches]:
    """Return pretraining's clips and batches, as stages/pretrain.py makes them."""
    videos = index.to_dataset(rows, folder)
    picker = clip_dataset.Picker(16, views=2, crop_area=(0.4, 1.0), top_speed=2)
    clips = clip_dataset.ClipDataset(videos, picker, SIZE, replace=True)
    return clips, TrainBatches(len(videos), BATCH, 0, speeds=StepDraws(0, BATCH, [2], bn_groups=1).shown)


class Requests(clip_dataset.Video):
    """Records what is read."""

    seen: list = []  # noqa: RUF012 - one list for all

    def read_clips(self, clips, size=None, out=None):
        """Record the request, and read as the parent class does."""
        self.seen.append((self.path, self._num_frames, self._plan.to_text(), clips))
        return super().read_clips(clips, size, out)


def reads_of(clips: clip_dataset.ClipDataset, keys: list) -> list:
    """Return what each key reads: path, number of frames, plan, clips."""
    clip_dataset.Video, Requests.seen = Requests, []
    try:
        clips.__getitems__(keys)
    finally:
        clip_dataset.Video = Video
    return Requests.seen


def read(request: tuple, out: list[np.ndarray]) -> None:
    """Read clips, and nothing else."""
    path, num_frames, plan, clips = request
    with Video(path, num_frames, plan=plan) as video:
        video.read_clips(clips, SIZE, out)


def in_process(clips: clip_dataset.ClipDataset, keys: list, repeats: int) -> dict[str, float]:
    """Return the CPU seconds per video of the reader alone, and of whole batches."""
    requests = reads_of(clips, keys)
    out = [np.empty((len(frames), SIZE, SIZE, 3), np.uint8) for frames, _ in requests[0][3]]
    seconds: dict[str, list[float]] = {"reader": [], "batch": []}
    for _ in range(repeats + 1):
        spent = {"reader": 0.0, "batch": 0.0}
        for start in range(0, len(keys), 4):
            began = time.process_time()
            for request in requests[start : start + 4]:
                read(request, out)
            half = time.process_time()
            clips.__getitems__(keys[start : start + 4])
            spent["reader"] += half - began
            spent["batch"] += time.process_time() - half
        for name, value in spent.items():
            seconds[name].append(value / len(keys))
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first round warms up


def memory_of(pid: int) -> dict[str, int]:
    """Return the bytes of a process's batches and of its other memory; shared memory is divided among its processes."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    found = {name.rstrip(":"): 1024 * int(size) for name, size, *_ in lines if name.startswith("Pss")}
    return {"batches": found["Pss_Shmem"], "own": found["Pss_Anon"] + found["Pss_File"]}


class Bare(Dataset):
    """Reads the same as a ClipDataset, and discards it."""

    def __init__(self, requests: dict[tuple, tuple]) -> None:
        self.requests = requests
        self.out: list[np.ndarray] = []

    def batch_bytes(self, keys: list) -> int:
        """Return 0, because what is read is discarded."""
        return 0

    def __getitems__(self, keys: list) -> dict:
        """Read the clips of some keys, and return an empty batch."""
        for request in map(self.requests.__getitem__, keys):
            self.out = self.out or [np.empty((len(frames), SIZE, SIZE, 3), np.uint8) for frames, _ in request[3]]
            read(request, self.out)
        return {}


def with_workers(clips: clip_dataset.ClipDataset, batches: TrainBatches, workers: int, repeats: int) -> dict:
    """Run the real loader repeatedly: batches per second, CPU time of all processes, memory of a worker."""
    keys = [key for keys in batches for key in keys]
    sources = {"batch": clips, "reader": Bare(dict(zip(keys, reads_of(clips, keys))))}
    loaders = {name: Loader(source, batches, workers, keep_workers=True) for name, source in sources.items()}
    seconds: dict[str, list[float]] = {"batch": [], "reader": [], "wall": []}
    memory = []
    for _ in range(repeats + 1):
        for name, source in loaders.items():
            iterator = iter(source)  # the first time it starts the workers
            before, began = cpu_of(source.pids), time.perf_counter()
            for batch in iterator:
                if name == "batch":
                    nbytes = sum(view.nbytes for view in batch["clips"])
            seconds[name].append((cpu_of(source.pids) - before) / len(keys))
            if name == "batch":
                seconds["wall"].append((time.perf_counter() - began) / len(keys))
                memory.append(memory_of(source.pids[0]))
    found = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    return found | {
        "batches_per_second": 1 / found["wall"] / BATCH,
        "bytes_per_video": nbytes / BATCH,
        "memory_batches": memory[-1]["batches"],
        "memory_own": memory[-1]["own"],
        "memory_growth": memory[-1]["own"] - memory[len(memory) // 2]["own"],
    }


def cpu_of(workers: list[int]) -> float:
    """Return the CPU seconds so far of this process and of its workers, given by their ids."""
    total = time.process_time()
    for pid in workers:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def large_index(folder: Path, count: int) -> dict[str, float]:
    """Return the seconds and bytes to write, load and reload an index of `count` rows, and to read one row."""
    facts = {"status": "ok", "num_frames": 300, "fps": 30.0, "width": 340, "height": 256, "duration": 10.0}
    facts |= {"codec": "h264", "bytes": 900_000, "plan": "Y2RgYGD4z8jIyMTExMzMwsLKxsbOwcnFzcPLxw=="}
    names = (f"train_video/class {n % 400:03d}/{n:08d}_000001_000011" for n in range(count))
    rows = (index.new_row(f"{name}.mp4", "/data", name.split("/")[1], split="train", **facts) for name in names)
    path, took = folder / "large.parquet", {}
    began = time.perf_counter()
    index.write_rows(rows, path)
    took["write"] = time.perf_counter() - began
    for name in ("load", "load_again"):
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        videos = index.load(path, cache_dir=folder / "cache")
        took[name] = time.perf_counter() - began
        took[f"{name}_peak_bytes"] = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    began = time.perf_counter()
    chosen, _ = index.select(videos, "train")
    took["select"] = time.perf_counter() - began
    order = np.random.default_rng(0).permutation(count)[:2000].tolist()
    began = time.perf_counter()
    for row in order:
        chosen[row]
    took["row"] = (time.perf_counter() - began) / len(order)
    return took | {"rows": count, "file_bytes": path.stat().st_size}


def cost(spent: dict[str, float]) -> str:
    """Return the CPU times of the reader and of whole batches, in words."""
    reader, whole = spent["reader"], spent["batch"]
    share = 100 * (whole / reader - 1)
    return f"reader {1e3 * reader:.2f} ms of CPU a video, all {1e3 * whole:.2f} ms, {share:.1f} % outside the reader"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", help="originals")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=256, help="videos in an epoch")
    parser.add_argument("--rows", type=int, default=300_000, help="rows of the large index")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        results["index"] = found = large_index(Path(folder), args.rows)
        print(f"index of {found['rows']} videos ({found['file_bytes'] / 1e6:.1f} MB as Parquet):")
        for name in ("load", "load_again"):
            print(f"  {name:12s} {found[name]:6.2f} s, peak memory {found[f'{name}_peak_bytes'] / 1e6:+.0f} MB")
        print(f"  {'select':12s} {found['select']:6.2f} s;   one row {1e6 * found['row']:.0f} us", flush=True)

        originals = args.videos or list(make_originals(Path(folder)))
        files = {}
        for number, path in enumerate(originals):
            copy = f"{folder}/original_{number}.mp4"
            files[copy] = transcode(path, copy)
        clips, batches = training_set(rows_of(files, args.count), folder)
        results["in_process"] = spent = in_process(clips, [key for keys in batches for key in keys], args.repeats)
        print(f"in one process: {cost(spent)}", flush=True)
        for workers in (1, 2):
            results[f"workers_{workers}"] = found = with_workers(clips, batches, workers, args.repeats)
            print(f"{some(workers, 'worker')}: {cost(found)}")
            print(f"  {found['batches_per_second']:.2f} batches of {BATCH} a second; ", end="")
            print(f"{found['bytes_per_video'] / 1e6:.2f} MB a video; memory of a worker ", end="")
            print(f"{found['memory_own'] / 1e6:.0f} MB, growth {found['memory_growth'] / 1e6:+.1f} MB, ", end="")
            print(f"and {found['memory_batches'] / 1e6:.0f} MB of batches", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
