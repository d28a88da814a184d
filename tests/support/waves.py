"""Videos of a wave that moves at its own pace while the picture gets brighter, and encoders for one aspect each."""

import math

import numpy as np
from torch import nn

from rspnet.clipspec import ClipSpec
from rspnet.data.augment import normaliser
from rspnet.data.index import new_row, to_dataset
from rspnet.data.sets import Failures, TestSet
from rspnet.data.speed_clips import SPEEDS, SpeedClips
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.played import play_videos
from rspnet.running.team import Team
from rspnet.video.reader import encode

CLIP = ClipSpec(6, 32, (0.5,) * 3, (0.5,) * 3, views=2)  # 21 frames at 4x, 11 at 2x


def write_waves(root, number, frames=40, first=0):
    """Write videos 000.mp4 and so on."""
    y, x = np.mgrid[:32, :32]
    for video in range(first, first + number):
        rng = np.random.default_rng(video)
        pace, way, colour = rng.uniform(0.5, 1.5), rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 1, 3)
        pictures = []
        for time in range(frames):
            phase = 2 * math.pi * (x * math.cos(way) + y * math.sin(way) + pace * time) / 32
            grey = 70 + 50 * np.sin(phase) + 80 * time / frames
            pictures.append((grey[..., None] * colour).astype(np.uint8))
        encode(root / f"{video:03d}.mp4", pictures, fps=25, crf=0, x264_preset="ultrafast")
    return root


def index_of(root, names=None):
    """Index all videos in a folder, or those of these names."""
    names = sorted(path.name for path in root.glob("*.mp4")) if names is None else names
    return to_dataset([new_row(name, str(root)) for name in names], root / "cache")


class Mean(nn.Module):
    """The mean picture at low resolution, which does not depend on the order of the frames."""

    def forward(self, views):
        return nn.functional.avg_pool2d(views.mean((1, 3)), 8).flatten(1)


class Differences(nn.Module):
    """The mean change from frame to frame."""

    def forward(self, views):
        return views.diff(dim=3).abs().mean((1, 3, 4, 5))


class Brighter(nn.Module):
    """By how much the last frame is brighter than the first."""

    def forward(self, views):
        return (views[:, :, :, -1] - views[:, :, :, 0]).mean((1, 3, 4))


def shown(network, index, accelerator, plays, *, clip=CLIP, seed=0, batch=5):
    """Return `play_videos` for the videos of an index and a network that maps views to features."""
    clips = SpeedClips(index, clip, SPEEDS, seed=seed, time_limit=60.0)
    forward = Forward(network, normaliser(clip), accelerator=accelerator, team=Team())
    videos = TestSet(clips, Failures(index, 50.0), batch=batch, team=Team(), num_workers=0)
    return play_videos(forward, videos, plays, desc="waves")
