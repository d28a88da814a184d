"""How well the two tasks, and the classes of videos, are solved without learning: two networks without weights.

    python benchmarks/controls.py INDEX [--num_frames 8] [--stride 2] [--size 48] [--json FILE]

- motion: one number for each clip, the mean absolute difference between consecutive frames.
- colours: the square root of a histogram of a clip's colours, four steps of red by four of green by four of blue.

They are measured by the code that measures a trained network: RSP and A-VID accuracy on the test videos, kNN and linear
probe, and the nearest neighbour of each video of the index among those of other films. The accuracies they reach can be
had from the amount of motion, or from the colours of a clip, alone.
"""

import argparse
import dataclasses
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import datasets
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from rspnet.cli import options
from rspnet.clipspec import ClipSpec
from rspnet.data.augment import normaliser
from rspnet.data.clip_dataset import ClipDataset, even_clips
from rspnet.data.held_out import by_label
from rspnet.data.index import load
from rspnet.data.sets import Failures, TestSet
from rspnet.data.speed_clips import SpeedClips
from rspnet.evaluation import pretext, protocols
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predict import predict
from rspnet.running.team import Team

PROTOCOLS = ("knn", "linear")


class Motion(nn.Module):
    """Maps clips (N, 3, T, H, W), pixels from 0 to 1, to one number as a point on a quarter of a circle (N, 2).

    So the closer the numbers of two clips, the larger the cosine of their features.
    """

    def forward(self, clips: Tensor) -> Tensor:
        """Return the mean difference between consecutive frames as an angle's cosine and sine."""
        angle = clips.diff(dim=2).abs().mean((1, 2, 3, 4)) * torch.pi / 2
        return torch.stack([angle.cos(), angle.sin()], dim=1)


class Colours(nn.Module):
    """Maps clips, as `Motion`, to the square roots of the shares of 64 colours (N, 64), which have unit length."""

    def forward(self, clips: Tensor) -> Tensor:
        """Return the square roots of the colours' shares of all pixels."""
        steps = (clips * 4).long().clamp(0, 3)
        names = (16 * steps[:, 0] + 4 * steps[:, 1] + steps[:, 2]).flatten(1)
        return functional.one_hot(names, 64).float().mean(1).sqrt()


class Views(nn.Module):
    """Wraps a control for the code that measures networks: maps views of videos to features, or to embeddings.

    Args:
        control: maps clips to features.
        clip: its mean and deviation are those that pixels were normalised by.
        pairs: map views (N, 4, ...) to two equal embeddings each (N, 4, 2, D); else views to features (N, D).
    """

    def __init__(self, control: Motion | Colours, clip: ClipSpec, *, pairs: bool) -> None:
        super().__init__()
        self.control, self.pairs = control, pairs
        mean, std = (torch.tensor(each).view(3, 1, 1, 1) for each in (clip.mean, clip.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, views: Tensor) -> Tensor:
        """Map views (N, V, 3, T, H, W)."""
        clips = views.flatten(0, 1) * self.std + self.mean
        found: Tensor = self.control(clips).unflatten(0, views.shape[:2])
        return torch.stack([found, found], dim=2) if self.pairs else found.mean(1)


def main() -> None:
    """Measure both controls, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("--num_frames", type=int, default=8)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    clip = ClipSpec(args.num_frames, args.size, (0.5,) * 3, (0.5,) * 3, stride=args.stride, views=3)
    found = {}
    for name, control in (("motion", Motion()), ("colours", Colours())):
        found[name] = measure(control, clip, args.index)
        print(f"{name:8s}", *(f"{key} {value:.1f}" for key, value in found[name].items()), sep="  ")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(control: Motion | Colours, clip: ClipSpec, index: Path) -> dict[str, float]:
    """Return the accuracies of a control, in percent."""
    accelerator, limits = Accelerator(cpu=True), options.DataSet().limits()

    def forward(pairs: bool) -> Forward:
        network = Views(control, clip, pairs=pairs)
        return Forward(network, normaliser(clip), accelerator=accelerator, team=Team())

    def shown(clips: ClipDataset) -> TestSet:
        return TestSet(clips, Failures(clips.index, 0), batch=16, team=Team(), num_workers=1)

    with tempfile.TemporaryDirectory() as folder:
        lists = by_label(load(index, cache_dir=folder), list(PROTOCOLS), fold=1)
        every = datasets.concatenate_datasets([videos for videos, _ in lists.named])
        outputs = [
            predict(forward(False), shown(even_clips(each, clip, **limits)), desc)
            for each, desc in [*lists.named, (every, "videos")]
        ]
        numbers = {name: getattr(protocols, name)(*outputs[:2]).score["top1"] for name in PROTOCOLS}
        numbers["retrieval"] = protocols.retrieval(outputs[2]).score["recall"]["1"]
        two = SpeedClips(lists.tested, dataclasses.replace(clip, views=2), pretext.SPEEDS, seed=0, **limits)
        embedded = pretext.embed(forward(True), shown(two), "test videos")
        score = pretext.pretext(embedded, two.picker, seed=0).score
        return numbers | {name: score[name] for name in ("rsp_accuracy", "avid_top1")}


if __name__ == "__main__":
    main()
