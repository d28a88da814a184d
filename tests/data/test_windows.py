"""Windows against the obvious loop over their definition."""

import math
import random
import re

import numpy as np
import pytest

from rspnet.clipspec import ClipSpec
from rspnet.data import sampling
from rspnet.data.windows import Length, Windows, read_length, read_windows
from rspnet.errors import ConfigError


def clip(num_frames=8, stride=1, **others):
    return ClipSpec(num_frames, 32, (0, 0, 0), (1, 1, 1), stride=stride, **others)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (2, Length(2, True)),
        (2.5, Length(2.5, True)),
        (1e-07, Length(1e-07, True)),  # as Python writes it
        ("1e2f", Length(100, False)),
        ("2.5s", Length(2.5, True)),
        (".5 s", Length(0.5, True)),
        ("64f", Length(64, False)),
        ("1 frame", Length(1, False)),
        ("32 frames", Length(32, False)),
    ],
)
def test_lengths_as_people_write_them(text, length):
    assert read_length(text, "window") == length


def test_lengths_as_they_are_said():
    said = [str(read_length(text, "window")) for text in ("1f", "64f", 2.5, 1000000)]
    assert said == ["1 frame", "64 frames", "2.5 s", "1000000 s"]


@pytest.mark.parametrize("text", [0, -1, "0f", "1.5f", "2m", "", "f", "nan", "inf", "-2s", "2s 3f"])
def test_no_lengths(text):
    with pytest.raises(ConfigError, match=f"^window: {text}; give seconds"):
        read_length(text, "window")


def test_seconds_in_frames():
    assert Length(2, True).frames(25) == 50
    assert Length(64, False).frames(0) == 64
    with pytest.raises(ValueError, match="frame rate"):
        Length(2, True).frames(0)


@pytest.mark.parametrize("rate", [25.0, 29.97, 12.5, 7.3, 60.0])
@pytest.mark.parametrize("step", [0.5, 1.0, 0.333, 2.0])
def test_windows_in_seconds_do_not_drift(rate, step):
    """Window k begins at k steps, to the nearest frame, an hour later too."""
    length = round(3600 * rate)
    grid = Windows(clip(4), Length(2, True), Length(step, True)).grid(length, rate)
    assert grid.size == round(2 * rate)
    times = grid.starts[:-1] / rate
    assert np.abs(times - step * np.arange(len(times))).max() <= 0.5 / rate + 1e-9
    assert grid.starts[-1] <= length - grid.size
    assert length - grid.size - grid.starts[-1] < max(1, 0.51)
    tiny = Windows(clip(1), Length(0.001, True), Length(0.001, True)).grid(10, rate)
    assert tiny.starts.tolist() == list(range(10))


@pytest.mark.parametrize("seconds", [0.5, 0.6, 1.5, 2.5])
@pytest.mark.parametrize("rate", [12.4, 15.0, 23.976, 24.0, 25.0, 29.97])
def test_windows_in_seconds_that_touch_leave_no_frame_out(rate, seconds):
    """At 25 frames per second, 2.5 s are 62.5 frames, which round to 62."""
    for length in (20, 37, 100, 301):
        grid = Windows(clip(4), Length(seconds, True), Length(seconds, True)).grid(length, rate)
        covered = {frame for start in grid.starts.tolist() for frame in range(start, start + grid.size)}
        assert covered == set(range(length))
        assert grid.size == min(length, max(round(seconds * rate), math.ceil(seconds * rate)))


def test_a_step_of_less_than_a_frame():
    """Windows begin at frames: it takes no memory for the steps between them."""
    step = read_length("0." + "0" * 30 + "1s", "step")
    assert Windows(clip(), None, step).grid(100, 25).starts.tolist() == list(range(93))


@pytest.mark.parametrize("seed", range(60))
def test_the_grid_is_the_obvious_one(seed):
    rng = random.Random(seed)
    spec = clip(rng.randint(1, 9), rng.randint(1, 3), views=rng.randint(1, 4))
    span = (spec.num_frames - 1) * spec.stride + 1
    size, step, length = span + rng.randint(0, 30), rng.randint(1, 50), rng.randint(1, 200)
    grid = Windows(spec, Length(size, False), Length(step, False)).grid(length, 25)
    starts = [start for start in range(0, length, step) if start + size <= length] or [0]
    if step <= size and starts[-1] + size < length:
        starts.append(length - size)
    assert grid.starts.tolist() == starts
    assert grid.size == min(size, length)
    views = min(spec.views, -(-size // span))
    assert np.array_equal(grid.clips, sampling.even_clips(grid.size, spec.num_frames, spec.stride, n=views))
    for first in {0, len(starts) // 2, len(starts) - 1, len(starts)}:
        frames = {start + offset for start in starts[first:] for offset in grid.clips.ravel().tolist()}
        assert grid.frames(first).tolist() == sorted(frames)
    if step <= size:  # nothing between two windows is left out
        covered = {frame for start in starts for frame in range(start, start + grid.size)}
        assert covered == set(range(length))


def test_windows_of_clips_that_cover_them():
    grid = Windows(clip(8, sampling="cover"), Length(20, False)).grid(60, 0)
    assert grid.starts.tolist() == [0, 20, 40]
    assert np.array_equal(grid.clips, sampling.cover_clips(20, 8, 1))


def test_a_window_as_long_as_a_clip_unless_said_otherwise():
    assert Windows(clip(8, 2), step=Length(15, False)).grid(60, 0).starts.tolist() == [0, 15, 30, 45]
    assert Windows(clip(8, 2), step=Length(30, False)).grid(60, 0).starts.tolist() == [0, 30]
    with pytest.raises(ValueError, match=r"a window of 0\.5 s is 12 frames, but a clip spans 15"):
        Windows(clip(8, 2), Length(0.5, True)).grid(60, 25)
    assert read_windows(clip(8, 2), "15f", None).window == Length(15, False)
    with pytest.raises(ConfigError, match=r"^--window: 14f; a clip spans 15 frames: give at least as many$"):
        read_windows(clip(8, 2), "14f", None)


@pytest.mark.parametrize("sampling_", ["clip", "cover"])
def test_a_whole_video_is_one_window_with_the_clips_of_a_test(sampling_):
    grid = Windows(clip(8, 2, views=3) if sampling_ == "clip" else clip(8, sampling="cover", views=3)).grid(60, 0)
    assert (grid.starts.tolist(), grid.size) == ([0], 60)
    rule = sampling.even_clips(60, 8, 2, n=3) if sampling_ == "clip" else sampling.cover_clips(60, 8, 3)
    assert np.array_equal(grid.clips, rule)


@pytest.mark.parametrize("text", [10**10, 1e20, f"{10**20}f", f"{10**20} s", f"{10**400}f"])
def test_lengths_beyond_every_film(text):
    with pytest.raises(ConfigError, match=f"^window: {re.escape(str(text))}; it must be at most 1000000000$"):
        read_length(text, "window")
