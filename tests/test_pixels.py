"""Crops and sizes: the published rule, and no frame converted twice."""

import cv2
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from numbered import picture, write_numbered

from rspnet.video import Video

FRAMES = [2, 5, 4, 0, 1]


@pytest.mark.parametrize("crop", [None, (0, 0, 64, 80), (7, 3, 40, 61), (60, 70, 1, 2), (0, 8, 64, 64)])
@pytest.mark.parametrize("size", [112, 33, 64])
def test_crop_and_resize_equal_torch(tmp_path, crop, size):
    path = write_numbered(tmp_path / "a.mp4", 8)
    top, left, height, width = crop or (0, 0, 64, 80)
    with Video(path) as video:
        part = torch.from_numpy(video.read(FRAMES)[:, top : top + height, left : left + width].copy())
        found = torch.from_numpy(video.read(FRAMES, crop, size)).permute(0, 3, 1, 2)
    floats = part.permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(floats, (size, size), mode="bilinear", align_corners=False)
    assert found.shape == (5, 3, size, size)
    assert (found - expected).abs().max() <= 0.85
    assert (found - expected).abs().mean() <= 0.3
    if (height, width) == (size, size):
        assert torch.equal(found.float(), expected)


def test_overlapping_clips_share_the_work(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", 40)
    converted = []

    class Counted:
        def __init__(self):
            self.real = VideoReformatter()

        def reformat(self, frame, *args, **kwargs):
            converted.append(frame.pts)
            return self.real.reformat(frame, *args, **kwargs)

    monkeypatch.setattr("rspnet.pixels.VideoReformatter", Counted)
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
    with Video(path) as video, pytest.raises(ValueError, match="the clips are contiguous uint8"):
        video.read_clips([([1], None)], 32, [wrong])


def test_full_and_limited_range(tmp_path):
    """Colours go by what the file says of them, resized or not."""
    limited = write_numbered(tmp_path / "a.avi", 3, codec="mpeg4")
    full = write_numbered(tmp_path / "b.avi", 3, codec="mjpeg", pix_fmt="yuvj420p")
    for path in (limited, full):
        with Video(path) as video:
            whole, small = video.read([1])[0].astype(int), video.read([1], None, 32)[0].astype(int)
        assert np.abs((whole - picture(1)).mean(axis=(0, 1))).max() < 3
        assert np.abs(whole.mean(axis=(0, 1)) - small.mean(axis=(0, 1))).max() < 1


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_video_is_resized_upright(tmp_path, degrees):
    path = write_numbered(tmp_path / "a.mp4", 6, rotation=degrees)
    crop = (5, 3, 50, 41)
    with Video(path) as video:
        part = video.read(FRAMES, crop)
        assert np.array_equal(video.read(FRAMES, crop, 32), np.stack([cv2.resize(frame, (32, 32)) for frame in part]))
