"""A confusion matrix as a picture: rows are true classes, columns predicted ones."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rspnet.drawing.colours import coloured
from rspnet.drawing.text import Pixels, length, write

_SIDE, _MOST = 800, 48
"""Most pixels of a row of cells, for up to that many classes, and of one cell."""
_LETTERS, _NAME = 12, 200
"""Height of letters in pixels, which cells need at least for their rows to be named, and most pixels of a name."""


def confusion(counts: npt.NDArray[np.integer], names: Sequence[str]) -> Pixels:
    """Draw the share of each row's videos in each cell, from black (none) to light yellow (all).

    Args:
        counts: number of videos (C, C).
        names: names of the C classes; written beside their rows if there is room.

    Returns:
        RGB (H, W, 3); for up to 800 classes at most 800 pixels high and 1008 wide.
    """
    side = min(_MOST, max(1, _SIDE // len(names)))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cells = coloured(shares.astype(np.float32)).repeat(side, 0).repeat(side, 1)
    if side < _LETTERS:
        return cells
    margin = min(_NAME, max(length(name, _LETTERS) for name in names)) + 8
    picture = np.full((len(cells), margin + len(cells), 3), 255, np.uint8)
    picture[:, margin:] = cells
    for row, name in enumerate(names):
        write(picture, name, place=(4, row * side + (side - _LETTERS) // 2), width=margin - 8, size=_LETTERS)
    return picture
