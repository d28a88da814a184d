"""Reading video files: exact frames by index, with PyAV, in one thread.

Frame n is the n-th frame that a full sequential decode of the file gives, with the display rotation applied.
Timestamps are not trusted to name it: they repeat, are missing, or are off by one in avi. Instead packets are numbered,
the decoder hands each frame out with the number of the packet it came from, and the list of packets in display order
says which number is frame n. Where that list cannot be had by demuxing alone, frames are counted from the start: slow,
always right.

Reading goes in three steps: plan (which packets to start from and to stop at), feed (packets in, wanted frames out),
convert (RGB, rotation, crop, size). packets.py knows the packets; inspection.py says what a file holds and encode.py
writes files, and both are offered here as well.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, groupby

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from rspnet.encode import encode, transcode
from rspnet.errors import VideoError
from rspnet.inspection import inspect
from rspnet.packets import (
    INDEXED_FORMATS,
    Clock,
    Order,
    Run,
    decode_all,
    displayed_size,
    open_video,
    plan_runs,
    quarter_turns,
)

__all__ = ["VIDEO_SUFFIXES", "Video", "encode", "inspect", "read_frames", "transcode"]

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg")
"""File name endings, in lower case, that the data-set layouts take for videos."""

Crop = tuple[int, int, int, int]
"""top, left, height, width in pixels."""


def read_frames(path: str | os.PathLike, indices: Sequence[int]) -> np.ndarray:
    """Read frames of a video by index.

    Args:
        path: the file.
        indices: which frames, in any order; repeats are fine.

    Returns:
        uint8 (len(indices), H, W, 3), RGB.

    Raises:
        VideoError: the file cannot be read, or has no such frame.
    """
    with Video(path) as video:
        return video.read(indices)


class Video:
    """Exact random access to the frames of one file; a context manager, so that the file is always closed.

    Args:
        path: the file.
        num_frames: frames as decoded (`inspect` with depth "decode" counts them), when known. It also settles how a
            damaged file is read: where the container promises another number, frames are counted from the start.
        time_limit: seconds that opening, counting or one call of `read` may take.

    Attributes:
        path: the file.
        fps: average frames per second, 0.0 where the file does not say.

    Raises:
        VideoError: not a video that can be opened.
    """

    def __init__(self, path: str | os.PathLike, num_frames: int | None = None, time_limit: float = 30.0) -> None:
        self.path = os.fspath(path)
        self._clock = Clock(self.path, time_limit)
        self._num_frames = num_frames
        self._order: Order | None = None
        self._scanned = False
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()
        self._open()
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def num_frames(self) -> int:
        """How many frames a full decode gives: as promised to the constructor, else counted."""
        if self._num_frames is None:
            self._clock.start()
            self._scan()
            if self._order:
                self._num_frames = len(self._order.shown)
            else:
                self._num_frames = sum(1 for _ in self._decode_all())
        return self._num_frames

    @property
    def height(self) -> int:
        """Pixels, after rotation."""
        return self._frame_size()[0]

    @property
    def width(self) -> int:
        """Pixels, after rotation."""
        return self._frame_size()[1]

    def read(self, indices: Sequence[int], crop: Crop | None = None, size: int | None = None) -> np.ndarray:
        """Read the frames of one clip.

        Args:
            indices: which frames, in any order; repeats are fine and cost nothing.
            crop: top, left, height, width of the part to cut out, pixels.
            size: resize to `size` x `size` pixels: bilinear, align_corners False, no antialiasing (as published).

        Returns:
            uint8 (len(indices), height, width, 3), RGB.

        Raises:
            VideoError: no such frame, the crop leaves the picture, the file yields fewer frames than promised, or
                the time is up.
        """
        return self.read_clips([(indices, crop)], size)[0]

    def read_clips(
        self, clips: Sequence[tuple[Sequence[int], Crop | None]], size: int | None = None
    ) -> list[np.ndarray]:
        """Read several clips in one pass: frames they share are decoded and converted once.

        Args:
            clips: for each clip its indices and its crop, as for `read`.
            size: as for `read`.

        Returns:
            One array per clip, as from `read`.

        Raises:
            VideoError: as from `read`.
        """
        self._clock.start()
        takers: dict[int, list[tuple[int, int]]] = {}  # frame -> where it goes: clip, position
        for number, (indices, _) in enumerate(clips):
            for position, index in enumerate(indices):
                takers.setdefault(int(index), []).append((number, position))
        for index in takers:
            if not 0 <= index < self.num_frames:
                raise VideoError(f"{self.path}: no frame {index}; it has {self.num_frames} frames, the first is 0")
        if not takers:
            self._frame_size()
        boxes: list[Crop] = []
        outputs = self._allocate(clips, size, boxes) if self._size else []
        for index, frame in self._frames(sorted(takers)):
            rgb = self._convert(frame)
            outputs = outputs or self._allocate(clips, size, boxes)
            for number, places in groupby(takers[index], key=lambda place: place[0]):
                top, left, height, width = boxes[number]
                part = rgb[top : top + height, left : left + width]
                outputs[number][[position for _, position in places]] = _resize(part, size) if size else part
        return outputs

    # Plan

    def _scan(self) -> None:
        """Learn the packets' display order, once, unless frames must be counted anyway."""
        if self._scanned:
            return
        self._scanned = True
        if self._container.format.name not in INDEXED_FORMATS:
            return
        self._rewind()
        order = Order.read(self._packets(), self._stream)
        if order and self._num_frames in (None, len(order.shown)):
            self._order = order

    def _frames(self, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield each wanted frame with its index. One may come twice: then the second is the right one."""
        self._scan()
        if self._order:
            try:
                for run in plan_runs(self._order, wanted):
                    yield from self._feed(run)
                return
            except (_UnexpectedError, av.FFmpegError):
                self._order = None
        left = iter(wanted)
        index = next(left, None)
        count = 0
        if index is None:
            return
        for count, frame in enumerate(self._decode_all(), 1):
            if count - 1 == index:
                yield index, frame
                index = next(left, None)
                if index is None:
                    return
        raise VideoError(
            f"{self.path}: promised {self.num_frames} frames, but only {count} decode; "
            "it may be cut or damaged: look at it with verify --depth decode"
        )

    # Feed

    def _feed(self, run: Run) -> Iterator[tuple[int, VideoFrame]]:
        """Decode one run of packets and yield the wanted frames.

        Raises:
            _UnexpectedError, FFmpegError: the seek or the decoder did not do as the packets' order says.
        """
        order = self._order
        pending = iter(run.expected)
        for number, packet in self._packets_from(run.first):
            if packet.pts != order.times[number]:
                raise _UnexpectedError
            if number >= run.first:
                # The decoder hands a frame out with the time of its packet: make that the packet's number.
                packet.pts = packet.dts = number
                yield from self._receive(packet, pending, run)
            if number == run.last:
                break
        yield from self._receive(None, pending, run)
        if next(pending, None) is not None:
            raise _UnexpectedError

    def _receive(self, packet: av.Packet | None, pending: Iterator[int], run: Run) -> Iterator[tuple[int, VideoFrame]]:
        times = self._order.times
        for frame in self._stream.codec_context.decode(packet):
            if times[frame.pts] < times[run.first]:
                continue  # shown before the key frame: it may lean on packets before it
            if frame.pts != next(pending, None):
                raise _UnexpectedError
            if frame.pts in run.wanted:
                yield run.wanted[frame.pts], frame

    def _packets_from(self, first: int) -> Iterator[tuple[int, av.Packet]]:
        """Numbered packets, from `first` or a little before it."""
        for target in dict.fromkeys((first, self._order.keys[0])):
            with suppress(av.FFmpegError):
                self._container.seek(self._order.times[target], stream=self._stream)
                packets = self._packets()
                packet = next(packets)
                number = self._order.number.get(packet.pts, first + 1)
                if number <= first:
                    return enumerate(chain([packet], packets), number)
        raise _UnexpectedError

    def _decode_all(self) -> Iterator[VideoFrame]:
        self._rewind()
        return decode_all(self._packets(), self._stream)

    def _packets(self) -> Iterator[av.Packet]:
        """The stream's packets from here on; the last one is empty and flushes the decoder."""
        self._fresh = False
        return self._clock.watch(self._container.demux(self._stream))

    def _open(self) -> None:
        self._container, self._stream = open_video(self.path)
        self._fresh = True

    def _rewind(self) -> None:
        if not self._fresh:  # opening again is the one way back to the start that works for every container
            self.close()
            self._open()

    # Convert

    def _frame_size(self) -> tuple[int, int]:
        if self._size is None:
            self._clock.start()
            # Only a decoded frame tells the rotation.
            _, frame = next(self._frames([0]))
            self._convert(frame)
        return self._size

    def _convert(self, frame: VideoFrame) -> np.ndarray:
        """The frame as RGB (H, W, 3), rotated for display; in the size of the first one, should a video change it."""
        self._size = self._size or displayed_size(frame)
        quarters = quarter_turns(frame)
        height, width = self._size[:: -1 if quarters % 2 else 1]
        try:
            rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"{self.path}: {frame.format.name} pixels cannot be converted ({error})") from None
        return np.rot90(rgb, quarters) if quarters else rgb

    def _allocate(
        self, clips: Sequence[tuple[Sequence[int], Crop | None]], size: int | None, boxes: list[Crop]
    ) -> list[np.ndarray]:
        """Empty arrays for the clips, and into `boxes` their crops: known once there is a frame."""
        full_height, full_width = self._size
        for _, crop in clips:
            top, left, height, width = (0, 0, full_height, full_width) if crop is None else map(int, crop)
            if not (0 <= top < top + height <= full_height and 0 <= left < left + width <= full_width):
                frame = f"the {full_height} x {full_width} frame"
                raise VideoError(f"{self.path}: crop {tuple(crop)} (top, left, height, width) leaves {frame}")
            boxes.append((top, left, height, width))
        shapes = [(len(indices), size or box[2], size or box[3], 3) for (indices, _), box in zip(clips, boxes)]
        return [np.empty(shape, np.uint8) for shape in shapes]


class _UnexpectedError(Exception):
    """A seek or a decode that went otherwise than planned."""


def _resize(picture: np.ndarray, size: int) -> np.ndarray:
    """Bilinear, align_corners False, no antialiasing, rounded to uint8."""
    import torch  # takes seconds to import, and not every caller resizes

    # In float: torch's own uint8 path is three times faster but one off in a fifth of the values. Picture by picture:
    # a frame's float planes stay in the cache.
    planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    planes = torch.nn.functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)
    return planes.round_().to(torch.uint8)[0].permute(1, 2, 0).numpy()
