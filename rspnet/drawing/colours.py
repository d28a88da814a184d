"""Numbers as colours from black over red to light yellow (inferno): the lighter, the more, also in grey print."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rspnet.drawing.text import Pixels

Floats = npt.NDArray[np.floating[Any]]

_SAME = 1e-5
"""Of the largest number: what differs by less differs by rounding."""
_GRAY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Scale:
    """From which number to which the colours go.

    Attributes:
        low: what is drawn darkest.
        high: what is drawn lightest.
    """

    low: float
    high: float

    @classmethod
    def of(cls, numbers: Floats) -> "Scale":
        """From the least of them to the largest."""
        return cls(float(numbers.min()), float(numbers.max()))

    @property
    def is_flat(self) -> bool:
        """Whether all numbers are one, give or take rounding: then there is nothing to see."""
        return self.high - self.low <= _SAME * max(abs(self.low), abs(self.high))

    def levels(self, numbers: Floats) -> Floats:
        """Numbers as parts of the scale, 0 to 1; all 0 where it is flat."""
        if self.is_flat:
            return np.zeros_like(numbers)
        parts: Floats = (numbers - self.low) / (self.high - self.low)
        return np.clip(parts, 0, 1)


def coloured(levels: Floats) -> Pixels:
    """Levels (..., H, W) from 0 to 1 as colours (..., H, W, 3)."""
    flat = np.rint(levels * 255).astype(np.uint8).reshape(-1, levels.shape[-1])
    colours = cv2.applyColorMap(flat, cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.ascontiguousarray(colours.reshape(*levels.shape, 3), np.uint8)


def overlaid(pictures: Pixels, levels: Floats) -> Pixels:
    """Colours half and half with the pictures (..., H, W, 3), which turn grey so as not to be taken for them."""
    gray = (pictures.astype(np.float32) @ _GRAY)[..., None]
    mixed: Pixels = np.rint((gray + coloured(levels)) / 2).astype(np.uint8)
    return mixed


def bar(height: int, width: int) -> Pixels:
    """All colours in their order from left to right, (height, width, 3)."""
    return coloured(np.tile(np.linspace(0, 1, width), (height, 1)))
