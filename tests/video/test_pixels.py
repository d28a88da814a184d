"""Crops, sizes and colours: the published rule, and no whole frame converted twice."""

import av
import cv2
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter

from rspnet.video.pixels import Album, Converter
from rspnet.video.reader import Video
from tests.support.numbered import picture, write_numbered

FRAMES = [2, 5, 4, 0, 1]


SIZES = [112, 33, 64]
CROPS = [None, (0, 0, 64, 80), (7, 3, 40, 61), (60, 70, 1, 2), (0, 8, 64, 64)]


def bilinear(pixels, size):
    """float64 (..., H, W) to (..., size, size) as the published code resizes."""
    flat = torch.from_numpy(np.array(pixels, np.float64)).flatten(0, -3)[None]
    out = torch.nn.functional.interpolate(flat, (size, size), mode="bilinear", align_corners=False)
    return out.numpy().reshape(*pixels.shape[:-2], size, size)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("size", SIZES)
def test_whole_frames_are_resized_as_published(tmp_path, crop, size):
    """Where libswscale converts before, as in formats whose planes are not resized."""
    path = write_numbered(tmp_path / "a.mp4", 8, pix_fmt="yuv444p")
    top, left, height, width = crop or (0, 0, 64, 80)
    with Video(path) as video:
        part = video.read(FRAMES)[:, top : top + height, left : left + width]
        found = video.read(FRAMES, crop, size)
    expected = np.moveaxis(bilinear(np.moveaxis(part, -1, 1), size), 1, -1)
    assert found.shape == (5, size, size, 3)
    assert np.abs(found - expected).max() <= 0.85
    assert np.abs(found - expected).mean() <= 0.3
    if (height, width) == (size, size):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("pix_fmt", "down"), [("yuv420p", 2), ("yuv422p", 1)])
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("size", SIZES)
def test_planes_are_resized_alone(tmp_path, pix_fmt, down, crop, size):
    path = write_numbered(tmp_path / "a.mp4", 8, pix_fmt=pix_fmt)
    top, left, height, width = crop or (0, 0, 64, 80)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    expected = []
    for frame in (frames[index] for index in FRAMES):
        chroma = frame[64:].reshape(2, 64 // down, 40)
        rows, columns = slice(top // down, -(-(top + height) // down)), slice(left // 2, -(-(left + width) // 2))
        luma = bilinear(frame[None, top : top + height, left : left + width], size)
        y, u, v = np.concatenate([luma, bilinear(chroma[:, rows, columns], size)]) - [[[16]], [[128]], [[128]]]
        y = y * 255 / 219
        rgb = np.stack([y + 1.596 * v - 0.75, y - 0.392 * u - 0.813 * v - 1, y + 2.017 * u - 0.75], axis=-1)
        expected.append(rgb.clip(0, 255))
    with Video(path) as video:
        found = video.read(FRAMES, crop, size)
    assert np.abs(found - expected).max() <= 0.5 + 0.85 * (1.164 + 2.017)
    assert np.abs(found - expected).mean() <= 0.6


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p"])
@pytest.mark.parametrize("space", range(11))
@pytest.mark.parametrize("given", [0, 1, 2])
def test_colours_are_those_of_libswscale(pix_fmt, space, given):
    rng = np.random.default_rng(0)
    frame = av.VideoFrame(96, 64, pix_fmt)
    frame.colorspace, frame.color_range = space, given
    for plane in frame.planes:
        plane.update(rng.integers(90, 160, plane.buffer_size, np.uint8))
    converter = Converter()
    planes = converter.planes(frame)
    if not planes:
        with pytest.raises(av.FFmpegError):
            converter.rgb(frame)
        return
    arrays = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width] for plane in planes]
    full = [array.repeat(64 // array.shape[0], axis=0).repeat(96 // array.shape[1], axis=1) for array in arrays]
    expected = np.stack([*full, np.ones((64, 96))], axis=-1) @ converter.matrix(frame).T
    inside = ((expected > 3) & (expected < 252)).all(axis=-1)
    difference = (converter.rgb(frame) - expected)[inside]
    assert inside.mean() > 0.5
    assert np.abs(difference.mean(axis=0)).max() < 0.6  # it is darker than the formula by 0.5 to 1.5
    assert np.abs(difference).max() < 2.1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
def test_grey_stays_grey(pix_fmt):
    frame = av.VideoFrame(64, 64, pix_fmt)
    frame.planes[1].update(bytes([128]) * frame.planes[1].buffer_size)
    frame.planes[2].update(bytes([128]) * frame.planes[2].buffer_size)
    for luma in (16, 17, 60, 128, 200, 234, 235):
        frame.planes[0].update(bytes([luma]) * frame.planes[0].buffer_size)
        converter, out = Converter(), np.empty((1, 32, 32, 3), np.uint8)
        Album("", [([0], None)], 32, converter=converter, out=[out]).put(0, frame)
        assert np.ptp(out) <= 1
        assert np.abs(out - converter.rgb(frame)[:32, :32].astype(int)).max() <= 1


@pytest.mark.parametrize("size", [(340, 256), (335, 255)])
def test_resized_videos_look_as_published(tmp_path, size):
    path = write_numbered(tmp_path / "a.avi", 40, codec="mpeg4", size=size, options={"b": "4000000"})
    with Video(path) as video:
        for top, left, height, width in [
            (0, 42, 255, 255),
            (20, 30, 200, 180),
            (21, 31, 201, 181),
            (0, 0, *size[::-1]),
        ]:
            part = video.read(range(0, 40, 9))[:, top : top + height, left : left + width]
            expected = np.moveaxis(bilinear(np.moveaxis(part, -1, 1), 112), 1, -1)
            difference = video.read(range(0, 40, 9), (top, left, height, width), 112) - expected
            # libswscale rounds otherwise where the number of rows is odd.
            assert np.abs(difference.mean(axis=(0, 1, 2))).max() < (1 if size[1] % 2 == 0 else 2)
            assert np.median(np.abs(difference)) < 2


def test_overlapping_clips_share_the_work(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", 40)
    converted = []

    class Counted:
        def __init__(self):
            self.real = VideoReformatter()

        def reformat(self, frame, *args, **kwargs):
            converted.append(frame.pts)
            return self.real.reformat(frame, *args, **kwargs)

    monkeypatch.setattr("rspnet.video.pixels.VideoReformatter", Counted)
    with Video(path, 40) as video:
        first, second = video.read_clips([(range(10, 26), None), (range(30, 14, -1), (10, 20, 30, 40))])
        assert len(set(converted)) == len(converted) == 21
        assert np.array_equal(first, video.read(range(10, 26)))
        assert np.array_equal(second, video.read(range(30, 14, -1))[:, 10:40, 20:60])


def test_clips_of_one_crop_share_pictures(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 40)
    crop = (0, 8, 64, 64)
    clips = [(range(0, 16), crop), (range(8, 24), crop), ([3, 3, 20], crop)]
    with Video(path) as video:
        together = video.read_clips(clips, 32)
        for (indices, _), clip in zip(clips, together):
            assert np.array_equal(clip, video.read(indices, crop, 32))


@pytest.mark.parametrize(("crop", "size"), [(None, None), ((3, 5, 40, 60), None), ((3, 5, 40, 60), 32)])
def test_clips_land_where_they_are_wanted(tmp_path, crop, size):
    path = write_numbered(tmp_path / "a.mp4", 12)
    with Video(path) as video:
        expected = video.read_clips([([1, 5, 1], crop), ([5, 2], crop)], size)
        batch = [np.zeros_like(clip) for clip in expected]
        found = video.read_clips([([1, 5, 1], crop), ([5, 2], crop)], size, batch)
    assert all(one is other for one, other in zip(found, batch, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(expected, batch))


@pytest.mark.parametrize("wrong", [np.zeros((1, 32, 40, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)])
def test_clips_do_not_land_where_they_do_not_fit(tmp_path, wrong):
    path = write_numbered(tmp_path / "a.mp4", 3)
    with Video(path) as video, pytest.raises(ValueError, match="the clips need contiguous uint8"):
        video.read_clips([([1], None)], 32, [wrong])


def test_full_and_limited_range(tmp_path):
    """Colours go by what the file says of them, resized or not."""
    limited = write_numbered(tmp_path / "a.avi", 3, codec="mpeg4")
    full = write_numbered(tmp_path / "b.avi", 3, codec="mjpeg", pix_fmt="yuvj420p")
    for path in (limited, full):
        with Video(path) as video:
            whole, small = video.read([1])[0].astype(int), video.read([1], None, 32)[0].astype(int)
        assert np.abs((whole - picture(1)).mean(axis=(0, 1))).max() < 3
        assert np.abs(whole.mean(axis=(0, 1)) - small.mean(axis=(0, 1))).max() < 1.5


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_video_is_resized_upright(tmp_path, degrees):
    path = write_numbered(tmp_path / "a.mp4", 6, rotation=degrees)
    crop = (5, 3, 50, 41)
    with Video(path) as video:
        part = video.read(FRAMES, crop)
        assert np.array_equal(video.read(FRAMES, crop, 32), np.stack([cv2.resize(frame, (32, 32)) for frame in part]))
