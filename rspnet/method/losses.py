"""The two losses of RSPNet, L_a (A-VID) and L_m (RSP).

N clips, D embedding dimension, Q queue length; embeddings have unit norm, so that a dot product is a cosine similarity.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(query: Tensor, positive: Tensor, queue: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Appearance loss L_a (A-VID): recognise the key of the query's own video among keys of others (paper, eq. 4).

    This is InfoNCE in MoCo's form: a cross-entropy over one positive and Q negatives, whose target is the positive.

    Args:
        query: appearance embeddings of the query clips (N, D).
        positive: appearance embeddings of the key clips (N, D); row i is from the same video as query i.
        queue: negatives, embeddings of earlier key clips (D, Q).
        temperature: divisor of the cosine similarities.

    Returns:
        The mean cross-entropy (scalar), and the logits (N, 1 + Q), whose column 0 is the positive.
    """
    similarity = torch.cat([(query * positive).sum(1, keepdim=True), query @ queue], dim=1)
    logits = similarity / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long)), logits


def relative_speed(
    query: Tensor, same: Tensor, other: Tensor, *, temperature: float, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Motion loss L_m (RSP): a query is to be closer, by a margin, to clips at its own speed (paper, eq. 2).

    This is the triplet loss max(0, margin - (near - far)), where near and far are the similarities of the query to the
    key clip at its own speed and at the other speed. As in the published code, they are divided by the temperature
    before the margin is applied.

    Args:
        query: motion embeddings of the query clips (N, D).
        same: motion embeddings of the key clips at the query's speed (N, D).
        other: motion embeddings of the same key clips at the other speed (N, D).
        temperature: divisor of the cosine similarities.
        margin: smallest difference that costs nothing, in units of similarity / temperature.

    Returns:
        The mean loss (scalar), near (N,) and far (N,).
    """
    positive = (query * same).sum(1) / temperature
    negative = (query * other).sum(1) / temperature
    return F.margin_ranking_loss(positive, negative, torch.ones_like(positive), margin), positive, negative
