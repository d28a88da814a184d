"""A network's features of clips that are played in several ways: at each speed, and backwards.

Two controls say how much of an answer lies in the pictures alone. *Shuffled*: the clip's frames in an order that is
drawn, so that all pictures are there, and no motion. *Still*: one frame repeated, the first that is shown.

N videos, V places in each, T frames, D values per feature.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from rspnet.data.batches import Batch
from rspnet.data.sets import TestSet
from rspnet.data.speed_clips import SpeedBatch, SpeedClips, SpeedPicker
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predict import Outputs, outputs_of

Order = Literal["real", "shuffled", "still"]
CONTROLS: tuple[Order, ...] = ("shuffled", "still")


class Play(NamedTuple):
    """A way to play a clip.

    Attributes:
        speed: 1 normal.
        order: of its frames.
        backwards: of what is shown, the last frame first. A still then shows the clip's last frame.
    """

    speed: int
    order: Order = "real"
    backwards: bool = False

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """Play clips of this speed (N, T, ...), each shuffled by its seed, where they are shuffled."""
        if self.order == "still":
            return clips[:, -1:].expand_as(clips) if self.backwards else clips[:, :1].expand_as(clips)
        if self.order == "shuffled":
            orders = [np.random.default_rng([seed, self.speed]).permutation(clips.shape[1]) for seed in seeds]
            clips = torch.stack([clip[torch.from_numpy(order)] for clip, order in zip(clips, orders)])
        return clips.flip(1) if self.backwards else clips


@dataclass(frozen=True)
class Played:
    """The features of videos that can be read, for every way to play them, averaged over the places.

    Attributes:
        outputs: of each the highest speed that it is long enough for, then the features one after the other.
        plays: the ways, in that order.
        picker: chose the clips.
    """

    outputs: Outputs
    plays: tuple[Play, ...]
    picker: SpeedPicker

    @property
    def tops(self) -> Tensor:
        """The highest speed (M,) of each video; 0: none."""
        return self.outputs.values[:, 0].long()

    def features(self, play: Play) -> Tensor:
        """Those of one way (M, D); of videos that are too short for its speed they mean nothing."""
        return self.outputs.values[:, 1:].chunk(len(self.plays), dim=1)[self.plays.index(play)]


def play_videos(forward: Forward, videos: TestSet, plays: Iterable[Play], *, desc: str) -> Played:
    """Play each video of a list in several ways, reading it once.

    Args:
        forward: the network, which averages over places.
        videos: `rspnet.data.speed_clips.SpeedClips` of the list.
        plays: the ways; each once, whoever asks for it.
        desc: what the videos are, for the progress bar and messages.

    Raises:
        VideoError: as `rspnet.evaluation.predict.predict`.
    """
    clips, ways = cast(SpeedClips, videos.clips), tuple(dict.fromkeys(plays))
    speeds = clips.picker.speeds

    def features(batch: Batch) -> Tensor:
        seeds, tops = batch["seeds"].T.tolist(), cast(SpeedBatch, batch)["top"]
        found = []
        for play in ways:
            places = batch["clips"][speeds.index(play.speed) :: len(speeds)]
            found.append(forward([play(view, own) for view, own in zip(places, seeds, strict=True)], videos.size))
        return torch.cat([tops[:, None].to(found[0]), *found], dim=1)

    return Played(outputs_of(features, videos, desc), ways, clips.picker)
