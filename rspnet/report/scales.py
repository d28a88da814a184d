"""Axes of charts: scales with round tick marks, and curves thinned to not too many points."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

_STEPS = (1, 2, 2.5, 5, 10)
_LARGE = 50.0


@dataclass(frozen=True)
class Scale:
    """Maps numbers to coordinates of a drawing.

    Attributes:
        marks: Numbers with a tick mark; unless `tight`, a linear scale ends at the first and the last.
        ends: The smallest and the largest number of the scale.
        places: Coordinates of these two.
        log: Whether it is logarithmic.
    """

    marks: tuple[float, ...]
    ends: tuple[float, float]
    places: tuple[float, float]
    log: bool = False

    @classmethod
    def over(
        cls, values: Iterable[float], places: tuple[float, float], *, log: bool = False, tight: bool = False
    ) -> "Scale":
        """Return a scale that covers some numbers.

        Args:
            values: The numbers, at least one; all above 0 if the scale is logarithmic.
            places: Coordinates of the scale's smallest and largest number.
            log: Whether it is logarithmic.
            tight: Whether the scale ends where the numbers do, instead of at marks; the marks are whole numbers then.
        """
        low, high = min(values := list(values)), max(values)
        if log:
            return cls(tuple(decades(low, high)), (low, high if high > low else 10 * low), places, True)
        found = marks(low, high, least=1.0 if tight else 0.0)
        if tight and high > low:
            return cls(tuple(mark for mark in found if low <= mark <= high), (low, high), places)
        return cls(tuple(found), (found[0], found[-1]), places)

    def __call__(self, value: float) -> float:
        """Return the coordinate of a number."""
        low, high = map(self._measure, self.ends)
        share = (self._measure(value) - low) / (high - low)
        return round(self.places[0] + share * (self.places[1] - self.places[0]), 1)

    def _measure(self, value: float) -> float:
        return math.log10(value) if self.log else value


def marks(low: float, high: float, *, most: int = 5, least: float = 0.0) -> list[float]:
    """Return equally spaced round numbers, the first not above `low` and the last not below `high`.

    Args:
        low: The smallest number.
        high: The largest number; if it equals `low`, the marks are around it.
        most: About the largest number of steps.
        least: Smallest step; steps are multiples of it (0: any step).
    """
    if high <= low:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    rough = max((high - low) / most, least)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [each * power for each in _STEPS if not least or each * power % least == 0]
    step = next(each for each in steps if each >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return the powers of ten between two numbers above 0; if they are fewer than two, also 2 and 5 times such."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [float(f"{factor * 10.0**power:.6g}") for power in powers for factor in factors]
        found = [mark for mark in found if low <= mark <= high]
        if len(found) > 1:
            return found
    return [low]


def wants_log(values: Sequence[float]) -> bool:
    """Whether numbers differ by factors so large that only a logarithmic scale shows them all."""
    return bool(values) and min(values) > 0 and max(values) > _LARGE * min(values)


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Thin a curve, keeping the lowest and the highest point of each stretch, and the last point of all.

    Args:
        points: (x, y).
        most: About the largest number of points to keep.
    """
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept = list[Point]()
    for start in range(0, len(points) - 1, size):
        stretch = points[start : min(start + size, len(points) - 1)]
        found = {stretch.index(min(stretch, key=_height)), stretch.index(max(stretch, key=_height))}
        kept += [stretch[place] for place in sorted(found)]
    return [*kept, points[-1]]


def _height(point: Point) -> float:
    return point[1]
