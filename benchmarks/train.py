"""Whole epochs of pretraining, from files on disk: rspnet against the published way, written plainly.

    python benchmarks/train.py VIDEOS [--network resnet18] [--videos 8] [--ways literal,ours+keep] [--json FILE]

The literal way reads videos in the most obvious way: torch's DataLoader, PyAV, whole frames as uint8, cropped; then it
makes the literal step (benchmarks/literal.py). rspnet's way is that of stages/pretrain.py. All have the same videos,
batch and number of workers, and take turns epoch by epoch; the first epoch of each warms up. Reading alone and steps
alone are timed, too: the slower of the two bounds an epoch. benchmarks/steps.py explains how ways are written; `keep`
holds for the whole process, so that the other ways keep freed memory, too.
"""

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av
import device as devices
import literal
import numpy as np
import torch
from steps import Case, Step, Way, make
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rspnet.data.clip_dataset import random_clips
from rspnet.data.index import new_row, to_dataset
from rspnet.data.picker import Picker
from rspnet.data.sets import TrainSet
from rspnet.encoders import encoder_spec
from rspnet.method.draws import StepDraws
from rspnet.running.machine import cores
from rspnet.running.team import Team

Epoch = Callable[[int], Iterator[Any]]
WAYS = {
    "cpu": "literal,ours+keep+channels_last,ours+keep+channels_last+bf16",
    "cuda": "literal,ours+channels_last,ours+bf16+channels_last",
}


class LiteralClips(Dataset[list[Tensor]]):
    """Two clips of each video, read with PyAV from the start of the file: uint8 (32, h, w, 3)."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.pick = Picker(literal.READ, views=2, crop_area=(0.4, 1.0))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> list[Tensor]:
        with av.open(str(self.paths[row])) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        picked = self.pick(np.random.default_rng(), len(frames), frames[0].shape[:2])
        return [
            torch.from_numpy(np.stack([frames[at][top : top + h, left : left + w] for at in places]))
            for places, (top, left, h, w) in picked
        ]


def columns(rows: list[list[Tensor]]) -> list[list[Tensor]]:
    """Return the query clips, and the key clips, of a batch."""
    return [list(column) for column in zip(*rows)]


def literal_epochs(paths: list[Path], case: Case, workers: int) -> Epoch:
    """Return a function that yields an epoch's batches in the literal way."""
    how = {"num_workers": workers, "persistent_workers": workers > 0, "collate_fn": columns}
    loader = DataLoader(LiteralClips(paths), case.videos, shuffle=True, drop_last=True, **how)
    return lambda number: iter(loader)


def our_epochs(paths: list[Path], case: Case, workers: int, folder: str) -> Epoch:
    """Return a function that yields an epoch's batches like stages/pretrain.py."""
    index = to_dataset([new_row(path.name, str(path.parent)) for path in paths], folder)
    clip = dataclasses.replace(encoder_spec(case.network).clip, size=case.size)
    clips = random_clips(index, clip, (0.4, 1.0), seed=0, time_limit=60.0, views=2, top_speed=2)
    shown = StepDraws(0, case.videos, [2], bn_groups=1).shown
    return TrainSet(clips, case.videos, Team(), num_workers=workers, max_failures=0, speeds=shown).epoch


def run(epoch: Epoch, number: int, step: Step | None, device: torch.device) -> tuple[float, float, int]:
    """Run an epoch, or read it only if `step` is None; return its seconds, those spent waiting for data, its steps."""
    waited, steps, began = 0.0, 0, time.perf_counter()
    mark = began
    for batch in epoch(number):
        waited += time.perf_counter() - mark
        if step is not None:
            step.train(steps, step.prepare(batch))
            devices.wait(device)
        steps += 1
        mark = time.perf_counter()
    return time.perf_counter() - began, waited, steps


def measure(paths: list[Path], case: Case, ways: list[str], *, device: torch.device, args: argparse.Namespace) -> Any:
    """Return for each way the seconds per step of epochs, of reading alone and of training alone."""
    with tempfile.TemporaryDirectory() as folder:
        ready: dict[str, tuple[Epoch, Step, Way]] = {}
        for text in ways:
            way = Way.parse(text)
            way.settle(device)
            epochs = literal_epochs if way.literal else partial(our_epochs, folder=folder)
            ready[text] = epochs(paths, case, args.workers), make(case, way, device), way
        rounds: dict[str, list[tuple[float, float, int]]] = {text: [] for text in ways}
        found: dict[str, dict[str, float]] = {}
        for number in range(args.epochs + 1):
            for text, (epoch, step, way) in ready.items():
                way.settle(device)
                rounds[text].append(run(epoch, number, step, device))
        for text, (epoch, step, way) in ready.items():
            way.settle(device)
            seconds, waited, steps = zip(*rounds[text][1:])
            alone, _, made = run(epoch, args.epochs + 1, None, device)
            found[text] = {
                "step": statistics.median(seconds) / steps[0],
                "waited": statistics.median(waited) / steps[0],
                "reading_alone": alone / made,
                "training_alone": devices.median_seconds(partial(step, 0), device, repeats=5),
                "videos_per_second": case.videos * steps[0] / statistics.median(seconds),
            }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--ways", help="separated by commas")
    parser.add_argument("--videos", type=int, help="videos in a step (default: as published on each GPU, 8 on a CPU)")
    parser.add_argument("--size", type=int, help="side of a clip in pixels (default: as published)")
    parser.add_argument("--width", type=int, help="width of the network (default: as published)")
    parser.add_argument("--most", type=int, default=256, help="most videos to use of the folder")
    parser.add_argument("--workers", type=int, help="reading processes (default: one less than there are cores)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json")
    args = parser.parse_args()
    device = torch.device(args.device)
    args.workers = max(1, cores() - 1) if args.workers is None else args.workers
    case = Case.of(args.network, args.videos or (None if device.type == "cuda" else 8), args.size, args.width)
    paths = sorted(path for path in args.folder.rglob("*") if path.suffix in (".mp4", ".avi", ".webm"))
    paths = [paths[at] for at in np.random.default_rng(0).permutation(len(paths))[: args.most]]
    ways = (args.ways or WAYS[device.type]).split(",")
    found = measure(paths, case, ways, device=device, args=args)
    print(f"{args.network}, {len(paths)} videos, {case.videos} a step, {args.workers} workers")
    for text, each in found.items():
        bound = "reading" if each["reading_alone"] > each["training_alone"] else "training"
        print(
            f"  {text:24s} {each['step']:.3f} s a step, {each['waited']:.3f} of them waiting for data; alone: reading "
            f"{each['reading_alone']:.3f}, training {each['training_alone']:.3f}; bound by {bound}; "
            f"{each['videos_per_second']:.1f} videos a second"
        )
    if args.json:
        about = {"device": devices.describe(device), "workers": args.workers, "videos": case.videos, "ways": found}
        Path(args.json).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
