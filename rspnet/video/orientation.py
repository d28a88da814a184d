"""Which way up a picture stands: quarter turns and mirrors, as containers and codecs ask for them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from av.sidedata import sidedata
from av.video.frame import VideoFrame

Pixels = npt.NDArray[np.uint8]
"""Of pictures, in any number of dimensions."""


class Orientation(NamedTuple):
    """One of the eight ways to lay a picture. What is done to the stored picture, in this order.

    Attributes:
        transposed: rows become columns.
        upside_down: then the last row comes first.
        mirrored: then the last column comes first.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def apply(self, picture: Pixels) -> Pixels:
        """A view of the stored picture (H, W, ...) as it is shown."""
        picture = picture.swapaxes(0, 1) if self.transposed else picture
        return picture[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a shown picture from those of the stored one, or the other way round."""
        return (width, height) if self.transposed else (height, width)


UPRIGHT = Orientation()
"""Shown as it is stored."""


def orientation(frame: VideoFrame) -> Orientation:
    """How a frame is to be shown: by its display matrix, from wherever the decoder has it.

    That is the container's (mp4, mov, mkv), else the codec's own (a message in H.264 or HEVC, Exif in JPEG). Any other
    angle than a quarter turn is taken for the nearest one, and what the matrix says of scale and place is left out.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, sidedata.SideData):
        return UPRIGHT
    # Point (x, y) is shown at (a x + c y, b x + d y); libavutil/display.h.
    (a, b), (c, d) = np.frombuffer(memoryview(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, d < 0, a < 0)
    return Orientation(True, b < 0, c < 0)


def _newer_kind(kinds: type[sidedata.Type], value: int) -> sidedata.Type:
    """A nameless kind of side data."""
    kind: sidedata.Type = object.__new__(kinds)
    vars(kind).update(_name_=f"KIND_{value}", _value_=value)
    return kind


if "_missing_" not in vars(sidedata.Type):  # PyAV 18 fails on kinds that are newer than its list, such as Exif
    sidedata.Type._missing_ = classmethod(_newer_kind)  # type: ignore[assignment, method-assign]  # that is the aim
