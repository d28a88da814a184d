"""From numbers to places on a drawing: scales with marks that people count in, and curves of not too many points."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

_STEPS = (1, 2, 2.5, 5, 10)
_LARGE = 50.0


@dataclass(frozen=True)
class Scale:
    """Maps numbers to places.

    Attributes:
        marks: Numbers with a line of their own; the first and the last are the ends of a linear scale.
        ends: The smallest and the largest number.
        places: Where these are drawn.
        log: Whether equal steps are equal factors.
    """

    marks: tuple[float, ...]
    ends: tuple[float, float]
    places: tuple[float, float]
    log: bool = False

    @classmethod
    def over(
        cls, values: Iterable[float], places: tuple[float, float], *, log: bool = False, tight: bool = False
    ) -> "Scale":
        """A scale that holds some numbers.

        Args:
            values: At least one; all above 0 where it is logarithmic.
            places: Of the smallest and of the largest.
            log: As the attribute.
            tight: Whether it ends where the numbers do, and not at marks, which are whole numbers then.
        """
        low, high = min(values := list(values)), max(values)
        if log:
            return cls(tuple(decades(low, high)), (low, high if high > low else 10 * low), places, True)
        found = marks(low, high, least=1.0 if tight else 0.0)
        if tight and high > low:
            return cls(tuple(mark for mark in found if low <= mark <= high), (low, high), places)
        return cls(tuple(found), (found[0], found[-1]), places)

    def __call__(self, value: float) -> float:
        """The place of a number."""
        low, high = map(self._measure, self.ends)
        share = (self._measure(value) - low) / (high - low)
        return round(self.places[0] + share * (self.places[1] - self.places[0]), 1)

    def _measure(self, value: float) -> float:
        return math.log10(value) if self.log else value


def marks(low: float, high: float, *, most: int = 5, least: float = 0.0) -> list[float]:
    """Round numbers, equally far apart, of which the first is not above `low` and the last not below `high`.

    Args:
        low: The smallest number.
        high: The largest; where it is the same, the marks are around it.
        most: About how many steps there are.
        least: The smallest step; others are multiples of it.
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
    """Powers of ten between two numbers above 0; where these are fewer than two, also 2 and 5 times such."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [float(f"{factor * 10.0**power:.6g}") for power in powers for factor in factors]
        found = [mark for mark in found if low <= mark <= high]
        if len(found) > 1:
            return found
    return [low]


def wants_log(values: Sequence[float]) -> bool:
    """Whether numbers are so far apart that only factors show them all."""
    return bool(values) and min(values) > 0 and max(values) > _LARGE * min(values)


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Not more points than are seen, in their order: of each stretch the lowest and the highest, and the last of all.

    Args:
        points: (x, y).
        most: How many, about.
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
