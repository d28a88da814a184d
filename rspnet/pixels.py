"""From decoded frames to the pixels of a clip: RGB, upright, cropped, resized.

The rule is the published code's: libswscale's RGB of the whole frame, then bilinear, align_corners False, without
antialiasing. Bytes stay bytes; the published code resizes in float and keeps the fractions. Against that, a value is
at most one grey level off before rounding, 0.24 in the mean, PSNR 58 dB. Resizing the planes of luma and chroma and
converting the small picture was tried: hardly faster with torch's resize, and PSNR falls to 41 to 47 dB.
"""

from collections.abc import Sequence

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from rspnet.errors import VideoError
from rspnet.packets import displayed_size, quarter_turns

Crop = tuple[int, int, int, int]
"""Top, left, height, width; pixels."""


class Converter:
    """Frames of one video to RGB, in the size of the first one, should a video change it.

    Attributes:
        size: height and width after rotation, pixels; None before the first frame.
    """

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self.size = size
        self._reformat = VideoReformatter().reformat
        self._last: tuple[VideoFrame | None, np.ndarray | None] = None, None

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """The whole frame, uint8 (H, W, 3), upright.

        Raises:
            FFmpegError, ValueError: libswscale does not know its format.
        """
        self.size = self.size or displayed_size(frame)
        if self._last[0] is frame:  # for another crop
            return self._last[1]
        quarters = quarter_turns(frame)
        height, width = self.size[:: -1 if quarters % 2 else 1]
        plane = self._reformat(frame, width=width, height=height, format="rgb24", threads=1).planes[0]
        rgb = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, : 3 * width]
        rgb = np.rot90(rgb.reshape(height, width, 3), quarters)
        self._last = frame, rgb
        return rgb


class Album:
    """The clips of one video, filled frame by frame.

    Args:
        path: of the video, for messages.
        clips: for each clip its frame indices and its crop; None is the whole frame.
        size: see `Canvas`.
        converter: of the video.
    """

    def __init__(
        self, path: str, clips: Sequence[tuple[Sequence[int], Crop | None]], size: int | None, converter: "Converter"
    ) -> None:
        self._path = path
        self._clips = clips
        self._side = size
        self._converter = converter
        self._places: dict[Crop, dict[int, int]] = {}  # crop -> frame index -> place on its canvas
        self._canvases: dict[Crop, Canvas] = {}

    def put(self, index: int, frame: VideoFrame) -> None:
        """Take a frame for all clips that show it; should one come twice, the second counts.

        Raises:
            VideoError: a crop leaves the picture, or its pixels cannot be converted.
        """
        self._converter.size = self._converter.size or displayed_size(frame)
        self._lay_out()
        try:
            for crop, canvas in self._canvases.items():
                if index in self._places[crop]:
                    canvas.put(self._places[crop][index], frame)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"{self._path}: {frame.format.name} pixels cannot be converted ({error})") from None

    def finish(self) -> list[np.ndarray]:
        """The clips; the size of the video must be known.

        Raises:
            VideoError: as from `put`.
        """
        self._lay_out()
        clips = []
        for indices, crop in self._clips:
            canvas, places = self._canvases[self._box(crop)], self._places[self._box(crop)]
            canvas.finish()
            rows = [places[int(index)] for index in indices]
            if rows and rows == list(range(rows[0], rows[0] + len(rows))):
                clips.append(canvas.pictures[rows[0] : rows[0] + len(rows)])
            else:
                clips.append(canvas.pictures[np.array(rows, int)])
        return clips

    def _lay_out(self) -> None:
        if self._canvases:
            return
        wanted: dict[Crop, set[int]] = {}
        for indices, crop in self._clips:
            wanted.setdefault(self._box(crop), set()).update(map(int, indices))
        for crop, frames in wanted.items():
            self._places[crop] = {index: place for place, index in enumerate(sorted(frames))}
            self._canvases[crop] = Canvas(self._converter, crop, self._side, len(frames))

    def _box(self, crop: Crop | None) -> Crop:
        full_height, full_width = self._converter.size
        top, left, height, width = (0, 0, full_height, full_width) if crop is None else map(int, crop)
        if not (0 <= top < top + height <= full_height and 0 <= left < left + width <= full_width):
            frame = f"the {full_height} x {full_width} frame"
            raise VideoError(f"{self._path}: crop {tuple(crop)} (top, left, height, width) leaves {frame}")
        return top, left, height, width


class Canvas:
    """The pictures of one crop, whose frames come one by one.

    Args:
        converter: of the video.
        crop: the part to cut out.
        size: S, the side to resize to, pixels; None leaves the crop's size.
        count: how many pictures there will be.

    Attributes:
        pictures: uint8 (count, S, S, 3) or (count, height, width, 3).
    """

    def __init__(self, converter: Converter, crop: Crop, size: int | None, count: int) -> None:
        top, left, height, width = crop
        self._converter = converter
        self._part = slice(top, top + height), slice(left, left + width)
        self._size = size
        self.pictures = np.empty((count, size or height, size or width, 3), np.uint8)
        # Four at a time: fewer calls, and still little enough for the processor's cache.
        self._waiting = np.empty((4, height, width, 3), np.uint8) if size and crop[2:] != (size, size) else None
        self._places: list[int] = []

    def put(self, place: int, frame: VideoFrame) -> None:
        """Take a frame as picture number `place`; a later one takes its place.

        Raises:
            FFmpegError, ValueError: libswscale does not know its format.
        """
        part = self._converter.rgb(frame)[self._part]
        if self._waiting is None:
            self.pictures[place] = part
            return
        self._waiting[len(self._places)] = part
        self._places.append(place)
        if len(self._places) == len(self._waiting):
            self.finish()

    def finish(self) -> None:
        """Resize what was put so far; called once after the last frame."""
        if self._places:
            resized = _resize(self._waiting[: len(self._places)], self._size)
            for place, picture in zip(self._places, resized):
                self.pictures[place] = picture
            self._places.clear()


def _resize(pictures: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, H, W, 3) to (N, size, size, 3): bilinear, align_corners False, no antialiasing.

    Torch's path for bytes works with 8 bits between rows and columns: one value in five is one off. It is three times
    faster than the way through float.
    """
    import torch  # takes seconds to import, and not every caller resizes

    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    images = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return images.permute(0, 2, 3, 1).numpy()
