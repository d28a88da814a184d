"""Names of files made of videos, and writing pictures."""

import os

import numpy as np
import pytest
from PIL import Image

from rspnet.drawing.files import check_outside, names, save
from rspnet.errors import ConfigError, DiskError

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_each_video_has_a_name_of_its_own():
    assert names([("/a", "walk/1.avi"), ("/a", "walk/1.mp4")]) == ["walk/1.avi", "walk/1.mp4"]
    one, two, other = names([("/a", "1.mp4"), ("/b", "1.mp4"), ("/b", "2.mp4")])
    assert one != two
    assert other == "2.mp4"
    assert one.startswith("1.mp4.")
    assert names([("/b", "1.mp4"), ("/a", "1.mp4")]) == [two, one]
    assert names([]) == []


def test_no_name_is_too_long(tmp_path):
    long = ["é" * 120 + f"{number}.mp4" for number in range(2)]
    found = names([("/a", f"walk/{name}") for name in long])
    assert len(set(found)) == 2
    for name in found:
        assert os.path.dirname(name) == "walk"
        save(tmp_path / f"{name}.maps.webp", PICTURE)


def test_what_is_made_does_not_lie_among_the_videos(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").touch()
    (tmp_path / "link").symlink_to("videos")
    for out in ("videos", "videos/maps", "link/maps"):
        with pytest.raises(ConfigError, match=r"out: .* lies in "):
            check_outside(str(tmp_path / out), ["-", str(tmp_path / "videos")])
    check_outside(str(tmp_path / "videos_maps"), [str(tmp_path / "videos")])
    check_outside(str(tmp_path / "videos/maps"), [str(tmp_path / "videos/a.mp4"), "-"])  # which alone is looked at


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_pictures_are_written_whole(tmp_path, ending, no_file_larger_than):
    path = tmp_path / "walk" / f"a.{ending}"
    save(path, PICTURE)
    with Image.open(path) as image:
        assert np.abs(np.asarray(image).astype(int) - PICTURE).mean() < (1 if ending == "png" else 90)
        assert image.format == ending.upper()
    before = path.read_bytes()
    with no_file_larger_than(100), pytest.raises(DiskError, match="a\\." + ending):
        save(path, PICTURE[::-1])
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
