"""Everything that is drawn follows the published distributions: tests of fit against plain versions of the rules.

The seeds are fixed, so a test passes or fails for good. Each statistic is held to what chance exceeds once in a
thousand times, and the samples are large enough that a range or a rule a few percent off goes beyond it.
"""

import math
import random
from collections import Counter
from itertools import combinations, pairwise, permutations
from pathlib import Path

import datasets
import numpy as np
import pytest

from rspnet.cli import options
from rspnet.data import clip_dataset, sampling
from rspnet.data.augment import Augment
from rspnet.data.batches import Request, TrainBatches
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.picker import Picker
from rspnet.errors import VideoError
from rspnet.method.draws import StepDraws

DRAWS = 4000
FRAMES, HEIGHT, WIDTH = 40, 240, 320


# Statistics: what chance exceeds with p = 0.001.


def assert_counts(counts, expected):
    """Pearson's chi-square of counts in cells against what is expected there; the limit is Wilson and Hilferty's."""
    counts, expected = np.asarray(counts, dtype=float).ravel(), np.asarray(expected, dtype=float).ravel()
    assert counts.shape == expected.shape
    assert counts.sum() == pytest.approx(expected.sum())
    freedom = len(counts) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 3.0902 * math.sqrt(2 / (9 * freedom))) ** 3
    assert ((counts - expected) ** 2 / expected).sum() < limit


def assert_even(outcomes, possible):
    """Each of the possible outcomes is as likely as the other, and no other occurs."""
    counts = Counter(outcomes)
    assert counts.keys() <= set(possible)
    assert_counts([counts[outcome] for outcome in possible], [len(outcomes) / len(possible)] * len(possible))


def assert_share(outcomes, probability):
    hits = int(np.sum(outcomes))
    size = len(outcomes)
    assert_counts([hits, size - hits], [size * probability, size * (1 - probability)])


def assert_uniform(values, low, high):
    """Kolmogorov and Smirnov's distance from the uniform distribution, and both ends."""
    values = (np.sort(np.asarray(values, dtype=float)) - low) / (high - low)
    end = 7.6 / len(values)  # the least and the largest of them lie within this of the ends
    assert -1e-6 < values[0] < end
    assert 1 - end < values[-1] < 1 + 1e-6
    places = np.arange(len(values))
    assert max((values - places / len(values)).max(), ((places + 1) / len(values) - values).max()) < 1.95 / math.sqrt(
        len(values)
    )


def assert_alike(values, plain):
    """Kolmogorov and Smirnov's distance between two samples."""
    values, plain = np.sort(values), np.sort(plain)
    both = np.concatenate([values, plain])
    below = [np.searchsorted(sample, both, side="right") / len(sample) for sample in (values, plain)]
    assert np.abs(below[0] - below[1]).max() < 1.95 * math.sqrt(1 / len(values) + 1 / len(plain))


def assert_independent(one, other, cells=5):
    """A table of two columns, each cut into equally frequent parts."""
    parts = [np.argsort(np.argsort(column, kind="stable")) * cells // len(column) for column in (one, other)]
    table = np.zeros((cells, cells))
    np.add.at(table, tuple(parts), 1)
    assert_counts(table, np.full(cells**2, len(one) / cells**2))


# What pretraining draws for the two clips of a video, through the data set.


class FakeVideo:
    """Stands for `rspnet.video.reader.Video`; its clips say what was asked for."""

    num_frames, fps, height, width = FRAMES, 25.0, HEIGHT, WIDTH

    def __init__(self, path, **kwargs):
        if Path(path).name == "broken":
            raise VideoError(f"{path}: broken")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def read_clips(self, pairs, size, out):
        """Draw what was asked for into the first bytes of each clip."""
        for (frames, crop), clip in zip(pairs, out, strict=True):
            assert np.all(np.diff(frames) == 1)
            asked(clip)[:] = [frames[0], len(frames), *crop]


def asked(clip):
    """First frame, number of frames, crop: what `FakeVideo` was asked for this clip."""
    return clip.reshape(-1)[:24].view(np.int32)


def clips_of(names, picker, seed=0, **kwargs):
    rows = [{"video": name, "root": "", "num_frames": None, "label": None} for name in names]
    index = datasets.Dataset.from_list(rows)
    return ClipDataset(index, picker, 4, seed=seed, **kwargs)


@pytest.fixture(scope="module")
def pairs():
    """Two clips of each of DRAWS videos: (start, top, left, height, width) of each clip, and its photometric draws."""
    settings = options.Augment()
    picker = Picker(32, views=2, crop_area=tuple(settings.crop_area))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_dataset, "Video", FakeVideo)
        clips = clips_of("a", picker)
        items = [clips[Request(epoch, position, 0)] for epoch in range(2) for position in range(DRAWS // 2)]
    shown = np.stack([[asked(clip.numpy()) for clip in item["clips"]] for item in items])
    assert (shown[:, :, 1] == 32).all()
    augment = Augment(**vars(settings))
    seeds = np.stack([item["seeds"].numpy() for item in items])
    return [(np.delete(shown[:, clip], 1, axis=1), augment.draw(seeds[:, clip])) for clip in (0, 1)]


def columns(clip):
    """All draws of a clip as independent columns of numbers, by name."""
    places, draws = clip
    start, top, left, height, width = places.T
    spread = np.random.default_rng(1).random((2, len(top)))  # an integer and what lies up to the next one
    found = {
        "start": start,
        "area": height * width,
        "shape": width / height,
        "top": (top + spread[0]) / (HEIGHT - height + 1),
        "left": (left + spread[1]) / (WIDTH - width + 1),
        "gray": draws.gray.numpy(),
        "flip": draws.flip.numpy(),
        "first": draws.order[:, 0].numpy(),
    }
    return found | {f"factor {number}": draws.factors[:, number].numpy() for number in range(4)}


def test_starts_of_the_two_clips(pairs):
    """40 frames have room for 9 starts of 32; all 81 pairs of them are equally likely."""
    starts = list(zip(*(places[:, 0].tolist() for places, _ in pairs)))
    assert_even(starts, [(one, other) for one in range(9) for other in range(9)])


@pytest.mark.parametrize("clip", [0, 1])
def test_crops_of_either_clip(pairs, clip):
    plain = plain_crops(HEIGHT, WIDTH, (0.4, 1.0))
    assert_crops(pairs[clip][0][:, 1:], plain, HEIGHT, WIDTH)


@pytest.mark.parametrize("clip", [0, 1])
def test_colours_and_flips_of_either_clip(pairs, clip):
    draws = pairs[clip][1]
    assert_share(draws.gray.numpy(), 0.2)
    assert_share(draws.flip.numpy(), 0.5)
    for number, (low, high) in enumerate([(0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.4, 0.4)]):
        assert_uniform(draws.factors[:, number].numpy(), low, high)
    assert_even([tuple(order) for order in draws.order.tolist()], list(permutations(range(4))))


def test_no_draw_depends_on_another(pairs):
    """Within a clip, between the two clips of a video, and between neighbours in an epoch."""
    one, other = (columns(pair) for pair in pairs)
    for name in ("area", "shape", "top", "left", *(f"factor {number}" for number in range(4))):
        assert_independent(one[name], other[name])
    table = [*one.values(), *other.values()]
    table += [np.roll(column, 1) for column in table]
    names = [f"{which} {name}" for which in ("query", "key", "next query", "next key") for name in one]
    correlations = np.corrcoef(np.array(table, dtype=float))
    for a, b in combinations(range(len(names)), 2):
        if {names[a].split()[-1], names[b].split()[-1]} == {"area", "shape"}:
            continue  # of one crop these are not: what fits into the frame depends on both
        assert abs(correlations[a, b]) < 5 / math.sqrt(DRAWS), (names[a], names[b])


def test_a_broken_videos_place_goes_to_any_other(monkeypatch):
    monkeypatch.setattr(clip_dataset, "Video", FakeVideo)
    clips = clips_of(["a", "b", "broken", "c", "d", "e"], Picker(32, crop_area=(1.0, 1.0)), replace=True)
    assert_even([clips[Request(0, position, 2)]["row"] for position in range(1500)], [0, 1, 3, 4, 5])


# Crops.


def plain_crop(stream, height, width, area):
    """The published rule: ten attempts at a random share of the frame and a random shape, else the middle."""
    for _ in range(10):
        pixels = stream.uniform(*area) * height * width
        ratio = math.exp(stream.uniform(math.log(0.75), math.log(1 / 0.75)))
        across, down = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
        if across <= width and down <= height:
            return stream.randint(0, height - down), stream.randint(0, width - across), down, across
    across, down = width, height
    if width / height > 4 / 3:
        across = round(height * 4 / 3)
    elif width / height < 3 / 4:
        down = round(width / (3 / 4))
    return (height - down) // 2, (width - across) // 2, down, across


def plain_crops(height, width, area, count=20_000):
    stream = random.Random(7)
    return [plain_crop(stream, height, width, area) for _ in range(count)]


def assert_crops(crops, plain, height, width):
    """Sizes, shapes and places are distributed as those of the plain rule."""
    measured = []
    for sample in (crops, plain):
        top, left, down, across = np.array(sample).T
        spread = np.random.default_rng(len(sample)).random((2, len(top)))
        place = (top + spread[0]) / (height - down + 1), (left + spread[1]) / (width - across + 1)
        measured.append((down * across, across / down, down, across, *place))
    for ours, theirs in zip(*measured, strict=True):
        assert_alike(ours, theirs)


@pytest.mark.parametrize(
    ("height", "width", "area"),
    [
        (240, 320, (0.25, 1.0)),
        (340, 256, (0.4, 1.0)),
        (2000, 2000, (0.4, 1.0)),
        (9, 12, (0.4, 1.0)),
        (150, 300, (0.4, 1.0)),  # every eighth ends in the middle
    ],
)
def test_crops(height, width, area):
    rng = np.random.default_rng(0)
    plain = plain_crops(height, width, area)
    crops = [sampling.random_area_crop(rng, height, width, area=area) for _ in range(8000)]
    assert_crops(crops, plain, height, width)
    if (height, width) == (150, 300):
        share = plain.count((0, 50, 150, 200)) / len(plain)
        assert 0.1 < share < 0.15
        assert abs(crops.count((0, 50, 150, 200)) / len(crops) - share) < 3.29 * math.sqrt(
            share * (1 - share) * (1 / len(crops) + 1 / len(plain))
        )


def test_shares_and_shapes_without_a_frame():
    """Where everything fits, the share of the frame is uniform and so is the logarithm of the shape."""
    rng = np.random.default_rng(0)
    crops = [sampling.random_area_crop(rng, 10_000, 10_000, area=(0.25, 0.5)) for _ in range(8000)]
    _, _, height, width = np.array(crops).T
    assert_uniform(height * width / 1e8, 0.25 - 1e-4, 0.5 + 1e-4)
    assert_uniform(np.log(width / height), math.log(3 / 4) - 2e-4, math.log(4 / 3) + 2e-4)
    assert_independent(height * width, width / height)


@pytest.mark.parametrize(("height", "width"), [(100, 1000), (1000, 100), (37, 211), (211, 37)])
def test_what_never_fits_is_cut_from_the_middle(height, width):
    rng = np.random.default_rng(0)
    assert {sampling.random_area_crop(rng, height, width, area=(0.4, 1.0)) for _ in range(50)} == set(
        plain_crops(height, width, (0.4, 1), 50)
    )


# Frames.


@pytest.mark.parametrize(("num_frames", "size", "stride"), [(40, 32, 1), (33, 32, 1), (300, 16, 4), (32, 32, 1)])
def test_starts(num_frames, size, stride):
    rng = np.random.default_rng(0)
    last = num_frames - (size - 1) * stride - 1
    starts = [int(sampling.sample_clip(rng, num_frames, size, stride=stride)[0]) for _ in range(60 * (last + 1))]
    if last:
        assert_even(starts, range(last + 1))
    assert set(starts) == set(range(last + 1))


@pytest.mark.parametrize(("num_frames", "size"), [(24, 16), (61, 16), (17, 16), (100, 8)])
def test_frames_that_cover_the_video(num_frames, size):
    """One offset, uniform in the part of the video that a frame stands for."""
    rng = np.random.default_rng(0)
    part = num_frames / size
    expected = Counter()
    for n in range(20_000):
        offset = (n + 0.5) / 20_000 * part
        expected[tuple(min(math.floor(i * part + offset), num_frames - 1) for i in range(size))] += DRAWS / 20_000
    found = Counter(tuple(sampling.cover_clip(rng, num_frames, size).tolist()) for _ in range(DRAWS))
    assert found.keys() <= expected.keys()
    assert_counts([found[frames] for frames in expected], list(expected.values()))


# Steps and epochs.


def test_half_of_each_group_plays_fast():
    """Any half, in each group of four apart from the other."""
    halves = list(combinations(range(4), 2))
    found = []
    draws = StepDraws(0, 8, [2], bn_groups=2)
    for step in range(DRAWS):
        groups = draws[step].fast.view(2, 4).tolist()
        found.append(tuple(tuple(n for n in range(4) if group[n]) for group in groups))
    assert_even(found, [(one, other) for one in halves for other in halves])


def test_shuffles_and_speeds_of_a_step():
    """Of three clips two play fast; which, at what speed, and the two shuffles do not depend on one another."""
    orders = list(permutations(range(3)))
    fast, speeds, shuffles = [], [], []
    for step in range(DRAWS):
        draws = StepDraws(3, 3, [2, 4, 8], bn_groups=1)[step]
        fast.append(tuple(draws.fast.int().tolist()))
        speeds.append(draws.speed)
        shuffles.append((tuple(draws.shuffle_other.tolist()), tuple(draws.shuffle_same.tolist())))
    two = [(0, 1, 1), (1, 0, 1), (1, 1, 0)]
    assert_even(list(zip(fast, speeds)), [(which, speed) for which in two for speed in (2, 4, 8)])
    assert_even(shuffles, [(one, other) for one in orders for other in orders])
    assert_even(list(zip(fast, shuffles)), [(a, (b, c)) for a in two for b in orders for c in orders])
    assert_even(list(pairwise(speeds)), [(one, other) for one in (2, 4, 8) for other in (2, 4, 8)])


def test_order_of_the_videos():
    """Any order, in each epoch apart from the one before; and the videos left out are any."""
    batches = TrainBatches(4, 3, seed=0)
    rows = []
    for epoch in range(DRAWS):
        batches.seek(epoch)
        (batch,) = batches
        rows.append(tuple(request.row for request in batch))
    orders = list(permutations(range(4), 3))
    assert_even(rows, orders)
    assert_even([(one[0], other[0]) for one, other in pairwise(rows)], [(a, b) for a in range(4) for b in range(4)])
