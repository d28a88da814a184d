"""Numbers as colours from black over red to light yellow (inferno): larger is lighter, also in greyscale print."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rspnet.drawing.text import Pixels

Floats = npt.NDArray[np.floating[Any]]

_SAME = 1e-5
"""Relative to the largest number: smaller differences are rounding."""
_GRAY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Scale:
    """The range of numbers that the colours cover.

    Attributes:
        low: number that is drawn darkest.
        high: number that is drawn lightest.
    """

    low: float
    high: float

    @classmethod
    def of(cls, numbers: Floats) -> "Scale":
        """Return the scale from the smallest to the largest of some numbers."""
        return cls(float(numbers.min()), float(numbers.max()))

    @property
    def is_flat(self) -> bool:
        """Whether all numbers are the same but for rounding, so that there is nothing to see."""
        return self.high - self.low <= _SAME * max(abs(self.low), abs(self.high))

    def levels(self, numbers: Floats) -> Floats:
        """Return where numbers lie on the scale, 0 to 1; all 0 if it is flat."""
        if self.is_flat:
            return np.zeros_like(numbers)
        parts: Floats = (numbers - self.low) / (self.high - self.low)
        return np.clip(parts, 0, 1)


def coloured(levels: Floats) -> Pixels:
    """Return levels (..., H, W) from 0 to 1 as RGB colours (..., H, W, 3)."""
    flat = np.rint(levels * 255).astype(np.uint8).reshape(-1, levels.shape[-1])
    colours = cv2.applyColorMap(flat, cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.ascontiguousarray(colours.reshape(*levels.shape, 3), np.uint8)


def overlaid(pictures: Pixels, levels: Floats) -> Pixels:
    """Blend the levels' colours half and half with the pictures (..., H, W, 3), turned grey to keep the two apart."""
    gray = (pictures.astype(np.float32) @ _GRAY)[..., None]
    mixed: Pixels = np.rint((gray + coloured(levels)) / 2).astype(np.uint8)
    return mixed


def bar(height: int, width: int) -> Pixels:
    """Return a bar of all colours from the darkest on the left to the lightest, (height, width, 3)."""
    return coloured(np.tile(np.linspace(0, 1, width), (height, 1)))
