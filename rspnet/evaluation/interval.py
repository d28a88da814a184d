"""How far a number can be trusted: 95 % intervals over videos, over the films that they come from, and over draws."""

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

_Z = 1.959963984540054  # of the normal distribution, two-sided 95 %
_DRAWS, _T = 10, 2.2621571627982053  # likewise of Student's t with 9 degrees of freedom
Ends = tuple[float, float]
"""Of an interval."""

_RESAMPLES = 10_000
_AT_ONCE = 1 << 22  # counts that are drawn at a time


def interval(percent: float, number: int) -> Ends:
    """Return the 95 % interval of Wilson (1927) for a share, percent.

    It is of these videos as a draw from many: it says nothing of other seeds or folds.

    Args:
        percent: The share that was found, 0 to 100.
        number: Of how many videos, at least 1.
    """
    share, spread = percent / 100, _Z * _Z / number
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / number + spread / (4 * number)) / (1 + spread)
    # Of none and of all, an end is the share itself: rounding would leave 5.6e-15 of it.
    return (0.0 if percent == 0 else 100 * (middle - half)), (100.0 if percent == 100 else 100 * (middle + half))


def bootstrap(
    values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> list[Ends | None]:
    """Return the 95 % intervals of means, by the percentiles of the bootstrap (Efron 1979).

    Videos of one film resemble each other: of two that are told right together only one is news. So it is the films
    that are drawn, each with all its videos.

    Args:
        values: (N, K), of each video K numbers.
        groups: What each video is of; None: each is of its own.
        seed: Of the draws.

    Returns:
        (low, high) of each of the K means; None for each where there is one group alone, of which every draw is the
        same: nothing tells what another one would give.
    """
    if _number(values, groups) == 1:
        return [None] * values.shape[1]
    low, high = np.percentile(resampled(values, groups, seed=seed), (2.5, 97.5), axis=0)
    return list(zip(low.tolist(), high.tolist()))


def resampled(
    values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return the means (R, K) of R draws of as many groups as there are, the same ones for all K.

    Args:
        values: (N, K), of each video K numbers.
        groups: As for `bootstrap`.
        seed: Of the draws.
    """
    _, members = np.unique(np.arange(len(values)) if groups is None else _numbers(groups), return_inverse=True)
    number = int(members.max()) + 1
    sums, sizes = np.zeros((number, values.shape[1])), np.bincount(members, minlength=number).astype(np.float64)
    np.add.at(sums, members, values)
    rng, means = np.random.default_rng(seed), []
    left = _RESAMPLES
    while left:
        some = min(left, max(1, _AT_ONCE // number))
        times = rng.multinomial(number, np.full(number, 1 / number), size=some)
        means.append((times @ sums) / (times @ sizes)[:, None])
        left -= some
    return np.concatenate(means)


def of_shares(values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None) -> list[Ends | None]:
    """Return the 95 % intervals of mean shares, percent: by the bootstrap, or where it cannot tell, as Wilson does.

    Of videos that are all right, or all wrong, every draw is the same; Wilson's interval says what so many films, or
    videos, leave open. Where all are right by half, say, as much of each half is open.

    Args:
        values: (N, K), of each video K shares of 0 to 100.
        groups: As for `bootstrap`.
    """
    (low, _), (_, high) = (interval(percent, _number(values, groups)) for percent in (100, 0))
    return _where_it_tells(values, groups, lambda mean: (mean / 100 * low, mean + (100 - mean) / 100 * high))


def of_differences(values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None) -> list[Ends | None]:
    """Return the 95 % intervals of mean paired differences: by the bootstrap, or where it cannot tell, as Wilson does.

    Of two networks that are right on the same videos every draw is the same, 0. What so many films, or videos, leave
    open is a share on which one alone is right: Wilson's for none of them, either way.

    Args:
        values: (N, K), of each video K differences of -100 to 100.
        groups: As for `bootstrap`.
    """
    left_open = interval(0, _number(values, groups))[1]
    return _where_it_tells(values, groups, lambda mean: (max(-100.0, mean - left_open), min(100.0, mean + left_open)))


def _where_it_tells(
    values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None, reach: Callable[[float], Ends]
) -> list[Ends | None]:
    """The bootstrap's intervals; where every draw is the same, what is within reach of the mean."""
    return [
        reach(mean) if ends and math.isclose(*ends, abs_tol=1e-9) else ends
        for mean, ends in zip(values.mean(axis=0).tolist(), bootstrap(values, groups))
    ]


def of_draws(values: Sequence[float]) -> Ends | None:
    """Return the 95 % interval of the mean over draws, by Student's t.

    It says how much the draw of what was learnt from matters, not the choice of the test videos.

    Args:
        values: Of ten draws.

    Returns:
        (low, high); None where all draws give the same, as where each takes all videos of small classes: they tell
        nothing of others.

    Raises:
        ValueError: They are more or fewer.
    """
    if len(values) != _DRAWS:
        raise ValueError(f"{len(values)} draws; Student's t is known here for {_DRAWS}")
    if min(values) == max(values):
        return None
    half = _T * stdev(values) / math.sqrt(_DRAWS)
    return fmean(values) - half, fmean(values) + half


def _number(values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None) -> int:
    return len(values) if groups is None else len(set(groups))


def _numbers(groups: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(group, len(known)) for group in groups])
