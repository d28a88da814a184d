"""All eight orientations, from the container's matrix, from H.264's own and from Exif's."""

import itertools
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from rspnet.video.orientation import UPRIGHT, Orientation, orientation
from rspnet.video.reader import Video, inspect, read_frames, transcode
from tests.support.numbered import picture, write_numbered, write_oriented

EIGHT = [
    *((one, 0, 0, other) for one, other in itertools.product((1, -1), repeat=2)),
    *((0, one, other, 0) for one, other in itertools.product((1, -1), repeat=2)),
]
"""a, b, c, d of the matrix that shows point (x, y) at (a x + c y, b x + d y)."""


def shown(stored, matrix):
    """What a player shows of frames (N, H, W, 3), point by point."""
    a, b, c, d = matrix
    y, x = np.mgrid[: stored.shape[1], : stored.shape[2]]
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    out = np.empty((len(stored), down.max() + 1, right.max() + 1, 3), np.uint8)
    out[:, down, right] = stored
    return out


@pytest.mark.parametrize("matrix", EIGHT)
def test_every_orientation_of_a_container(tmp_path, matrix):
    stored = read_frames(write_numbered(tmp_path / "a.mp4", 20), [3, 17])
    path = write_oriented(tmp_path / "b.mp4", 20, matrix)
    expected = shown(stored, matrix)
    facts = inspect(path, "decode")
    assert (facts["height"], facts["width"]) == expected.shape[1:3]
    assert inspect(path)["width"] == facts["width"]
    for plan in (None, facts["plan"]):
        with Video(path, plan=plan) as video:
            assert (video.height, video.width) == expected.shape[1:3]
            assert np.array_equal(video.read([3, 17]), expected)
            small = video.read([3, 17], (5, 7, 40, 50), 32)
            parts = expected[:, 5:45, 7:57]
            # Of an upright video luma and chroma are resized, of another one RGB: nearly the same.
            difference = small.astype(int) - np.stack([cv2.resize(part, (32, 32)) for part in parts])
            assert np.abs(difference).mean() < 4
    copy = tmp_path / "copy.mp4"
    written = transcode(path, copy, crf=0)
    assert (written["height"], written["width"]) == expected.shape[1:3]
    assert np.abs(read_frames(copy, [3, 17]).astype(int) - expected).mean() < 1
    with av.open(str(copy)) as container:
        assert orientation(next(container.decode(video=0))) == UPRIGHT


def test_angles_and_scales_in_between(tmp_path):
    """The nearest quarter turn; a matrix of nothing but zeros says nothing."""
    for matrix, expected in {
        (2, 0, 0, 0.5): UPRIGHT,
        (0.9, 0.4, -0.4, 0.9): UPRIGHT,
        (0.1, 0.9, -0.9, 0.1): Orientation(transposed=True, mirrored=True),
        (0, 0, 0, 0): UPRIGHT,
    }.items():
        with av.open(str(write_oriented(tmp_path / "a.mp4", 1, matrix))) as container:
            assert orientation(next(container.decode(video=0))) == expected


@pytest.mark.parametrize("number", range(1, 9))
def test_every_orientation_of_exif(tmp_path, number):
    """JPEG's own, in files of cameras. Exif 2.3, 4.6.4: where row 0 and column 0 are shown."""
    matrices = dict(enumerate(((1, 0, 0, 1), (-1, 0, 0, 1), (-1, 0, 0, -1), (1, 0, 0, -1)), 1))
    matrices |= dict(enumerate(((0, 1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0), (0, -1, 1, 0)), 5))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 80, 64, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture(5), format="rgb24").reformat(format="yuvj420p", threads=1)
    (jpeg,) = encoder.encode(frame)
    tag = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, number, 0, 0)
    exif = b"Exif\0\0" + tag
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuvj420p"
        packet = av.Packet(bytes(jpeg)[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + bytes(jpeg)[2:])
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        output.mux(packet)
    (found,) = read_frames(path, [0])
    expected = shown(picture(5)[None], matrices[number])[0]
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 8
    assert Video(path).height == inspect(path)["height"] == len(expected)
