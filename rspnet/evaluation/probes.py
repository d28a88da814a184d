"""What features tell of motion, without labels: which of two clips plays faster, and which plays backwards.

Both are one question, put to features that stay as they are: in which order do these two clips stand? A linear probe
(`rspnet.evaluation.linear`) on the difference of the two features learns it on some videos, and is tested on others.
Chance is 50 %. Two controls are learnt and tested in the same way on clips without motion (`rspnet.evaluation.played`):
what is found there as well is in the pictures. A draw, between features that are the same, counts as half right.

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

_NOISE = 1e-5  # of a feature's size: smaller differences are float32's rounding, which standardising would blow up
_CHANCE = 50.0
_LEAST = {"speed": 2, "arrow_of_time": 1}  # speed that a video must be long enough for
_ORDERS: tuple[Order, ...] = ("real", *CONTROLS)


class Pairs(NamedTuple):
    """Pairs of clips of videos.

    Attributes:
        first: features of the clips that are asked for (P, D).
        second: of those beside them (P, D).
        video: of which video each pair is (P,), a place among those that can be read.
        kind: of which kind of pair it is (P,), from 0.
    """

    first: Tensor
    second: Tensor
    video: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]


def told(known: Pairs, tested: Pairs) -> Floats:
    """Whether the probe tells of each tested pair (P,) which clip is the first one: 1 right, 0 wrong, 0.5 a draw.

    It has no constant, and says the opposite where the two are exchanged: it learns each pair in both orders, with the
    penalty that suits so many pairs.

    Args:
        known: Pairs to learn from.
        tested: P pairs.
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
    """Which of two clips of a video plays faster: 1x or 2x, 1x or 4x, 2x or 4x, each from a place of its own.

    A video that is too short for a clip at 4x is asked for 1x and 2x alone; one that is too short for 2x is left out.
    *Shuffled*: the same frames, in an order that is drawn for each clip: what is told then is told by how much the
    pictures of a clip differ. *Still*: the first frame of each clip: what is told then is told by where in the video
    a clip begins.

    Args:
        tested: `PLAYS` of the videos that are tested.
        known: of those to learn from.

    Raises:
        ConfigError: too few videos are long enough.
    """
    found, right, pairs = _probed("speed", _faster, tested=tested, known=known)
    found.score["pairs"] = {
        f"{slow}x {fast}x": {"top1": 100 * float(right[pairs.kind == kind].mean()), "num_videos": number}
        for kind, (slow, fast) in enumerate(combinations(SPEEDS, 2))
        if (number := int((pairs.kind == kind).sum()))
    }
    return found


def arrow_of_time(tested: Played, known: Played) -> Found:
    """Which of two plays of one clip runs backwards: the frames as they are, or from the last to the first.

    *Shuffled*: the frames in an order that is drawn, and from its last to its first; neither is the right one, so this
    is chance whatever the network, and shows how far from 50 chance gets. *Still*: the frame that each play begins
    with: what is told then is told by what beginnings and ends look like.

    Args:
        tested: `PLAYS` of the videos that are tested.
        known: of those to learn from.

    Raises:
        ConfigError: too few videos are long enough.
    """
    found, _, _ = _probed("arrow_of_time", _backwards, tested=tested, known=known)
    return found


def remarks(names: Sequence[str], tested: Played, known: Played) -> list[str]:
    """Say which videos are too short for these probes, if some are."""
    tops, picker = torch.cat([tested.tops, known.tops]), tested.picker

    def said(short: Tensor, speed: int, what: str) -> list[str]:
        number = int(short.sum())
        are, clip = "is" if number == 1 else "are", f"a clip at {speed}x, {picker.span(speed)} frames"
        return [f"{number} of {some(len(tops), 'video')} {are} shorter than {clip}, and {what}"] if number else []

    lines = [line for name in names for line in said(tops < _LEAST[name], _LEAST[name], f"left out of {name}")]
    if "speed" in names:
        lines += said((tops >= _LEAST["speed"]) & (tops < SPEEDS[-1]), SPEEDS[-1], "asked for lower speeds alone")
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
    """What is found, whether each real pair is told right, and these pairs."""
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
    """With the numbers of the controls, and how far the real one is ahead of each, paired by video."""
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
"""How each probe wants the videos played."""
