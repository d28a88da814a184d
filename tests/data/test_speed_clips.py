"""Clips at several speeds: which frames they show, whatever reads them, and that their place tells no speed."""

import random

import numpy as np
import pytest
import torch

from rspnet.clipspec import ClipSpec
from rspnet.data import sampling
from rspnet.data.batches import OrderedBatches, Request
from rspnet.data.index import new_row, to_dataset
from rspnet.data.loader import Loader
from rspnet.data.speed_clips import SPEEDS, SpeedClips, SpeedPicker
from tests.support.numbered import number, write_numbered

COLOURS = ((0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Videos of 40, 20, 9 and 5 frames that are square, and a broken one between them."""
    root = tmp_path_factory.mktemp("speeds")
    lengths = {"a.mp4": 40, "b.mp4": 20, "d.mp4": 9, "e.mp4": 5}
    for name, length in lengths.items():
        write_numbered(root / name, length, size=(80, 80))
    (root / "c.mp4").write_bytes(b"no video")
    rows = [new_row(name, str(root)) for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")]
    return to_dataset(rows, root / "cache")


def clips(index, *speeds, seed=0, views=2, **changes):
    clip = ClipSpec(4, 80, *COLOURS, stride=2, views=views)
    return SpeedClips(index, clip, speeds or SPEEDS, seed=seed, time_limit=60.0)


def shown(view):
    return [number(frame) for frame in view.numpy()]


def test_a_speed_shows_every_so_many_frames_of_one_pass(index):
    """Stride times speed apart, as `shown_frames` has them in pretraining; spans of 7, 13 and 25 frames."""
    data = clips(index)
    assert [data.picker.span(speed) for speed in SPEEDS] == [7, 13, 25]
    batch = data.__getitems__([Request(0, row, row) for row in range(5)])
    assert batch["top"].tolist() == [4, 2, 0, 1, 0]
    assert batch["failed"].tolist() == [-1, -1, 2, -1, -1]
    assert len(batch["clips"]) == 6
    for place in range(2):
        for column, speed in enumerate(SPEEDS):
            for row, top in ((0, 4), (1, 2), (3, 1)):
                frames = shown(batch["clips"][3 * place + column][row])
                if speed <= top:
                    assert (np.diff(frames) == 2 * speed).all()
                    whole = sampling.strided_clip(40, 4 * 4, 2, start=0)[sampling.shown_frames(4, (speed,))]
                    assert (np.array(frames) - frames[0] == whole).all()
    assert shown(batch["clips"][0][4]) == sampling.strided_clip(5, 4, 2).tolist()  # looped or squeezed, and not used


def test_draws_hang_on_the_seed_and_the_video_alone(index):
    """Neither on who reads, nor on which speeds and videos beside it, nor on its place in the list."""
    expected = [clips(index).__getitems__([Request(0, row, row)])["clips"] for row in (0, 1)]
    loader = Loader(clips(index), OrderedBatches(5, 2), 2)
    first = next(iter(loader))
    loader.close()
    assert first["top"].tolist() == [4, 2]
    for row in (0, 1):
        assert all(torch.equal(one[row], other[0]) for one, other in zip(first["clips"], expected[row]))
    alone = clips(index, 1).__getitems__([Request(0, 0, 0)])
    some = clips(index, 1, 4).__getitems__([Request(0, 0, 0)])
    assert torch.equal(alone["seeds"], some["seeds"])
    assert all(torch.equal(one, other) for one, other in zip(alone["clips"], expected[0][::3]))
    assert torch.equal(some["clips"][3], expected[0][5])
    moved = clips(index.select([3, 1, 0])).__getitems__([Request(0, 2, 2)])
    assert torch.equal(moved["seeds"], alone["seeds"])
    assert all(torch.equal(one, other) for one, other in zip(moved["clips"], expected[0]))
    two = clips(index.select([1, 1]))
    assert not torch.equal(two.__getitems__([Request(0, 0, 0)])["seeds"], alone["seeds"])
    other = clips(index, seed=1).__getitems__([Request(0, 0, 0)])["clips"]
    assert any(not torch.equal(one, two) for one, two in zip(other, expected[0]))


@pytest.mark.parametrize("how", [{}, {"stride": 3}, {"sampling": "cover"}])
def test_the_place_tells_no_speed(how):
    """Middles are spread alike at every speed that fits, over all places where the longest fits; inside the video."""
    rng, draw = random.Random(0), np.random.default_rng(0)
    for _ in range(30):
        picker = SpeedPicker(rng.randrange(2, 9), views=200, **how)
        length = rng.randrange(1, 150)
        top = picker.top(length)
        assert top == max((speed for speed in SPEEDS if picker.span(speed) <= length), default=0)
        found = np.stack([frames for frames, _ in picker(draw, length, (8, 8))]).reshape(200, 3, -1)
        assert found.min() >= 0
        assert found.max() < length
        middles = [(found[:, place, 0] + found[:, place, -1]) / 2 for place, each in enumerate(SPEEDS) if each <= top]
        step = length / (picker.num_frames * max(top, 1)) if picker.sampling == "cover" else 1
        spread = step * top if picker.sampling == "cover" else length - picker.span(top or 1)
        for each in middles:
            assert abs(each.mean() - middles[-1].mean()) <= 0.1 * spread + 0.25 * step + (step > 1)
            assert each.max() - each.min() <= spread + step + 1
            if spread > 10:
                assert each.max() - each.min() >= 0.6 * spread


def test_clips_that_cover_the_video():
    """At the highest speed from end to end; at half of it over half of the video."""
    picker = SpeedPicker(4, sampling="cover", views=50)
    for frames, _ in picker(np.random.default_rng(0), 160, (8, 8))[2::3]:
        assert 110 <= frames[-1] - frames[0] <= 130  # three of four steps of 40 frames
    for frames, _ in picker(np.random.default_rng(0), 160, (8, 8))[1::3]:
        assert 55 <= frames[-1] - frames[0] <= 65
    assert [picker.top(length) for length in (3, 4, 8, 15, 16)] == [0, 1, 2, 2, 4]


def test_it_draws_itself():
    with pytest.raises(ValueError, match="need a generator"):
        SpeedPicker(4)(None, 10, (8, 8))
