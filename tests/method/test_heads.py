"""Two linear heads on one encoder, each on the unit sphere."""

import torch
from torch import nn

from rspnet.method.heads import Embedder


class Flat(nn.Module):
    """Clips as their numbers are."""

    num_features = 12

    def forward(self, clips):
        return clips.flatten(1)


def test_embeddings_are_unit_vectors_of_a_linear_head_each():
    torch.manual_seed(0)
    model, clips = Embedder(Flat(), dim=5), torch.randn(4, 3, 1, 2, 2)
    embeddings = model(clips)
    for head, found in zip((model.appearance, model.motion), embeddings, strict=True):
        projected = clips.flatten(1) @ head.weight.T + head.bias
        torch.testing.assert_close(found, projected / projected.square().sum(1, keepdim=True).sqrt())
    assert not torch.equal(*embeddings)


def test_the_published_dimension_and_names():
    shapes = {name: tuple(value.shape) for name, value in Embedder(Flat()).state_dict().items()}
    sides = {"weight": (128, 12), "bias": (128,)}
    assert shapes == {f"{head}.{side}": shape for head in ("appearance", "motion") for side, shape in sides.items()}
