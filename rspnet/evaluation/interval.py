"""95 % confidence intervals over videos, over the films that they come from, and over draws."""

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

_Z = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
_DRAWS, _T = 10, 2.2621571627982053  # likewise of Student's t with 9 degrees of freedom
Ends = tuple[float, float]
"""Lower and upper end of an interval."""

_RESAMPLES = 10_000
_AT_ONCE = 1 << 22  # counts drawn at a time, to bound memory


def interval(percent: float, number: int) -> Ends:
    """Return the 95 % interval of Wilson (1927) for a share, in percent.

    It covers the choice of the videos from many, not other seeds or folds.

    Args:
        percent: The share found, 0 to 100.
        number: Number of videos, at least 1.
    """
    share, spread = percent / 100, _Z * _Z / number
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / number + spread / (4 * number)) / (1 + spread)
    # For 0 and 100 one end is exactly the share itself; rounding would miss it by 5.6e-15.
    return (0.0 if percent == 0 else 100 * (middle - half)), (100.0 if percent == 100 else 100 * (middle + half))


def bootstrap(
    values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> list[Ends | None]:
    """Return the 95 % intervals of means, by the percentile bootstrap (Efron 1979) over groups.

    Videos of one film resemble each other, so they are not independent evidence: films are resampled, each with all of
    its videos.

    Args:
        values: (N, K), K numbers of each video.
        groups: Group (film) of each video; None if each video is a group of its own.
        seed: Seed of the draws.

    Returns:
        (low, high) of each of the K means; None for each if there is only one group, because nothing then shows how
        much others would differ.
    """
    if _number(values, groups) == 1:
        return [None] * values.shape[1]
    low, high = np.percentile(resampled(values, groups, seed=seed), (2.5, 97.5), axis=0)
    return list(zip(low.tolist(), high.tolist()))


def resampled(
    values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return the means (R, K) of R resamples of the groups, which are the same for all K.

    Args:
        values: (N, K), K numbers of each video.
        groups: As for `bootstrap`.
        seed: Seed of the draws.
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
    """Return the 95 % intervals of mean shares in percent: by the bootstrap, or Wilson's if all resamples are equal.

    If all videos are right, or all wrong, all resamples are equal; the interval is then Wilson's for that number of
    films, or videos. If every video has the same value in between, such as 50, it is scaled: half of Wilson's for all
    right below, and half of that for all wrong above.

    Args:
        values: (N, K), K shares of each video, 0 to 100.
        groups: As for `bootstrap`.
    """
    (low, _), (_, high) = (interval(percent, _number(values, groups)) for percent in (100, 0))
    return _where_it_tells(values, groups, lambda mean: (mean / 100 * low, mean + (100 - mean) / 100 * high))


def of_differences(values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None = None) -> list[Ends | None]:
    """Return the 95 % intervals of mean paired differences: by the bootstrap, or Wilson's if all resamples are equal.

    For two networks that are right on exactly the same videos all resamples are 0. The share of videos on which only
    one of them is right is then 0 too, and the interval reaches as far as Wilson's for 0, in either direction.

    Args:
        values: (N, K), K differences of each video, -100 to 100.
        groups: As for `bootstrap`.
    """
    left_open = interval(0, _number(values, groups))[1]
    return _where_it_tells(values, groups, lambda mean: (max(-100.0, mean - left_open), min(100.0, mean + left_open)))


def _where_it_tells(
    values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None, reach: Callable[[float], Ends]
) -> list[Ends | None]:
    """Return the bootstrap's intervals, or `reach` of the mean if all resamples are equal."""
    return [
        reach(mean) if ends and math.isclose(*ends, abs_tol=1e-9) else ends
        for mean, ends in zip(values.mean(axis=0).tolist(), bootstrap(values, groups))
    ]


def of_draws(values: Sequence[float], *, least: float = 0.0) -> Ends | None:
    """Return the 95 % interval of the mean over draws, by Student's t, as far as the mean can lie in it.

    It covers the draw of the training videos, not the choice of the test videos.

    Args:
        values: Values of ten draws, in percent.
        least: The smallest possible value; -100 for differences.

    Returns:
        (low, high); None if all draws give the same value, for example because each takes all videos of small
        classes: this shows nothing about other videos.

    Raises:
        ValueError: There are not ten values.
    """
    if len(values) != _DRAWS:
        raise ValueError(f"{len(values)} draws; the quantile of Student's t is known here for {_DRAWS} only")
    if math.isclose(min(values), max(values), abs_tol=1e-9):  # v-measures of 100 differ by rounding
        return None
    half = _T * stdev(values) / math.sqrt(_DRAWS)
    return max(least, fmean(values) - half), min(100.0, fmean(values) + half)


def _number(values: npt.NDArray[np.float64], groups: Sequence[Hashable] | None) -> int:
    return len(values) if groups is None else len(set(groups))


def _numbers(groups: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(group, len(known)) for group in groups])
