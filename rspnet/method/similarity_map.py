"""Similarity activation maps: which positions of two clips make them similar for a projection head.

For a head with weight W, the similarity of clips i and j is the dot product of W_i x_i and W_j x_j, where x is the mean
of the last feature map F over its positions. It is therefore the mean over positions of the map

    M_i = ((W_j x_j)^T W_i) F_i

of clip i (the paper's supplement), and likewise of the map M_j of clip j. The head's bias and the normalisation of the
embeddings are left out, as in the supplement and in the published code, whose maps these are
(tests/method/test_similarity_map.py), but for two faults of the latter: it leaves the second clips' features in
shuffled order, and exchanges the file names of the two heads.

N clips, T frames, H x W pixels, D features, E embedding dimension; t, h, w are the positions of the last map.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rspnet.method.heads import Embedder


class Maps(NamedTuple):
    """The maps of N clips, each (N, t, h, w).

    Attributes:
        appearance: map of the A-VID head, which discriminates videos.
        motion: map of the RSP head, which discriminates playback speeds.
    """

    appearance: Tensor
    motion: Tensor


def similarity_map(features: Tensor, weight: Tensor, *, other_features: Tensor, other_weight: Tensor) -> Tensor:
    """Return the map M_i of the first clip i of each pair with the second clip j, for one head.

    Args:
        features: F_i, last feature map of the first clips (N, D, t, h, w).
        weight: W_i, the head's weight in the network that embeds the first clips (E, D).
        other_features: F_j, last feature map of the second clips (N, D, ...), whose t, h, w may differ.
        other_weight: W_j, the head's weight in the network that embeds the second clips (E, D).

    Returns:
        (N, t, h, w). The mean over positions is the dot product of the two projections, without bias.
    """
    projected = other_features.mean((2, 3, 4)) @ other_weight.T
    return torch.einsum("ndthw,nd->nthw", features, projected @ weight)


@torch.no_grad()
def similarity_maps(first: Embedder, second: Embedder, *, clips: Tensor, other_clips: Tensor) -> tuple[Maps, Maps]:
    """Return the maps of the first and of the second clips of N pairs, for both heads.

    Args:
        first: embeds the first clips; as published, the query encoder, in eval mode.
        second: embeds the second clips; as published, the key encoder, in eval mode.
        clips: first clip of each pair (N, 3, T, H, W), normalised.
        other_clips: second clip of each pair (N, 3, T, H, W), normalised.
    """
    one, two = first.encoder.forward_features(clips), second.encoder.forward_features(other_clips)
    heads = [(getattr(first, name).weight, getattr(second, name).weight) for name in Maps._fields]
    return (
        Maps(*(similarity_map(one, mine, other_features=two, other_weight=others) for mine, others in heads)),
        Maps(*(similarity_map(two, others, other_features=one, other_weight=mine) for mine, others in heads)),
    )
