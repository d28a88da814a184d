"""A confusion matrix as a picture: rows are what videos are, columns what they are taken for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rspnet.drawing.colours import coloured
from rspnet.drawing.text import Pixels, length, write

_SIDE, _MOST = 800, 48
"""Pixels that the cells of a row take together, about, and that one takes at most."""
_LETTERS, _NAME = 12, 200
"""Pixels of a letter's height, which a cell must have to be named, and of the longest name."""


def confusion(counts: npt.NDArray[np.integer], names: Sequence[str]) -> Pixels:
    """Draw the share of each row's videos in each cell, from black (none) to light yellow (all).

    Args:
        counts: (C, C) videos.
        names: of the C classes; written beside their rows where there is room.

    Returns:
        RGB (H, W, 3), of 1000 x 1000 pixels or less for up to 800 classes.
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
