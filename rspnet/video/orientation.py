"""The orientation of a picture: quarter turns and mirrors, as containers and codecs specify them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from av.sidedata import sidedata
from av.video.frame import VideoFrame

Pixels = npt.NDArray[np.uint8]
"""Pixels of pictures, an array of any number of dimensions."""


class Orientation(NamedTuple):
    """One of the eight orientations of a picture, as operations on the stored picture, in this order.

    Attributes:
        transposed: rows and columns are swapped.
        upside_down: then the order of the rows is reversed.
        mirrored: then the order of the columns is reversed.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def apply(self, picture: Pixels) -> Pixels:
        """Return a view of the stored picture (H, W, ...) as it is shown."""
        picture = picture.swapaxes(0, 1) if self.transposed else picture
        return picture[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Convert height and width of the stored picture to those of the shown one, or the other way round."""
        return (width, height) if self.transposed else (height, width)


UPRIGHT = Orientation()
"""The orientation of a picture that is shown as it is stored."""


def orientation(frame: VideoFrame) -> Orientation:
    """Return how a frame is to be shown, from its display matrix.

    The matrix is the container's (mp4, mov, mkv), else the codec's own (an SEI message in H.264 or HEVC, Exif in JPEG).
    An angle is rounded to the nearest quarter turn, and scale and translation are ignored.
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
    """Make a member for a kind of side data that PyAV has no name for."""
    kind: sidedata.Type = object.__new__(kinds)
    vars(kind).update(_name_=f"KIND_{value}", _value_=value)
    return kind


if "_missing_" not in vars(sidedata.Type):  # PyAV 18 fails on kinds that are newer than its list, such as Exif
    sidedata.Type._missing_ = classmethod(_newer_kind)  # type: ignore[assignment, method-assign]  # on purpose
