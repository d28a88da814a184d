"""Videos whose frame number is drawn into the pixels, so that a test can tell which frame it got."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10


def picture(number: int, width: int = 80, height: int = 64) -> np.ndarray:
    """Return a frame (H, W, 3) with its number in binary, as a row of black and white blocks over a moving gradient."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([(x * 2 + number * 3) % 200, (y * 3 + number) % 200, (x + y + 2 * number) % 200], axis=-1)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        rgb[height // 4 : 3 * height // 4, left:right] = 235 if number >> bit & 1 else 16
    return rgb.astype(np.uint8)


def number(frame: np.ndarray) -> int:
    """Return the number drawn into a frame, even if it was scaled or compressed."""
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
        # Without x264's macroblock tree, whose result varies between runs: the same frames must give the same file.
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


def write_oriented(path: Path, num_frames: int, matrix: tuple[float, float, float, float], **how) -> Path:
    """As `write_numbered`, to a .mp4 whose display matrix (a, b, c, d) shows point (x, y) at (a x + c y, b x + d y)."""
    content = bytearray(write_numbered(path, num_frames, **how).read_bytes())
    place = content.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2: a b u, c d v, x y w
    a, b, c, d = (round(value * 65536) for value in matrix)
    content[place : place + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 2**30], ">i4").tobytes()
    path.write_bytes(content)
    return path


def write_packed(path: Path, num_frames: int, gop: int = 12, still: bool = False, marked: bool = False) -> Path:
    """Write packed MPEG-4 as DivX and XviD do.

    The first B-frame of a row shares a packet with the reference frame before it, and a blank frame ends the row.

    Args:
        path: The file.
        num_frames: Number of frames.
        gop: Frames from one key frame to the next.
        still: Whether all pictures are the same, which makes B-frames of a few bytes.
        marked: Whether blank frames are marked as key frames, as some writers do.
    """
    encoder = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 80, 64, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.gop_size, encoder.max_b_frames, encoder.thread_count = gop, 2, 1
    pictures = []
    for index in range(num_frames):
        shown = picture(0 if still else index)
        frame = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format="yuv420p", threads=1)
        frame.pts, frame.time_base = index, Fraction(1, 25)
        pictures += encoder.encode(frame)
    pictures += encoder.encode(None)

    start = b"\x00\x00\x01\xb6"
    nothing = start + (b"\x11" if marked else b"\x51") + b"\x00\x7f"  # a blank of type I if marked, else of type P
    packed: list[tuple[bytes, bool]] = []
    row = False  # whether within a row of B-frames
    for coded in pictures:
        data, kind = bytes(coded), bytes(coded).split(start)[1][0] >> 6
        if kind == 2 and not row:  # the first B-frame
            before, is_key = packed.pop()
            packed.append((before + data, is_key))
        else:
            packed += [(nothing, marked)] * (row and kind != 2)
            header, start_code, body = data.partition(start)
            name = b"\x00\x00\x01\xb2DivX503b1393p" if coded.is_keyframe else b""
            packed.append((header + name + start_code + body, coded.is_keyframe))
        row = kind == 2
    packed += [(nothing, marked)] * row
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for number, (data, is_key) in enumerate(packed):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            packet.is_keyframe = is_key
            output.mux(packet)
    return path
