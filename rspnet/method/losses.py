"""The two losses of RSPNet. N clips, D embedding dimension, Q queue length; embeddings are unit-norm rows."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(query: Tensor, positive: Tensor, queue: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """Appearance loss (A-VID): the clip of the same video against the queue (paper eq. 4; MoCo's form of InfoNCE).

    Args:
        query: query embeddings (N, D).
        positive: key embeddings (N, D), row i from the same video as query i.
        queue: negatives (D, Q).
        temperature: divisor of the cosine similarities.

    Returns:
        The mean cross-entropy, and the logits (N, 1 + Q) whose column 0 is the positive.
    """
    similarity = torch.cat([(query * positive).sum(1, keepdim=True), query @ queue], dim=1)
    logits = similarity / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long)), logits


def relative_speed(
    query: Tensor, same: Tensor, other: Tensor, *, temperature: float, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Motion loss (RSP): clips of one speed lie nearer than clips of two speeds, by a margin (paper eq. 2).

    The published code divides the similarities by the temperature before it applies the margin.

    Args:
        query: query embeddings (N, D).
        same: key embeddings (N, D) of clips played at the query's speed.
        other: key embeddings (N, D) of the same clips played at the other speed.
        temperature: divisor of the cosine similarities.
        margin: wanted gap, in units of similarity / temperature.

    Returns:
        The mean loss, and the two similarities / temperature (N,): same speed, other speed.
    """
    positive = (query * same).sum(1) / temperature
    negative = (query * other).sum(1) / temperature
    return F.margin_ranking_loss(positive, negative, torch.ones_like(positive), margin), positive, negative
