"""Moving pictures of videos: which frames, how large, and what is said where there is none."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from rspnet.data.index import new_row
from rspnet.errors import VideoError
from rspnet.report import thumbnails
from rspnet.report.thumbnails import SIDE, Thumbnails, thumbnail
from rspnet.video.reader import read_frames
from tests.support.findings import NASTY
from tests.support.numbered import number, write_numbered


def opened(uri):
    kind, data = uri.split(",", 1)
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def numbers(uri):
    """Which frames a picture shows, of a video that has its numbers drawn into it."""
    picture, found = opened(uri), []
    for frame in range(getattr(picture, "n_frames", 1)):
        picture.seek(frame)
        found.append(number(np.asarray(picture.convert("RGB"))))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thumbnails")
    for name, length in (("long", 120), ("short", 5), ("single", 1)):
        write_numbered(folder / f"{name}.mp4", length, size=(64, 64))
    write_numbered(folder / "wide.mp4", 20, size=(320, 160))
    (folder / "damaged.mp4").write_bytes((folder / "long.mp4").read_bytes()[:300])
    return folder


def row(folder, name, **facts):
    return new_row(name, str(folder), "a", **facts)


def test_eight_frames_of_the_two_seconds_in_the_middle(folder):
    moving, still = thumbnail(row(folder, "long.mp4"))
    middle = 35 + ((np.arange(8) + 0.5) * 50 / 8).astype(int)
    assert numbers(moving) == middle.tolist()
    assert numbers(still) == [middle[4]]
    assert opened(moving).size == opened(still).size == (SIDE, SIDE)
    assert opened(moving).info["loop"] == 0
    assert len(moving) < 10_000


def test_of_a_short_video_each_frame_once(folder):
    assert numbers(thumbnail(row(folder, "short.mp4"))[0]) == [0, 1, 2, 3, 4]
    moving, still = thumbnail(row(folder, "single.mp4"))
    assert numbers(moving) == numbers(still) == [0]


def test_the_central_square_is_shown_as_it_is(folder):
    moving, _ = thumbnail(row(folder, "wide.mp4"))
    shown = np.asarray(opened(moving).convert("RGB"), float)
    square = read_frames(folder / "wide.mp4", [1])[0, :, 80:240]
    small = np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX), float)
    assert np.abs(shown - small).mean() < 12


def test_each_video_is_in_the_page_once(folder):
    found = Thumbnails()
    one, again = (found.picture(row(folder, "long.mp4"), "long.mp4") for _ in range(2))
    other = found.picture(row(folder, "short.mp4"), "short.mp4")
    assert one == again == '<span class="thumb t0" role="img" aria-label="long.mp4"></span>'
    assert 'class="thumb t1"' in other
    assert found.style().count("--moving:url(data:image/webp;base64,") == 2
    assert found.style().count("--still:url(data:image/webp;base64,") == 2
    assert found.left_out() == ""


def test_what_cannot_be_shown_is_counted(folder):
    found = Thumbnails()
    rows = [row(folder, "damaged.mp4"), row(folder, "gone.mp4"), row(folder, "long.mp4", status="corrupt", reason="x")]
    assert [found.name(each) for each in rows] == ["", "", ""]
    assert found.name(row("https://example.org/videos", "far.mp4")) == ""
    assert found.left_out() == (
        "Shown without a picture: 3 videos not there any more, or damaged, 1 video on a server."
    )
    assert found.style() == ""
    assert "without a picture" in found.picture(rows[1], "gone.mp4")
    with pytest.raises(VideoError):
        thumbnail(rows[0])


def test_a_page_stays_small_and_says_what_it_left_out(folder):
    one = len(Thumbnails().style())
    whole = Thumbnails()
    whole.name(row(folder, "long.mp4"))
    size = len(whole.style())
    assert one < size
    found = Thumbnails(max_bytes=size)
    assert found.name(row(folder, "long.mp4")) == "t0"
    assert [found.name(row(folder, f"{name}.mp4")) for name in ("short", "single", "wide")] == ["", "", ""]
    assert len(found.style()) <= size
    assert found.left_out() == "Shown without a picture: 3 videos so that the page stays small."


def test_no_page_takes_for_ever(folder, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(thumbnails, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    found = Thumbnails(patience=15)
    names = [found.name(row(folder, f"{name}.mp4")) for name in ("long", "short", "single")]
    assert names == ["t0", "t1", ""]
    assert "1 video because it takes too long" in found.left_out()
    assert [(each["video"], seconds) for each, seconds in found.seconds] == [("long.mp4", 10), ("short.mp4", 10)]


def test_a_name_stays_a_name(folder):
    shown = Thumbnails().picture(None, NASTY)
    assert "<img" not in shown
    assert "&lt;img src=x onerror=&#34;" in shown
    assert "\u202e" not in shown


def test_of_real_videos_they_take_some_kilobytes(shared):
    paths = sorted((shared / "data/jhmdb").rglob("*.mp4"))[::150]
    assert len(paths) > 3
    sizes = [len(thumbnail(row(path.parent, path.name))[0]) * 3 / 4 for path in paths]
    assert 1500 < np.mean(sizes) < 7000
