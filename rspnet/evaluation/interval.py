"""How far a percentage of so many videos can be trusted."""

import math

_Z = 1.959963984540054  # of the normal distribution, two-sided 95 %


def interval(percent: float, number: int) -> tuple[float, float]:
    """Return the 95 % interval of Wilson (1927) for a share, percent.

    It is of these videos as a draw from many: it says nothing of other seeds or folds.

    Args:
        percent: The share that was found, 0 to 100.
        number: Of how many videos, at least 1.
    """
    share, spread = percent / 100, _Z * _Z / number
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / number + spread / (4 * number)) / (1 + spread)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)
