"""Films and strips of two clips under their maps."""

import numpy as np
import pytest

from rspnet.drawing import similarity
from rspnet.drawing.colours import Scale, overlaid
from rspnet.drawing.similarity import HEADS, Clip, Pair, film, over_frames, strip
from rspnet.drawing.text import length

DRAWS = np.random.default_rng(0)


def clip(shape=(2, 3, 3), num_frames=8, size=12):
    frames = DRAWS.integers(0, 256, (num_frames, size, size, 3), dtype=np.uint8)
    return Clip("speed 1", frames, {head: DRAWS.normal(size=shape).astype(np.float32) for head in HEADS})


def pair(*clips):
    return Pair("a video", "a network", clips or (clip(), clip()))


def test_a_map_lies_over_the_frames_and_pixels_that_it_was_made_of():
    """Each number in the middle of its share, straight lines between, the last ones to the edge."""
    spread = over_frames(np.array([[[0.0, 8.0]], [[4.0, 4.0]]]), num_frames=8, side=4)
    assert spread.shape == (8, 4, 4)
    assert spread[0, 0].tolist() == [0, 2, 6, 8]
    assert spread[:, 0, 0].tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
    assert (spread == spread[:, :1]).all()  # one row of positions
    np.testing.assert_allclose(over_frames(np.full((1, 1, 1), 7.0), 5, 6), np.full((5, 6, 6), 7), rtol=1e-6)
    assert over_frames(np.zeros((4, 2, 2)), 2, 4).shape == (2, 4, 4)  # more steps than frames


def test_each_picture_of_the_film_has_its_frame_beside_its_maps():
    shown = pair()
    pictures = list(film(shown, side=12))
    assert len(pictures) == 8
    assert all(side % 2 == 0 for side in pictures[0].shape[:2])
    for number, picture in enumerate(pictures):
        for one in shown.clips:
            (place,) = places(picture, one.frames[number])
            for column, head in enumerate(HEADS, 1):
                levels = Scale.of(one.maps[head]).levels(over_frames(one.maps[head], 8, 12))
                there = (place[0], place[1] + column * 20)
                assert there in places(picture, overlaid(one.frames, levels)[number])


def places(page, picture):
    """Where in a page a picture is."""
    windows = np.lib.stride_tricks.sliding_window_view(page, picture.shape)[:, :, 0]
    return list(zip(*(axis.tolist() for axis in np.nonzero((windows == picture).all((2, 3, 4))))))


def test_the_strip_has_frames_from_first_to_last_above_their_maps():
    shown = pair()
    page = strip(shown, side=12, columns=3)
    for one in shown.clips:
        found = [places(page, one.frames[number]) for number in (0, 4, 7)]
        assert [len(place) for place in found] == [1, 1, 1]
        tops, lefts = zip(*(place for (place,) in found))
        assert len(set(tops)) == 1
        assert lefts[0] < lefts[1] < lefts[2]
        assert not places(page, one.frames[2])
        levels = Scale.of(one.maps["appearance"]).levels(over_frames(one.maps["appearance"], 8, 12))
        assert places(page, overlaid(one.frames, levels)[7]) == [(tops[2] + 28, lefts[2])]


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_clips_with_fewer_frames_than_columns(num_frames):
    shown = pair(clip(num_frames=num_frames), clip(num_frames=num_frames))
    page = strip(shown, side=12)
    for one in shown.clips:
        assert all(places(page, frame) for frame in one.frames)
    assert len(list(film(shown, 12))) == num_frames


def test_a_map_that_is_the_same_everywhere_is_said_to_be_so():
    """Also where its numbers differ by rounding: their colours would tell nothing but that."""
    flat, told = clip((1, 2, 2)), clip((1, 1, 1))
    flat.maps["motion"][...] = 0.3 * (1 + np.array([[0, 1e-7], [2e-7, 0]]))
    assert flat.flat() == ["motion"]
    assert flat.ranges()[0] == "0.300 everywhere"
    assert told.flat() == ["motion", "appearance"]
    assert clip().flat() == []
    dark = overlaid(flat.frames, np.zeros((8, 12, 12)))
    assert np.array_equal(flat.panels(12)[1], dark)
    assert not np.array_equal(flat.panels(12)[2], dark)


def test_what_is_written_is_in_the_picture():
    """Another title, caption or range of numbers is another picture; the numbers alone change no colour."""
    one = clip(size=96)
    more = Clip(one.caption, one.frames, {head: 2 * positions for head, positions in one.maps.items()})
    plain = pair(one, one)
    others = [pair(one, more), Pair("another", plain.about, plain.clips), Pair(plain.title, "another", plain.clips)]
    others.append(pair(one, Clip("speed 2", one.frames, one.maps)))
    for draw in (lambda shown: strip(shown, 48), lambda shown: next(film(shown, 160))):
        pictures = [draw(shown) for shown in (plain, *others)]
        assert all(not np.array_equal(pictures[0], other) for other in pictures[1:])


@pytest.mark.parametrize("factor", [1.0, 1e-4, 1e5])
def test_the_ranges_of_the_maps_are_written_whole(monkeypatch, factor):
    one = clip(size=96)
    shown = pair(Clip(one.caption, one.frames, {head: factor * positions for head, positions in one.maps.items()}), one)
    room = []
    monkeypatch.setattr(similarity, "write", lambda _, text, *, width, size, **__: room.append((text, width, size)))
    next(film(shown))
    strip(shown)
    assert [text for text, width, size in room if length(text, size) > width] == []
    assert {told for each in shown.clips for told in each.ranges()} < {text for text, *_ in room}
