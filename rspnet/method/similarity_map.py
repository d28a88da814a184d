"""Similarity activation maps: where in two clips lies what makes them alike to a head.

The similarity of clips i and j to a head is the product of their projections W_i x_i and W_j x_j; x is the mean of the
last feature map F over its positions. So it is the mean over positions of the supplement's map of clip i,

    M_i = ((W_j x_j)^T W_i) F_i

and of that of clip j just as well. The head's bias and the lengths of the embeddings are left out, in the supplement as
in the published code, whose maps these are (tests/method/test_similarity_map.py). There, however, the second clips'
features stay in the order in which they were shuffled over the batch, and the files of the two heads have each other's
name.

N clips, T frames, H W pixels, D features, E embedding dimension; t, h, w are the positions of the last map.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rspnet.method.heads import Embedder


class Maps(NamedTuple):
    """The maps of N clips, each (N, t, h, w).

    Attributes:
        appearance: of the head that tells videos apart (A-VID).
        motion: of the head that tells speeds apart (RSP).
    """

    appearance: Tensor
    motion: Tensor


def similarity_map(features: Tensor, weight: Tensor, *, other_features: Tensor, other_weight: Tensor) -> Tensor:
    """Return where the first clip of each pair is like the second one, to one head.

    Args:
        features: last map of the first clips (N, D, t, h, w).
        weight: of the head on them (E, D).
        other_features: of the second clips, at as many positions or at others.
        other_weight: of the same head on those.

    Returns:
        (N, t, h, w), whose mean over positions is the product of the two projections, without a bias.
    """
    projected = other_features.mean((2, 3, 4)) @ other_weight.T
    return torch.einsum("ndthw,nd->nthw", features, projected @ weight)


@torch.no_grad()
def similarity_maps(first: Embedder, second: Embedder, *, clips: Tensor, other_clips: Tensor) -> tuple[Maps, Maps]:
    """Return the maps of N pairs of clips, of the first ones and of the second ones.

    Args:
        first: encodes the first clips; as published, the query encoder, in eval mode.
        second: encodes the second ones; as published, the key encoder.
        clips: the first of each pair (N, 3, T, H, W), normalised.
        other_clips: the second of each pair, likewise.
    """
    one, two = first.encoder.forward_features(clips), second.encoder.forward_features(other_clips)
    heads = [(getattr(first, name).weight, getattr(second, name).weight) for name in Maps._fields]
    return (
        Maps(*(similarity_map(one, mine, other_features=two, other_weight=others) for mine, others in heads)),
        Maps(*(similarity_map(two, others, other_features=one, other_weight=mine) for mine, others in heads)),
    )
