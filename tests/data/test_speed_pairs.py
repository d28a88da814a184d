"""Two clips of a video, each at its speed: which frames they show."""

from functools import partial

import numpy as np
import pytest

from rspnet.clipspec import ClipSpec
from rspnet.data.rows import new_row
from rspnet.data.speed_pairs import read_pair
from rspnet.errors import VideoError
from tests.support.numbered import number, write_numbered

LIMITS = {"time_limit": 60.0, "max_pixels": 10**6}


def spec(num_frames=4, **changes):
    return ClipSpec(num_frames, 64, (0.0,) * 3, (1.0,) * 3, **changes)


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Square videos of numbered frames."""
    folder = tmp_path_factory.mktemp("square")
    for name, num_frames in (("short", 20), ("40", 40), ("forty", 40), ("single", 1)):
        write_numbered(folder / f"{name}.mp4", num_frames, size=(64, 64))
    (folder / "cut.mp4").write_bytes((folder / "40.mp4").read_bytes()[:300])
    return folder


@pytest.fixture
def pair_of(square):
    """Speeds of two clips of a numbered video -> the clips."""

    def pair(speeds=(1, 2), video="40.mp4", seed=0, clip=None):
        return read_pair(new_row(video, str(square)), clip or spec(), speeds, seed=seed, **LIMITS)

    return pair


@pytest.mark.parametrize("stride", [1, 2])
def test_each_plays_at_its_speed(pair_of, stride):
    normal, fast = pair_of(clip=spec(stride=stride))
    for clip, step in ((normal, stride), (fast, 2 * stride)):
        assert np.diff(clip.frames).tolist() == [step] * 3
        assert [number(frame) for frame in clip.pixels] == clip.frames.tolist()
        assert clip.pixels.shape == (4, 64, 64, 3)
        assert not clip.is_looped
    assert (normal.speed, fast.speed) == (1, 2)
    first = int(fast.frames[0])
    assert fast.facts() == {"speed": 2, "first_frame": first, "last_frame": first + 6 * stride, "looped": False}


def test_the_places_are_drawn_each_by_itself_from_the_seed_and_the_name(pair_of):
    starts = np.array([[clip.frames[0] for clip in pair_of((2, 2), seed=seed)] for seed in range(40)])
    assert (starts == [[clip.frames[0] for clip in pair_of((2, 2), seed=seed)] for seed in range(40)]).all()
    assert (starts[:, 0] != starts[:, 1]).sum() > 30
    assert starts.min() >= 0
    assert starts.max() <= 40 - 7 - 1  # as long a clip as both speeds need, within 40 frames
    others = [[clip.frames[0] for clip in pair_of((2, 2), video="forty.mp4", seed=seed)] for seed in range(9)]
    assert not np.array_equal(starts[:9], others)


def test_of_a_short_video_as_in_pretraining(pair_of):
    """20 frames, 32 are wanted: looped, and then played fast."""
    normal, fast = pair_of(video="short.mp4", clip=spec(16))
    assert normal.frames.tolist() == list(range(16))
    assert fast.frames.tolist() == [*range(0, 20, 2), *range(0, 12, 2)]
    assert (normal.is_looped, fast.is_looped) == (False, True)
    for clip in pair_of(video="single.mp4"):
        assert clip.frames.tolist() == [0] * 4
        assert clip.is_looped


def test_frames_that_cover_the_video_and_a_frame_rate(pair_of):
    normal, fast = pair_of(clip=spec(sampling="cover"))
    assert normal.frames[-1] < 20 < 30 <= fast.frames[-1]
    assert [number(frame) for frame in fast.pixels] == fast.frames.tolist()
    (slow, _) = pair_of(clip=spec(frame_rate=12.5))
    assert np.diff(slow.frames).tolist() == [2] * 3
    assert [number(frame) for frame in slow.pixels] == slow.frames.tolist()


def test_of_an_upright_picture_the_middle(tmp_path):
    write_numbered(tmp_path / "tall.mp4", 12, size=(64, 96))
    read = partial(read_pair, new_row("tall.mp4", str(tmp_path)), speeds=(1, 1), seed=0, **LIMITS)
    (clip, _) = read(spec())
    assert [number(frame) for frame in clip.pixels] == clip.frames.tolist()


def test_why_a_video_cannot_be_read(pair_of):
    with pytest.raises(VideoError, match=r"cut\.mp4"):
        pair_of(video="cut.mp4")
    with pytest.raises(VideoError, match="too short to resample"):
        pair_of(video="single.mp4", clip=spec(frame_rate=10.0))
