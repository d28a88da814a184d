"""Probes of motion in frozen features, without labels: which of two clips plays faster, and which plays backwards.

Both classify pairs of clips: is a pair in this order or in the other? A linear probe (`rspnet.evaluation.linear`) on
the difference of the two features is trained on some videos and tested on others. Chance is 50 %. Two controls are
trained and tested in the same way on clips without motion (`rspnet.evaluation.played`): they show how much the pictures
alone reveal. A draw, between features that are equal, counts as half right.

P pairs of clips, N videos, D values per feature.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rspnet.console import some
from rspnet.data.held_out import FEWEST
from rspnet.data.speed_clips import SPEEDS
from rspnet.errors import ConfigError
from rspnet.evaluation.found import Floats, Found, of_videos, paired
from rspnet.evaluation.linear import linear_probe
from rspnet.evaluation.played import CONTROLS, Order, Play, Played

_NOISE = 1e-5  # of a feature's size; smaller differences are float32 rounding, which standardising would magnify
_CHANCE = 50.0
_LEAST = {"speed": 2, "arrow_of_time": 1}  # speed that a video must be long enough for
_ORDERS: tuple[Order, ...] = ("real", *CONTROLS)


class Pairs(NamedTuple):
    """Pairs of clips of videos.

    Attributes:
        first: features of the clips to be recognised, which play faster or backwards (P, D).
        second: features of the other clips (P, D).
        video: video of each pair (P,), a position among those that can be read.
        kind: kind of each pair (P,), from 0.
    """

    first: Tensor
    second: Tensor
    video: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]


def told(known: Pairs, tested: Pairs) -> Floats:
    """Return whether the probe recognises the first clip of each tested pair (P,): 1 right, 0 wrong, 0.5 a draw.

    The probe has no constant, and gives the opposite answer if the clips of a pair are exchanged, because it is trained
    on each pair in both orders (with the penalty for the number of pairs, not twice as many).

    Args:
        known: Pairs to learn from.
        tested: P pairs to test.
    """
    difference, asked = known.first - known.second, tested.first - tested.second
    size = torch.cat([known.first, known.second]).double().square().mean(0).sqrt()
    is_noise = difference.double().square().mean(0).sqrt() <= _NOISE * size
    difference, asked = (each.masked_fill(is_noise, 0) for each in (difference, asked))
    logits = linear_probe(
        torch.cat([-difference, difference]),
        torch.arange(2).repeat_interleave(len(difference)),
        torch.cat([asked, -asked]),
        num_classes=2,
        l2=difference.shape[1] / len(difference),
    )
    one, other = logits[:, 1].chunk(2)
    found: Floats = ((one - other).sign().double().numpy() + 1) / 2
    return found


def speed(tested: Played, known: Played) -> Found:
    """Probe which of two clips of a video plays faster: 1x or 2x, 1x or 4x, 2x or 4x, each from a random place.

    A video that is too short for a clip at 4x is used for 1x and 2x only; one that is too short for 2x is left out.
    Controls: *shuffled* frames, in a random order for each clip, show what is recognised by how much the pictures of a
    clip differ; *still*, the first frame of each clip, shows what is recognised by where in the video a clip begins.

    Args:
        tested: `PLAYS` of the test videos.
        known: `PLAYS` of the videos to learn from.

    Raises:
        ConfigError: Too few videos are long enough.
    """
    found, right, pairs = _probed("speed", _faster, tested=tested, known=known)
    found.score["pairs"] = {
        f"{slow}x {fast}x": {"top1": 100 * float(right[pairs.kind == kind].mean()), "num_videos": number}
        for kind, (slow, fast) in enumerate(combinations(SPEEDS, 2))
        if (number := int((pairs.kind == kind).sum()))
    }
    return found


def arrow_of_time(tested: Played, known: Played) -> Found:
    """Probe which of two plays of one clip is reversed.

    Controls: *shuffled* frames, in a random order and its reverse; neither is the right one, so this is chance for any
    network, and shows how far from 50 % chance gets. *Still*, the frame that each play begins with, shows what is
    recognised by what beginnings and ends look like.

    Args:
        tested: `PLAYS` of the test videos.
        known: `PLAYS` of the videos to learn from.

    Raises:
        ConfigError: Too few videos are long enough.
    """
    found, _, _ = _probed("arrow_of_time", _backwards, tested=tested, known=known)
    return found


def remarks(names: Sequence[str], tested: Played, known: Played) -> list[str]:
    """Return lines that say how many videos are too short for these probes, if any are."""
    tops, picker = torch.cat([tested.tops, known.tops]), tested.picker

    def said(short: Tensor, speed: int, what: str) -> list[str]:
        number = int(short.sum())
        are, clip = "is" if number == 1 else "are", f"a clip at {speed}x, {picker.span(speed)} frames"
        return [f"{number} of {some(len(tops), 'video')} {are} shorter than {clip}, and {what}"] if number else []

    lines = [line for name in names for line in said(tops < _LEAST[name], _LEAST[name], f"left out of {name}")]
    if "speed" in names:
        lines += said((tops >= _LEAST["speed"]) & (tops < SPEEDS[-1]), SPEEDS[-1], "compared at lower speeds only")
    return lines


def _faster(played: Played, order: Order) -> Pairs:
    parts = []
    for kind, (slow, fast) in enumerate(combinations(SPEEDS, 2)):
        rows = (played.tops >= fast).nonzero()[:, 0]
        one, other = (played.features(Play(each, order))[rows] for each in (fast, slow))
        parts.append(Pairs(one, other, rows.numpy(), np.full(len(rows), kind)))
    first, second, videos, kinds = zip(*parts)
    return Pairs(torch.cat(first), torch.cat(second), np.concatenate(videos), np.concatenate(kinds))


def _backwards(played: Played, order: Order) -> Pairs:
    rows = (played.tops >= 1).nonzero()[:, 0]
    one, other = (played.features(Play(1, order, each))[rows] for each in (True, False))
    return Pairs(one, other, rows.numpy(), np.zeros(len(rows), np.int64))


def _probed(
    name: str, asked: Callable[[Played, Order], Pairs], *, tested: Played, known: Played
) -> tuple[Found, Floats, Pairs]:
    """Return the outcome of a probe, which of the tested real pairs are right (P,), and these pairs."""
    pairs = asked(tested, "real")
    videos, members, times = np.unique(pairs.video, return_inverse=True, return_counts=True)
    num_known = len(np.unique(asked(known, "real").video))
    if min(len(videos), num_known) < FEWEST:
        fewest = _LEAST[name]
        raise ConfigError(
            f"protocol: {name}; only {some(num_known, 'video')} to learn from and {len(videos)} to test are as long as "
            f"a clip at {fewest}x, {tested.picker.span(fewest)} frames: give at least {FEWEST} of each, or a smaller "
            "--clips.num_frames or --clips.stride"
        )
    right = {order: told(asked(known, order), asked(tested, order)) for order in _ORDERS}
    by_video: dict[str, Floats] = {order: 100 * np.bincount(members, each) / times for order, each in right.items()}
    left_out = len(tested.tops) + len(known.tops) - len(videos) - num_known
    counts = {"num_videos": len(videos), "num_gallery": num_known, "left_out": left_out}
    rows = tested.outputs.videos.select(videos)
    found = of_videos(rows, counts | {"chance_top1": _CHANCE}, {"top1": by_video.pop("real"), **by_video})
    return _with_controls(found), right["real"], pairs


def _with_controls(found: Found) -> Found:
    """Add the accuracies of the controls, and how far the real accuracy is ahead of each, paired by video."""
    means, ends = found.values.mean(0), found.score["interval"]
    ahead = found.values[:, :1] - found.values[:, 1:]
    controls: dict[str, Any] = {}
    for place, (name, apart) in enumerate(zip(CONTROLS, paired(ahead, found.films))):
        controls[name] = {"top1": float(means[place + 1]), "interval": {"top1": ends[name]}}
        controls[name] |= {"difference": float(ahead[:, place].mean()), "difference_interval": apart}
    found.score.update(top1=float(means[0]), interval={"top1": ends["top1"]}, controls=controls)
    return found


PROBES: dict[str, Callable[[Played, Played], Found]] = {"speed": speed, "arrow_of_time": arrow_of_time}
PLAYS = {
    "speed": tuple(Play(each, order) for each in SPEEDS for order in _ORDERS),
    "arrow_of_time": tuple(Play(1, order, backwards) for order in _ORDERS for backwards in (False, True)),
}
"""The ways to play the videos that each probe needs."""
