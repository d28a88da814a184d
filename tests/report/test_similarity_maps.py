"""Strips that lie in a run's folder: shown small, whatever else lies there."""

import base64
import io

import numpy as np
from PIL import Image

from rspnet.report.similarity_maps import found_strips, picture, similarity_maps
from tests.support.findings import record


def strip(path, width=1200, height=300, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    Image.fromarray(noise).resize((width, height)).save(path)
    return path


def test_strips_are_made_to_fit(tmp_path):
    found = picture(strip(tmp_path / "a.mp4.maps.webp"))
    data = base64.b64decode(found.removeprefix("data:image/webp;base64,"))
    assert Image.open(io.BytesIO(data)).size == (960, 240)
    assert len(data) < 150_000
    small = picture(strip(tmp_path / "b.maps.png", 100, 50))
    assert Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))).size == (100, 50)


def test_what_is_no_picture_is_passed_over(tmp_path):
    whole = strip(tmp_path / "maps/b/c.mp4.maps.webp")
    (tmp_path / "maps/a.maps.webp").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "maps/empty.maps.png").write_bytes(b"")
    (tmp_path / "maps/folder.maps.png").mkdir()
    (tmp_path / "maps/a.maps.mp4").write_bytes(b"film")
    Image.new("1", (5000, 5000)).save(tmp_path / "maps/bomb.maps.png")
    assert [path.name for path in found_strips(tmp_path / "maps")] == [
        "a.maps.webp",
        "c.mp4.maps.webp",
        "bomb.maps.png",
        "empty.maps.png",
    ]
    html = similarity_maps(record(tmp_path, stage="pretrain")).html
    assert html.count("<img") == 1
    assert 'alt="Similarity maps of b/c.mp4.maps.webp"' in html


def test_four_are_shown_and_the_others_counted(tmp_path):
    for number in range(6):
        strip(tmp_path / f"maps/{number}<b>.maps.webp", 40, 10, number)
    html = similarity_maps(record(tmp_path)).html
    assert html.count("<img") == 4
    assert "4 of 6 strips" in html
    assert "<b>" not in html


def test_without_any_it_is_said_how_to_make_them(tmp_path):
    section = similarity_maps(record(tmp_path, stage="pretrain"))
    assert not section.html
    assert f"visualize.py VIDEOS --weights {tmp_path} --out {tmp_path}/maps" in section.note
    assert similarity_maps(record(tmp_path)) is None  # of an evaluation they are not missed
