"""Batched augmentation: the published pixels under injected draws, torchvision as a second opinion, the draws.

That they follow the published distributions: tests/data/test_distributions.py.
"""

import colorsys
import random
from itertools import permutations

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as v2

from rspnet.cli import options
from rspnet.data import augment, jitter
from rspnet.data.augment import Augment, Draws
from rspnet.data.jitter import JITTER
from rspnet.data.sampling import random_area_crop


@pytest.fixture(scope="module")
def published(shared):
    with np.load(shared / "fixtures" / "augment_cases.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def make_draws(gray=False, factors=(1.0, 1.0, 1.0, 0.0), order=(0, 1, 2, 3), flip=False):
    return Draws(
        gray=torch.tensor([gray]),
        factors=torch.tensor([factors], dtype=torch.float32),
        order=torch.tensor([order]),
        flip=torch.tensor([flip]),
    )


def chain(**changes):
    """The published pretraining's, but for the changes."""
    return Augment(**vars(options.Augment()) | changes)


def random_clips(n=5, frames=4, height=10, width=12, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (n, frames, height, width, 3), dtype=np.uint8))


def value(number):
    return torch.tensor(number, dtype=torch.float32).view(-1, 1, 1, 1, 1)


def batch_of(array):
    """A copy of a published clip as a batch of one: the operations work in place."""
    return torch.from_numpy(array.copy())[None]


def resize(clips, size):
    """The published resize of a float (N, 3, T, H, W), in the data set's hands in real runs."""
    frames = functional.interpolate(clips.transpose(1, 2).flatten(0, 1), size=(size, size), mode="bilinear")
    return frames.unflatten(0, (len(clips), -1)).transpose(1, 2)


def assert_published(clips, expected):
    assert clips.shape == (1, *expected.shape)
    np.testing.assert_allclose(clips[0].numpy(), expected, rtol=0, atol=1e-5)


# The published arrays.


def test_published_input_and_normalisation(published):
    clips = augment.to_float(torch.from_numpy(np.random.default_rng(300).random((3, 20, 28, 3)) * 256).byte()[None])
    assert_published(clips, published["to_tensor"])
    assert_published(resize(clips, 16), published["resize16"])
    assert_published(resize(clips, 24), published["resize24"])
    small = batch_of(published["resize16"])
    assert_published(augment._normalise_(small, augment.MEAN, augment.STD), published["normalized"])


def test_published_single_operations(published):
    tested = 0
    for name, expected in published.items():
        clips = batch_of(published["edge_in" if name.startswith("edge") else "resize16"])
        operation, _, number = name.removeprefix("edge_").partition("_")
        if operation == "gray":
            assert_published(jitter.grayscale(clips).expand_as(clips), expected)
        elif operation in JITTER:
            assert_published(getattr(jitter, f"{operation}_")(clips, value(float(number))), expected)
        else:
            continue
        tested += 1
    assert tested == 11


def test_published_hsv(published):
    hue, saturation, brightness = published["hsv"].reshape(3, -1)
    for place, pixel in enumerate(published["resize16"].reshape(3, -1).T):
        expected = colorsys.rgb_to_hsv(*pixel.astype(float))
        assert (hue[place], saturation[place], brightness[place]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_published_jitter(published, seed):
    clips = batch_of(published["resize16"])
    letters = "".join(name[0] for name in JITTER)
    order = [letters.index(letter) for letter in published[f"jitter_seed{seed}_order"]]
    draws = make_draws(factors=published[f"jitter_seed{seed}_factors"].tolist(), order=order)
    assert_published(chain().apply_(clips, draws), published[f"jitter_seed{seed}"])


class PythonRandom:
    """Python's ``random`` behind the calls that the crop makes of a numpy generator."""

    def __init__(self, stream):
        self.uniform = stream.uniform
        self.integers = lambda low, high: stream.randint(low, high - 1)


def test_published_whole_chain(published):
    """The crop's draws and the chain's from one stream, as the published code has it."""
    frames = torch.from_numpy(np.random.default_rng(300).random((3, 20, 28, 3)) * 256).byte()[None]
    settings = chain()
    clips, draws = [], []
    for seed in range(8):
        stream = random.Random(seed)
        top, left, height, width = random_area_crop(PythonRandom(stream), 20, 28, area=(0.4, 1.0))
        crop = frames[:, :, top : top + height, left : left + width]
        clips.append(resize(augment.to_float(crop), 16))
        gray = stream.random() < settings.gray
        factors = [stream.uniform(0.6, 1.4) for _ in range(3)] + [stream.uniform(-0.4, 0.4)]
        order = [0, 1, 2, 3]
        stream.shuffle(order)
        draws.append(make_draws(gray, factors, order, flip=stream.random() < settings.flip))
        assert stream.random() == published[f"vid_seed{seed}_next_random"]  # the same number of draws was made
    for seed, (clip, draw) in enumerate(zip(clips, draws, strict=True)):
        done = augment._normalise_(settings.apply_(clip, draw), augment.MEAN, augment.STD)
        assert_published(done, published[f"vid_seed{seed}"])


# Other references.


def test_hue_equals_the_way_through_hsv():
    clips = random_clips(n=9, frames=2, height=6, width=6).permute(0, 4, 1, 2, 3) / 255
    clips[:, :, 0, 0] = torch.tensor([0.0, 0.5, 1.0]).repeat(2)  # grey, black, white
    clips[:, :, 0, 1] = torch.eye(3).repeat(1, 2)  # pure colours
    clips[:, :, 0, 2] = 1 - torch.eye(3).repeat(1, 2)  # their complements
    shifts = [-0.5, -0.4, -1 / 3, -0.123, 0.0, 1 / 6, 0.21, 0.4, 0.5]
    expected = clips.clone()
    for n, shift in enumerate(shifts):
        for t, h, w in np.ndindex(2, 6, 6):
            hue, saturation, brightness = colorsys.rgb_to_hsv(*clips[n, :, t, h, w].tolist())
            rgb = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, brightness)
            expected[n, :, t, h, w] = torch.tensor(rgb)
    torch.testing.assert_close(jitter.hue_(clips, value(shifts)), expected, rtol=0, atol=1e-6)


def test_chain_equals_torchvision_clip_by_clip():
    clips = random_clips(n=24)
    settings = chain()
    draws = settings.draw(np.arange(24))
    draws.order[:] = torch.tensor(list(permutations(range(4))))  # every order once
    operations = (v2.adjust_brightness, v2.adjust_contrast, v2.adjust_saturation, v2.adjust_hue)
    augmented = settings(clips, draws)
    for n, clip in enumerate(clips):
        # Frames stacked into one tall picture: torchvision then takes the mean of them all for the contrast.
        picture = clip.permute(3, 0, 1, 2).flatten(1, 2).float() / 255
        if draws.gray[n]:
            picture = v2.rgb_to_grayscale(picture, num_output_channels=3)
        for number in draws.order[n]:
            picture = operations[number](picture, float(draws.factors[n, number]))
        if draws.flip[n]:
            picture = v2.horizontal_flip(picture)
        picture = v2.normalize(picture, list(augment.MEAN), list(augment.STD))
        torch.testing.assert_close(augmented[n].flatten(1, 2), picture, rtol=0, atol=1e-5)


def test_normalise_alone():
    clips = random_clips()
    expected = v2.normalize(clips.permute(0, 1, 4, 2, 3) / 255, list(augment.MEAN), list(augment.STD)).transpose(1, 2)
    assert torch.equal(augment.normalise(clips), expected)
    still = chain(gray=0, brightness=0, contrast=0, saturation=0, hue=0, flip=0)
    assert torch.equal(still(clips, still.draw(np.arange(5))), expected)
    assert augment.normalise(clips, mean=(0, 0, 0), std=(1, 1, 1)).max() == 1


# Properties.


def test_frames_of_a_constant_clip_stay_equal():
    clips = random_clips(n=16, frames=1).expand(-1, 6, -1, -1, -1)
    settings = chain()
    augmented = settings(clips, settings.draw(np.arange(16)))
    assert torch.equal(augmented, augmented[:, :, :1].expand_as(augmented))
    assert not torch.equal(augmented[0], augmented[1])


def test_whole_batch_equals_one_by_one():
    """An accelerator's ways (sorted; compiled, one course for all) give the pixels of a processor's, one by one."""
    clips = random_clips(n=48)
    for settings in (
        chain(),
        chain(hue=0),
        chain(gray=0, brightness=0, contrast=0, saturation=0, hue=0, channels="BGR"),
    ):
        draws = settings.draw(np.arange(100, 148))
        draws.order[:24] = torch.tensor(list(permutations(range(4))))  # every order
        for found in (settings.sorted(clips, draws), settings.together(clips, draws.table())):
            torch.testing.assert_close(settings(clips, draws), found, rtol=0, atol=1e-6)


def test_sorted_clips_are_put_through_what_they_need_alone(monkeypatch):
    """Of a batch of which all turns differ each clip goes through each operation once."""
    seen = []

    def counted(name, operation):
        return lambda clips, factor: seen.append((name, len(clips), len(factor))) or operation(clips, factor)

    monkeypatch.setattr(jitter, "OPERATIONS", [counted(*each) for each in zip(JITTER, jitter.OPERATIONS)])
    settings = chain(contrast=0)
    settings.sorted(random_clips(n=40), settings.draw(np.arange(40)))
    assert {name: sum(n for other, n, _ in seen if other == name) for name in JITTER} == {
        "brightness": 40,
        "contrast": 0,
        "saturation": 40,
        "hue": 40,
    }
    assert len(seen) <= 12
    assert all(clips == factors for _, clips, factors in seen)


def test_what_a_clip_does_not_need_changes_nothing_in_the_course_of_all():
    clips = random_clips(n=1)
    settings = chain(hue=0)
    for gray, flip in ((False, False), (True, True)):
        draws = make_draws(gray=gray, flip=flip, order=(2, 0, 3, 1))
        assert torch.equal(settings.together(clips, draws.table()), settings(clips, draws))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device_gives_the_same_pixels():
    clips = random_clips(n=32)
    settings = chain()
    draws = settings.draw(np.arange(32))
    on_device = settings(clips.cuda(), draws)
    assert on_device.is_cuda
    torch.testing.assert_close(on_device.cpu(), settings(clips, draws), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shape_type_and_range(dtype):
    clips = random_clips(n=3)
    before = clips.clone()
    settings = chain()
    draws = settings.draw(np.arange(3))
    augmented = settings(clips, draws, dtype=dtype)
    assert augmented.shape == (3, 3, 4, 10, 12)
    assert augmented.dtype == dtype
    assert augmented.is_contiguous()
    assert torch.equal(clips, before)
    assert torch.equal(augmented, settings(clips, draws).to(dtype))
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (augment.MEAN, augment.STD))
    pixels = augmented.float() * std + mean
    assert pixels.min() > -0.01
    assert pixels.max() < 1.01
    assert settings(clips[:0], draws[:0]).shape == (0, 3, 4, 10, 12)


# Draws.


def test_draws_depend_on_the_clips_own_seed_alone():
    settings = chain()
    seeds = np.array([5, -3, 2**63 - 1, 5, 17])
    draws = settings.draw(seeds)
    assert len(draws) == 5
    for n, seed in enumerate(seeds):
        alone = settings.draw(np.array([seed]))
        for name in ("gray", "factors", "order", "flip"):
            assert torch.equal(getattr(draws, name)[n], getattr(alone, name)[0])
    assert torch.equal(draws.factors[0], draws.factors[3])
    assert len(torch.unique(draws.factors, dim=0)) == 4
    milder = chain(hue=0.1, gray=0).draw(seeds)
    assert torch.equal(milder.factors[:, :3], draws.factors[:, :3])  # one setting leaves the other draws alone
    torch.testing.assert_close(milder.factors[:, 3] * 4, draws.factors[:, 3])


def test_draws_are_not_those_of_the_same_seed_elsewhere():
    plain = np.random.Generator(np.random.Philox(key=7)).random(10)
    factors = chain().draw(np.array([7])).factors[0].numpy()
    assert np.abs(factors[:3] - (0.6 + 0.8 * plain[1:4])).max() > 1e-3


def test_draws_never_change():
    """A run resumed under a later version must go on with the same draws."""
    draws = chain().draw(np.array([0, 1]))
    np.testing.assert_allclose(draws.factors.numpy(), GOLDEN_FACTORS, atol=1e-6)
    assert draws.order.tolist() == GOLDEN_ORDER


GOLDEN_FACTORS = [[1.3361486, 1.2130251, 1.1267989, 0.2313072], [0.7409064, 0.9595131, 0.7104232, -0.3024594]]
GOLDEN_ORDER = [[2, 0, 3, 1], [1, 3, 2, 0]]


def test_mistakes_are_refused():
    settings = chain()
    with pytest.raises(ValueError, match="expected draws for 3 clips, got draws for 2"):
        settings(random_clips(n=3), settings.draw(np.arange(2)))
    with pytest.raises(ValueError, match="expected uint8 clips"):
        augment.normalise(random_clips().float())
    with pytest.raises(ValueError, match="expected uint8 clips"):
        augment.normalise(random_clips().permute(0, 4, 1, 2, 3))
