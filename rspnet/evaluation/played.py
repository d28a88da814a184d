"""A network's features of clips that are played in several ways: at each speed, and backwards.

Two controls show how much of an answer is in the pictures alone. *Shuffled*: the clip's frames in random order, which
keeps all pictures but no motion. *Still*: the first frame that is shown, repeated.

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
        speed: playback speed; 1 is normal.
        order: order of its frames.
        backwards: whether what is shown is reversed; a still then shows the clip's last frame.
    """

    speed: int
    order: Order = "real"
    backwards: bool = False

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """Play clips (N, T, ...) that were read at this speed; each has a seed, by which it is shuffled if at all."""
        if self.order == "still":
            return clips[:, -1:].expand_as(clips) if self.backwards else clips[:, :1].expand_as(clips)
        if self.order == "shuffled":
            orders = [np.random.default_rng([seed, self.speed]).permutation(clips.shape[1]) for seed in seeds]
            clips = torch.stack([clip[torch.from_numpy(order)] for clip, order in zip(clips, orders)])
        return clips.flip(1) if self.backwards else clips


@dataclass(frozen=True)
class Played:
    """The features of M videos that can be read, for every way to play them, averaged over the places.

    Attributes:
        outputs: for each video the highest speed that it is long enough for, then its D features for each of `plays`.
        plays: the ways to play, in that order.
        picker: the picker that chose the clips.
    """

    outputs: Outputs
    plays: tuple[Play, ...]
    picker: SpeedPicker

    @property
    def tops(self) -> Tensor:
        """The highest speed (M,) that each video is long enough for; 0 if it is too short for any."""
        return self.outputs.values[:, 0].long()

    def features(self, play: Play) -> Tensor:
        """Return the features (M, D) of one way to play; meaningless for videos that are too short for its speed."""
        return self.outputs.values[:, 1:].chunk(len(self.plays), dim=1)[self.plays.index(play)]


def play_videos(forward: Forward, videos: TestSet, plays: Iterable[Play], *, desc: str) -> Played:
    """Play each video of a list in several ways, reading it once.

    Args:
        forward: the network, which averages over places.
        videos: test set of `rspnet.data.speed_clips.SpeedClips` of the list.
        plays: the ways to play; repeated ones are computed once.
        desc: what the videos are, for the progress bar and messages.

    Raises:
        VideoError: as for `rspnet.evaluation.predict.predict`.
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
