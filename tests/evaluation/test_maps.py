"""From clips as they are read to maps as they are drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from rspnet.clipspec import ClipSpec
from rspnet.data.augment import normalise
from rspnet.data.speed_pairs import ReadClip
from rspnet.evaluation.maps import Mapper
from rspnet.method.heads import Embedder
from rspnet.method.similarity_map import similarity_maps

CPU = torch.device("cpu")
CLIP = ClipSpec(4, 6, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), channels="BGR")


class Blind(nn.Module):
    """The clip itself is the map."""

    num_features = 3

    def forward_features(self, clips):
        return clips


@pytest.fixture
def embedders():
    torch.manual_seed(0)
    return Embedder(Blind(), dim=5), Embedder(Blind(), dim=5)


def read(speed, frames=(2, 3, 4, 5)):
    pixels = np.random.default_rng(speed).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    return ReadClip(speed, np.array(frames), pixels)


def test_the_network_sees_normalised_clips_and_the_reader_of_the_picture_the_frames(embedders):
    one, two = read(1), read(2, (2, 4, 6, 8))
    pair = Mapper(*embedders, CLIP, device=CPU)([one, two], title="a video", about="weights")
    fed = [normalise(torch.from_numpy(each.pixels)[None], CLIP.mean, CLIP.std, channels="BGR") for each in (one, two)]
    wanted = similarity_maps(*embedders, clips=fed[0], other_clips=fed[1])
    for clip, each, maps in zip(pair.clips, (one, two), wanted, strict=True):
        assert np.array_equal(clip.frames, each.pixels)
        assert np.array_equal(clip.maps["motion"], maps.motion[0])
        assert np.array_equal(clip.maps["appearance"], maps.appearance[0])
    assert (pair.title, pair.about) == ("a video", "weights")


def test_networks_are_tested_as_they_are(embedders):
    Mapper(embedders[0].train(), embedders[1].train(), CLIP, device=CPU)
    assert not embedders[0].training
    assert not embedders[1].training


@pytest.mark.parametrize(
    ("clip", "read_clip", "caption"),
    [
        ({}, read(1), "speed 1: frames 2 to 5"),
        ({}, read(2, (2, 4, 6, 8)), "speed 2: frames 2 to 8, one of every 2"),
        ({"stride": 3}, read(1, (0, 3, 6, 9)), "speed 1: frames 0 to 9, one of every 3"),
        ({"sampling": "cover"}, read(2, (0, 5, 9, 14)), "speed 2: frames 0 to 14"),
        ({"frame_rate": 5.0}, read(2, (0, 5, 9, 14)), "speed 2: frames 0 to 14"),
        ({}, read(1, (0, 1, 0, 1)), "speed 1: frames 0 to 1, looped: the video is shorter than the clip"),
    ],
)
def test_what_is_said_of_a_clip(clip, read_clip, caption):
    mapper = SimpleNamespace(clip=ClipSpec(4, 6, (0.0,) * 3, (1.0,) * 3, **clip))
    assert Mapper._caption(mapper, read_clip) == caption


def test_maps_that_are_no_numbers_are_not_drawn(embedders):
    embedders[1].motion.weight.data.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="a video: its maps are NaN or infinite"):
        Mapper(*embedders, CLIP, device=CPU)([read(1), read(2)], title="a video", about="weights")
