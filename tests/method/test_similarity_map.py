"""The maps against those of the published code, against plain loops, and for what they are said to be."""

import numpy as np
import pytest
import torch
from torch import nn

from rspnet.encoders import create_encoder
from rspnet.method.heads import Embedder
from rspnet.method.similarity_map import similarity_map, similarity_maps
from tests.support import replay_step
from tests.support.slow import mean


def plain_map(features, weight, other_features, other_weight):
    """Of one pair, position by position; features are lists of rows, one for each position."""
    pooled = mean(other_features)
    projected = [sum(w * x for w, x in zip(row, pooled, strict=True)) for row in other_weight]
    back = [sum(p * row[d] for p, row in zip(projected, weight, strict=True)) for d in range(len(pooled))]
    return [sum(b * f for b, f in zip(back, position, strict=True)) for position in features]


def by_position(features):
    """(D, t, h, w) as rows."""
    return features.flatten(1).T.tolist()


def draws(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_it_is_the_formula_position_by_position():
    features, others = draws(3, 5, 2, 3, 4), draws(3, 5, 1, 2, 2)
    weight, other_weight = draws(6, 5), draws(6, 5) + 1
    found = similarity_map(features, weight, other_features=others, other_weight=other_weight)
    assert found.shape == (3, 2, 3, 4)
    for row in range(3):
        pair = by_position(features[row]), weight.tolist(), by_position(others[row]), other_weight.tolist()
        torch.testing.assert_close(found[row].flatten(), torch.tensor(plain_map(*pair), dtype=torch.float64))


def test_its_mean_is_the_similarity_of_the_two_clips():
    one, two, mine, others = draws(4, 5, 2, 3, 3), draws(4, 5, 2, 2, 2), draws(6, 5), draws(7, 5)[:6]
    similarity = ((one.mean((2, 3, 4)) @ mine.T) * (two.mean((2, 3, 4)) @ others.T)).sum(1)
    there = similarity_map(one, mine, other_features=two, other_weight=others)
    back = similarity_map(two, others, other_features=one, other_weight=mine)
    torch.testing.assert_close(there.mean((1, 2, 3)), similarity)
    torch.testing.assert_close(back.mean((1, 2, 3)), similarity)


class Blind(nn.Module):
    """The clip itself is the map."""

    num_features = 3

    def forward_features(self, clips):
        return clips


def test_each_clip_is_mapped_by_its_own_network_and_each_head_has_its_name():
    torch.manual_seed(0)
    first, second = Embedder(Blind(), dim=4), Embedder(Blind(), dim=4)
    clips, others = torch.randn(2, 3, 2, 2, 2), torch.randn(2, 3, 2, 2, 2)
    maps, other_maps = similarity_maps(first, second, clips=clips, other_clips=others)
    for head in ("appearance", "motion"):
        mine, theirs = getattr(first, head).weight, getattr(second, head).weight
        torch.testing.assert_close(
            getattr(maps, head), similarity_map(clips, mine, other_features=others, other_weight=theirs)
        )
        torch.testing.assert_close(
            getattr(other_maps, head), similarity_map(others, theirs, other_features=clips, other_weight=mine)
        )
    assert not maps.motion.requires_grad


def published_networks(recipe, name):
    for which in ("encoder_q", "encoder_k"):
        embedder = Embedder(create_encoder(name), 128)
        for key, value in embedder.state_dict().items():
            key = replay_step.published_name(f"query_encoder.{key}").replace("encoder_q", which)
            value.copy_(torch.from_numpy(np.asarray(recipe.fill_array(key, value.shape))).reshape(value.shape))
        yield embedder.eval()


@pytest.mark.parametrize(
    "name", ["s3dg", *(pytest.param(name, marks=pytest.mark.slow) for name in ("c3d", "resnet18", "r2plus1d"))]
)
def test_those_of_the_published_code(shared, name):
    """Of pairs one by one; of two at once, the published second clips are in the order in which they were shuffled.

    The first half of the batch, rounded down, in the drawn order plays at normal speed, the rest twice as fast.
    """
    recipe, recorded = replay_step.load_recipe(shared / "fixtures"), np.load(shared / "fixtures/cam_cases.npz")
    query_encoder, key_encoder = published_networks(recipe, name)
    for batch, fast, shuffle in ((1, [0], [0]), (2, [0], [1, 0])):
        seen = []
        for seed in (400, 401):
            clips = torch.from_numpy(recipe.clip_array(seed, (batch, 3, 32, 112, 112)))
            played = clips[:, :, :16].clone()
            played[fast] = clips[fast, :, ::2]
            seen.append(played)
        found = similarity_maps(query_encoder, key_encoder, clips=seen[0], other_clips=seen[1][shuffle])
        for letter, maps in zip("qk", found, strict=True):
            for head, ours in (("A", maps.appearance), ("M", maps.motion)):
                published = recorded[f"{name}/B{batch}/{letter}{head}"]
                np.testing.assert_allclose(ours, published, rtol=0, atol=1e-5 * np.abs(published).max())
