"""What a synthetic video shows: motion is the only cue to its class."""

import numpy as np
import pytest

from rspnet.data.motions import MOTIONS, NUM_FRAMES, draw

SIDE = 72


def tracks(name, count=200):
    rng = np.random.default_rng(0)
    return [MOTIONS[name](rng, SIDE, SIDE) for _ in range(count)]


@pytest.mark.parametrize("name", MOTIONS)
def test_the_centre_stays_in_the_frame(name):
    for x, y, radius in tracks(name):
        assert x.shape == y.shape == radius.shape == (NUM_FRAMES,)
        assert radius.min() > 3
        for path in (x, y):
            assert path.min() > 0  # half of it at least can be seen at every moment
            assert path.max() < SIDE


def test_motions_are_what_their_names_say():
    x, y, radius = range(3)
    moving = {"Bounce": {y}, "Circle": {x, y}, "Pulse": {radius}, "Rise": {y}, "Slide": {x}}
    for name in MOTIONS:
        steps = np.diff(np.stack([np.stack(track) for track in tracks(name)]))  # video, axis, time
        assert {axis for axis in range(3) if steps[:, axis].any()} == moving[name[4:]]
        if name.endswith("Rise"):  # all but the few steps back to the start
            assert (np.median(steps[:, y], axis=1) < 0).all()
        if name.endswith("Slide"):  # at one speed, either way
            way = np.median(steps[:, x], axis=1)
            assert (np.isclose(steps[:, x], way[:, None]).mean(axis=1) > 0.9).all()
            assert 0.3 < (way > 0).mean() < 0.7


@pytest.mark.parametrize("path", ["Bounce", "Circle", "Pulse", "Rise", "Slide"])
def test_fast_and_slow_are_one_path_at_two_paces(path):
    fast, slow = (np.array(tracks(pace + path)) for pace in ("Fast", "Slow"))
    for axis in range(3):  # the ways are as long; over so few frames a slow one may not be complete
        assert np.ptp(slow[:, axis], axis=1).mean() == pytest.approx(np.ptp(fast[:, axis], axis=1).mean(), rel=0.1)
    step = [np.median(np.abs(np.diff(track)).sum(axis=1), axis=1).mean() for track in (slow, fast)]
    assert 1.8 < step[1] / step[0] < 3


@pytest.mark.parametrize("axis", range(3))
def test_a_single_frame_does_not_tell_the_class(axis):
    """Place and size at a random moment are spread alike over all classes."""
    rng = np.random.default_rng(1)
    spread = {name: [track[axis][rng.integers(NUM_FRAMES)] for track in tracks(name, 400)] for name in MOTIONS}
    everything = np.concatenate(list(spread.values()))
    low, high = np.quantile(everything, [0.1, 0.9])
    for values in spread.values():
        assert abs(np.mean(values) - everything.mean()) < 0.35 * everything.std()
        assert ((values > low) & (values < high)).mean() > 0.5


def test_what_is_drawn_moves():
    frames = draw("FastSlide", np.random.default_rng(5), np.random.default_rng(6))
    assert frames.dtype == np.uint8
    assert frames.shape[0] == NUM_FRAMES
    assert frames.shape[3] == 3
    assert np.abs(np.diff(frames.astype(int), axis=0)).max(axis=(1, 2, 3)).min() > 10
