"""Videos whose frame number is drawn into the pixels, so that a test can tell which frame it got."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10


def picture(number: int, width: int = 80, height: int = 64) -> np.ndarray:
    """A frame (H, W, 3) with its number as a row of black and white blocks over a drifting gradient."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([(x * 2 + number * 3) % 200, (y * 3 + number) % 200, (x + y + 2 * number) % 200], axis=-1)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        rgb[height // 4 : 3 * height // 4, left:right] = 235 if number >> bit & 1 else 16
    return rgb.astype(np.uint8)


def number(frame: np.ndarray) -> int:
    """The number drawn into a frame, however it was scaled or compressed."""
    height, width = frame.shape[:2]
    row = frame[3 * height // 8 : 5 * height // 8].mean(axis=(0, 2))
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return int(sum(1 << bit for bit in range(BITS) if row[centres[bit]] > 128))


def write_numbered(
    path: Path,
    num_frames: int,
    codec: str = "libx264",
    gop: int = 12,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (80, 64),
    rate: int = 25,
    times: list[int] | None = None,
    rotation: float | None = None,
    container: str | None = None,
) -> Path:
    """Encode frames 0, 1, ... with PyAV; `times` are presentation times in units of 1 / rate seconds."""
    width, height = size
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        # Without x264's macroblock tree, which differs now and then: the same frames, the same file.
        same = {"mbtree": "0"} if codec == "libx264" else {}
        stream = output.add_stream(codec, rate=rate, options=same | (options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, width, height), format="rgb24")
            frame = frame.reformat(format=pix_fmt, threads=1)
            frame.pts, frame.time_base = times[index] if times else index, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
