"""Frame-index arithmetic: the published vectors replayed, and properties over many lengths.

What is drawn how often: tests/data/test_distributions.py.
"""

import json
import math
import random
from fractions import Fraction

import numpy as np
import pytest

from rspnet.data import sampling


class PythonRandom:
    """Python's ``random`` behind the three calls the samplers make of a numpy generator."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self.random = self._random.random
        self.uniform = self._random.uniform

    def integers(self, low, high):
        return self._random.randint(low, high - 1)


class NoDraws:
    """A generator that fails when it is asked for anything."""


@pytest.fixture(scope="module")
def cases(shared):
    return json.loads((shared / "fixtures" / "sampling_cases.json").read_text())


def test_published_short_videos(cases):
    assert len(cases["fallback_select"]) == 105
    for case in cases["fallback_select"]:
        n, size, stride = case["num_frames"], case["size"], case["stride"]
        if case["selected"] is None:  # long enough: the normal rule applies
            assert n >= sampling.clip_span(size, stride), case
        else:
            assert sampling.strided_clip(n, size, stride).tolist() == case["selected"], case


def test_published_random_clips(cases):
    for case in cases["RandomStrideCrop"]:
        draws = PythonRandom(case["python_random_seed"])
        strides, weights = zip(*case["strides_weights"])
        expected = case.get("two_clips") or [case["selected"]]
        for clip in expected:
            stride = strides[np.searchsorted(np.cumsum(weights)[:-1] / sum(weights), draws.random())]  # theirs alone
            assert sampling.sample_clip(draws, case["num_frames"], case["size"], stride=stride).tolist() == clip, case


def test_published_even_clips(cases):
    for case in cases["EvenNCrop"]:
        clips = sampling.even_clips(case["num_frames"], case["size"], case["stride"], n=case["n"])
        assert clips.ravel().tolist() == case["selected"], case


def test_published_cover_clips(cases):
    for case in cases["Cover"]:
        if case["n_crop"]:
            clips = sampling.cover_clips(case["num_frames"], case["size"], case["n_crop"])
        else:
            clips = sampling.cover_clip(PythonRandom(case["python_random_seed"]), case["num_frames"], case["size"])
        assert clips.ravel().tolist() == case["selected"], case


def test_published_resampling(cases):
    for case in cases["resample"]:
        frames = sampling.resample(case["num_frames"], case["source_fps"], case["target_fps"])
        assert frames.tolist() == case["selected"], case


def test_published_crops(cases):
    for case in cases["spatial_crop"]:
        if "center_max_crop" in case:
            crop = sampling.centre_square_crop(case["height"], case["width"])
            assert list(crop) == case["center_max_crop"], case
            continue
        draws = PythonRandom(case["python_random_seed"])
        crop = sampling.random_area_crop(draws, case["height"], case["width"], area=case["scale"])
        assert list(crop) == case["top_left_h_w"], case
        assert draws.random() == case["next_random"], case  # the same number of draws was made


LENGTHS = [1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 61, 62, 100, 300, 1001]


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 16, 32])
@pytest.mark.parametrize("num_frames", LENGTHS)
def test_clips_stay_inside_and_keep_their_stride(num_frames, size, stride):
    rng = np.random.default_rng(num_frames)
    span = sampling.clip_span(size, stride)
    clips = [sampling.sample_clip(rng, num_frames, size, stride=stride) for _ in range(20)]
    clips += list(sampling.even_clips(num_frames, size, stride, n=7))
    for clip in clips:
        assert clip.shape == (size,)
        assert clip.dtype == np.int64
        assert clip.min() >= 0
        assert clip.max() < num_frames
        if num_frames >= span:
            assert np.all(np.diff(clip) == stride)
        elif num_frames <= size:
            assert clip.tolist() == [i % num_frames for i in range(size)]
        else:
            assert clip.tolist() == [round(Fraction(i * (num_frames - 1), size - 1)) for i in range(size)]


@pytest.mark.parametrize("size", [1, 8, 16, 32, 64, 10])
def test_cover_clips_take_one_frame_of_each_part(size):
    rng = np.random.default_rng(size)
    for num_frames in (*range(1, 70), 101, 333, 1000):
        (middle,) = sampling.cover_clips(num_frames, size)
        for clip in (middle, sampling.cover_clip(rng, num_frames, size), *sampling.cover_clips(num_frames, size, n=3)):
            assert clip.shape == (size,)
            assert clip.dtype == np.int64
            if num_frames <= size:
                assert clip.tolist() == [i % num_frames for i in range(size)]
            else:
                parts = clip * size / num_frames
                assert np.all(parts < np.arange(1, size + 1))
                assert np.all(parts > np.arange(size) - size / num_frames)  # floor() steps back by less than a frame
                assert clip[-1] < num_frames
        if num_frames > size:
            assert middle.tolist() == [math.floor(Fraction(num_frames * (2 * i + 1), 2 * size)) for i in range(size)]


def test_even_clips_reach_both_ends_and_one_clip_sits_in_the_middle():
    clips = sampling.even_clips(100, 16)
    assert clips.shape == (10, 16)
    assert clips[:, 0].tolist() == [0, 9, 19, 28, 37, 47, 56, 65, 75, 84]
    assert sampling.even_clips(100, 16, n=1)[0].tolist() == list(range(42, 58))
    assert sampling.even_clips(7, 16, n=3).tolist() == [[i % 7 for i in range(16)]] * 3


@pytest.mark.parametrize("n", [2, 3, 5, 7, 10])
def test_starts_are_spread_evenly_and_halves_go_to_the_even_neighbour(n):
    for spare in range(14):
        starts = sampling.even_clips(4 + spare, 4, n=n)[:, 0]
        assert starts.tolist() == [round(Fraction(i * spare, n - 1)) for i in range(n)], spare


@pytest.mark.parametrize(("num_frames", "start"), [(20, 2), (21, 2), (22, 3)])
def test_a_single_clip_begins_at_half_of_what_is_left(num_frames, start):
    assert sampling.even_clips(num_frames, 16, n=1).tolist() == [list(range(start, start + 16))]


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 8, 10])
def test_cover_clips_at_equal_offsets(n, size):
    for num_frames in (size + 1, 37, 100):
        expected = [[math.floor(Fraction(num_frames * (n * i + k), n * size)) for i in range(size)] for k in range(n)]
        assert sampling.cover_clips(num_frames, size, n).tolist() == expected


def test_a_fitting_clip_is_where_it_was_asked_for():
    assert sampling.clip_span(16) == 16
    assert sampling.clip_span(1, 7) == 1
    assert sampling.clip_span(16, 4) == 61
    assert sampling.strided_clip(20, 4, 3).tolist() == [0, 3, 6, 9]
    assert sampling.strided_clip(20, 4, 3, start=10).tolist() == [10, 13, 16, 19]
    assert sampling.strided_clip(20, 4, start=16).tolist() == [16, 17, 18, 19]
    assert sampling.sample_clip(Draws(), 20, 4).tolist() == [16, 17, 18, 19]
    only = Draws()
    assert sampling.sample_clip(only, 4, 4).tolist() == [0, 1, 2, 3]
    assert only.ranges == [(0, 1)]
    with pytest.raises(ValueError, match=r"start 1 is outside 0\.\.0 "):
        sampling.strided_clip(16, 16, start=1)
    for start in (-1, 11):
        with pytest.raises(ValueError, match=rf"start {start} is outside 0\.\.10 "):
            sampling.strided_clip(20, 4, 3, start=start)


def test_same_generator_same_clip_and_no_draw_for_a_fixed_clip():
    one, other = (np.random.default_rng([7, 3]) for _ in range(2))
    assert np.array_equal(sampling.sample_clip(one, 300, 32), sampling.sample_clip(other, 300, 32))
    assert sampling.sample_clip(NoDraws(), 20, 32).tolist() == [*range(20), *range(12)]
    assert sampling.cover_clip(NoDraws(), 3, 4).tolist() == [0, 1, 2, 0]
    assert sampling.cover_clip(NoDraws(), 4, 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("source_fps", [8.0, 12.5, 15.0, 24.0, 25.0, 29.97002997, 30.0, 50.0, 59.94, 120.0])
@pytest.mark.parametrize("num_frames", [1, 2, 9, 100, 1237])
def test_resampled_frames_keep_time(num_frames, source_fps):
    frames = sampling.resample(num_frames, source_fps, 25)
    assert frames.dtype == np.int64
    assert np.all(np.diff(frames) >= 0)
    if frames.size:
        assert frames[0] == 0
        assert frames[-1] < num_frames
        # Frame i of the resampled video is the one on screen at i / 25 seconds.
        shown = np.arange(frames.size) / 25 * source_fps
        assert np.all(frames <= shown + 1e-6)
        assert np.all(frames > shown - 1 - 1e-6)
    assert abs(frames.size - num_frames * 25 / source_fps) < 1


def test_resampled_by_time():
    """Half a second at 10 frames per second, a second at 2, and a frame that stands for 2 s."""
    moments = np.array([70, 170, 270, 370, 470, 570, 1070, 1570, 3570])
    assert sampling.resample(8, 2.3, 4, moments=moments).tolist() == [0, 2, 5, 5, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7]
    assert sampling.resample(8, 2.3, 0.5, moments=moments).tolist() == [0]
    assert sampling.resample(8, 2.3, None, moments=moments).tolist() == list(range(8))


@pytest.mark.parametrize("target", [5, 12.5, 25, 30, 50])
def test_by_time_a_constant_rate_gives_the_same(target):
    by_time = sampling.resample(1000, 25, target, moments=40 * np.arange(1001))
    assert by_time.tolist() == sampling.resample(1000, 25, target).tolist()


def refused(*given, moments=None):
    with pytest.raises(ValueError, match=r"^\d+ frames would last \S+ s, which is \S+ frames$"):
        sampling.resample(*given, moments=None if moments is None else np.array(moments))


def test_no_more_frames_than_any_video_has():
    most = 2**23
    assert len(sampling.resample(most - 1, 1, 1)) == most - 1
    refused(most, 1, 1)
    refused(most // 2, 1, 2)
    refused(2**12, 2**-11, 1)


def test_by_time_no_more_frames_than_any_video_has():
    most, second = 2**23, 1000
    assert len(sampling.resample(1, 25, 1, moments=np.array([0, (most - 1) * second]))) == most - 1
    late = np.array([most * second, (most + 1) * second, (most + 2) * second])
    assert sampling.resample(2, 25, 1, moments=late).tolist() == [0, 1]
    refused(2, 25, 1, moments=[second, 2 * second, (most + 1) * second])
    refused(1, 25, 1, moments=[-(2**63), 2**63 - 1])


def test_resampling_by_a_whole_step_keeps_the_last_frame():
    assert sampling.resample(7, 50, 25).tolist() == [0, 2, 4, 6]
    assert sampling.resample(7, 62.5, 25).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("num_frames", "source", "target", "kept"),
    [(10, 30, 12, [0, 2, 5, 7]), (3, 25, 50, [0, 0, 1, 1, 2, 2]), (4, 30, 20, [0, 1]), (1, 30, 25, [])],
)
def test_resampling_by_a_broken_step(num_frames, source, target, kept):
    frames = sampling.resample(num_frames, source, target)
    assert frames.tolist() == kept
    assert frames.dtype == np.int64


def test_a_frame_may_last_longer_than_a_second():
    assert sampling.resample(4, 0.5, 0.25).tolist() == [0, 2]


@pytest.mark.parametrize("wrong", [0, -25, math.inf, math.nan])
def test_rates_that_are_none(wrong):
    for rates in ((wrong, 25), (25, wrong)):
        with pytest.raises(ValueError, match="frame rates must be positive"):
            sampling.resample(20, *rates)


def test_cover_clip_at_the_largest_offset_stays_inside():
    class Highest:
        def uniform(self, low, high):
            return high  # Python's own may, by rounding

    assert sampling.cover_clip(Highest(), 24, 16)[-1] == 23


def test_clips_of_a_resampled_video_map_back():
    frames = sampling.resample(100, 50, 25)
    clip = frames[sampling.even_clips(len(frames), 16, n=1)[0]]
    assert clip.tolist() == list(range(34, 66, 2))


@pytest.mark.parametrize(
    ("height", "width"), [(240, 320), (320, 240), (256, 256), (7, 9), (1, 1), (2, 90), (100, 1000)]
)
def test_area_crops_stay_inside(height, width):
    rng = np.random.default_rng(0)
    for _ in range(300):
        top, left, h, w = sampling.random_area_crop(rng, height, width, area=(0.4, 1.0))
        assert 0 <= top <= height - h
        assert 0 <= left <= width - w
        assert h >= 1
        assert w >= 1
        assert {type(value) for value in (top, left, h, w)} == {int}


class Draws:
    """A generator whose uniform draws are given, and which takes the last place that it may."""

    def __init__(self, *uniform):
        self.given, self.ranges = list(uniform), []

    def uniform(self, low, high):
        self.ranges.append((low, high))
        return self.given.pop(0)

    def integers(self, low, high):
        self.ranges.append((low, high))
        return high - 1


def test_a_crop_from_its_draws():
    """Half of 100 x 200 pixels, a quarter wider than high: 112 x 89; the place is drawn last, top before left."""
    draws = Draws(0.5, math.log(1.25))
    assert sampling.random_area_crop(draws, 100, 200, area=(0.4, 1.0)) == (11, 88, 89, 112)
    shapes = (math.log(0.75), math.log(4 / 3))
    assert draws.ranges == [(0.4, 1.0), pytest.approx(shapes, rel=1e-12), (0, 12), (0, 89)]


def test_a_crop_may_be_the_whole_frame():
    assert sampling.random_area_crop(Draws(1.0, 0.0), 100, 100, area=(0.4, 1.0)) == (0, 0, 100, 100)


def test_a_crop_of_one_pixel_is_one_and_of_none_is_none():
    rng = np.random.default_rng(0)
    column = [sampling.random_area_crop(rng, 3, 1, area=(1 / 3, 1 / 3)) for _ in range(60)]
    assert set(column) == {(top, 0, 1, 1) for top in range(3)}
    row = [sampling.random_area_crop(rng, 1, 3, area=(1 / 3, 1 / 3)) for _ in range(60)]
    assert set(row) == {(0, left, 1, 1) for left in range(3)}
    quarter = [sampling.random_area_crop(rng, 1, 1, area=(0.25, 0.25)) for _ in range(60)]  # a side rounds to 0
    assert set(quarter) == {(0, 0, 1, 1)}


def test_ten_crops_are_tried():
    """The first nine are a pixel too wide or too high, or of no pixel at all."""
    wide, high, none = (1.0, math.log(1.02)), (1.0, -math.log(1.02)), (0.0, 0.0)
    nine = [*(wide * 4), *(high * 4), *none]
    assert sampling.random_area_crop(Draws(*nine, 0.25, 0.0), 100, 100, area=(0.0, 1.0)) == (50, 50, 50, 50)
    last = Draws(*nine, *wide)
    assert sampling.random_area_crop(last, 100, 100, area=(0.0, 1.0)) == (0, 0, 100, 100)
    assert len(last.ranges) == 20


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [
        (100, 1000, (0, 433, 100, 133)),
        (1000, 100, (433, 0, 133, 100)),
        (1, 9, (0, 4, 1, 1)),
        (9, 1, (4, 0, 1, 1)),
        (2, 1, (0, 0, 1, 1)),
    ],
)
def test_the_largest_shape_that_is_allowed(height, width, crop):
    assert sampling.random_area_crop(Draws(*[9.0, 0.0] * 10), height, width, area=(0.4, 1.0)) == crop


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [(240, 320, (0, 40, 240, 240)), (320, 241, (39, 0, 241, 241)), (7, 7, (0, 0, 7, 7)), (1, 4, (0, 1, 1, 1))],
)
def test_the_largest_centred_square(height, width, crop):
    assert sampling.centre_square_crop(height, width) == crop


@pytest.mark.parametrize("speeds", [(1,), (2,), (1, 2), (1, 3), (2, 3, 4)])
def test_frames_that_some_speed_shows(speeds):
    shown = {frame * speed for frame in range(16) for speed in speeds}
    assert sampling.shown_frames(16, speeds).tolist() == sorted(shown)


def test_what_cannot_be_sampled_is_refused():
    rng = np.random.default_rng(0)
    for call in (
        lambda: sampling.sample_clip(rng, 0, 16),
        lambda: sampling.even_clips(0, 16),
        lambda: sampling.cover_clip(rng, 0, 16),
        lambda: sampling.cover_clips(0, 16),
        lambda: sampling.sample_clip(rng, len(sampling.resample(1, 30, 25)), 16),
    ):
        with pytest.raises(ValueError, match="no clip of 16 frames can be taken from 0 frames"):
            call()
    with pytest.raises(ValueError, match="start 5 is outside"):
        sampling.strided_clip(20, 16, 1, start=5)
    with pytest.raises(ValueError, match="stride of at least 1"):
        sampling.sample_clip(rng, 20, 16, stride=0)
    with pytest.raises(ValueError, match="number of clips"):
        sampling.even_clips(20, 16, n=0)
    with pytest.raises(ValueError, match="frame rates must be positive"):
        sampling.resample(20, float("nan"), 25)
    for height, width in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match=f"{height} x {width} pixels"):
            sampling.random_area_crop(rng, height, width, area=(0.4, 1.0))
        with pytest.raises(ValueError, match=f"{height} x {width} pixels"):
            sampling.centre_square_crop(height, width)
    with pytest.raises(ValueError, match="at least 1, not size 0"):
        sampling.clip_span(0)
    with pytest.raises(ValueError, match="number of clips"):
        sampling.cover_clips(20, 16, n=0)


def test_no_more_frames_than_any_video_has_at_its_own_rate():
    assert len(sampling.resample(sampling.MOST_FRAMES, 0.0, None)) == sampling.MOST_FRAMES
    with pytest.raises(ValueError, match="more than any video has"):
        sampling.resample(sampling.MOST_FRAMES + 1, 0.0, None)
