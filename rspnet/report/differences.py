"""Differences between two runs: paired by video if both predicted the same videos, else from their results."""

import math
from dataclasses import dataclass

import numpy as np

from rspnet.data.groups import films_of
from rspnet.evaluation.interval import interval, of_differences
from rspnet.report.hits import hits, share
from rspnet.report.record import Record
from rspnet.report.results import Ends


@dataclass(frozen=True)
class Difference:
    """How far one run is ahead of another, in percentage points.

    Attributes:
        protocol: What was measured.
        ahead: The difference; negative if the run is behind.
        interval: Its 95 % interval; None if all videos are of one film, which says nothing about other films.
        pairs: Number of videos that both runs have predictions of; None if the difference is not paired, which makes
            its interval wider than necessary.
        films: Number of films over which the interval is taken; None if names name no films, then it is over videos.
    """

    protocol: str
    ahead: float
    interval: Ends | None
    pairs: int | None
    films: int | None = None


def differences(one: Record, other: Record) -> list[Difference]:
    """Return how far the first run is ahead of the other, by each protocol of both that counts correct videos."""
    found = list[Difference]()
    for protocol in one.scores:
        mine, others = hits(one.lines(protocol)), hits(other.lines(protocol))
        common = sorted(video for video in mine.keys() & others.keys() if mine[video][0] == others[video][0])
        if common:
            found.append(_paired(protocol, [(mine[video], others[video]) for video in common], common))
        elif _same_videos(one, other):
            mine_share, others_share = (share(each.scores.get(protocol, {}), protocol) for each in (one, other))
            if mine_share and others_share:
                ends = newcombe(*mine_share, others_share[0], others_number=others_share[1])
                found.append(Difference(protocol, mine_share[0] - others_share[0], ends, None))
    return found


def newcombe(percent: float, number: int, others_percent: float, *, others_number: int) -> Ends:
    """Return the 95 % interval of the difference of two independent shares (Newcombe 1998, method 10).

    Args:
        percent: The first share, 0 to 100.
        number: Number of videos it is measured on.
        others_percent: The share that is subtracted.
        others_number: Number of videos that one is measured on.
    """
    (low, high), (others_low, others_high) = interval(percent, number), interval(others_percent, others_number)
    ahead = percent - others_percent
    below = math.hypot(percent - low, others_high - others_percent)
    return ahead - below, ahead + math.hypot(high - percent, others_percent - others_low)


def _paired(protocol: str, pairs: list[tuple[tuple[str, bool], tuple[str, bool]]], videos: list[str]) -> Difference:
    ahead = np.array([[100.0 * (mine[1] - others[1])] for mine, others in pairs])
    films = films_of(videos, [mine[0] for mine, _ in pairs])
    number = None if films is None else len(set(films))
    return Difference(protocol, float(ahead.mean()), of_differences(ahead, films)[0], len(pairs), number)


def _same_videos(one: Record, other: Record) -> bool:
    found = [(record.result or {}).get("data_fingerprint") for record in (one, other)]
    return found[0] is not None and found[0] == found[1]
