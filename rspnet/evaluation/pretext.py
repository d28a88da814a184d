"""The two pretext tasks, RSP (which speed) and A-VID (which video), on videos that the pretraining has not seen.

Each video gives two clips, a query and a key, each from random places and at both speeds. RSP: is the query nearer to
the key at its own speed than to the key at the other speed? A-VID: is the query nearer to the key of its own video, at
either speed, than to the keys of other videos? Ties count as wrong, as in the log of a pretraining.

N videos, D embedding dimension; embeddings have unit norm.
"""

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from rspnet.console import some
from rspnet.data.batches import Batch
from rspnet.data.sets import TestSet
from rspnet.data.speed_clips import SpeedBatch, SpeedPicker
from rspnet.errors import ConfigError
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.found import Found, of_videos
from rspnet.evaluation.predict import Outputs, outputs_of
from rspnet.method.heads import Embedder

SPEEDS = (1, 2)
"""Playback speeds of the clips, as published."""
NEGATIVES = 255
"""Maximum number of other videos that a query is compared with, so that accuracies on test sets of different sizes are
comparable."""
_FEWEST = 2
_AT_ONCE = 256  # queries


class Embeddings(nn.Module):
    """The query encoder and the key encoder with their heads, as one network.

    Args:
        query_encoder: embeds the query clips.
        key_encoder: embeds the key clips.
    """

    def __init__(self, query_encoder: Embedder, key_encoder: Embedder) -> None:
        super().__init__()
        self.query_encoder, self.key_encoder = query_encoder, key_encoder

    def forward(self, views: Tensor) -> Tensor:
        """Map views (N, 4, 3, T, H, W), the query at both speeds and the key at both, to embeddings (N, 4, 2, D).

        The appearance embedding of each clip comes before its motion embedding.
        """
        pairs = zip((self.query_encoder, self.key_encoder), views.chunk(2, dim=1))
        found = [torch.stack(encoder(half.flatten(0, 1)), dim=1) for encoder, half in pairs]
        return torch.cat([each.unflatten(0, (len(views), 2)) for each in found], dim=1)


def embed(forward: Forward, videos: TestSet, desc: str) -> Outputs:
    """Return for each video of a list the highest speed that it is long enough for, followed by its embeddings.

    Args:
        forward: runs an `Embeddings`.
        videos: test set of `rspnet.data.speed_clips.SpeedClips` of two places, at `SPEEDS`.
        desc: what the videos are, for the progress bar and messages.

    Raises:
        VideoError: as for `rspnet.evaluation.predict.predict`.
    """

    def embedded(batch: Batch) -> Tensor:
        found = forward(batch["clips"], videos.size)
        return torch.cat([cast(SpeedBatch, batch)["top"][:, None].to(found), found], dim=1)

    return outputs_of(embedded, videos, desc)


def pretext(embedded: Outputs, picker: SpeedPicker, *, seed: int) -> Found:
    """Return the accuracies of both tasks.

    Args:
        embedded: the result of `embed`.
        picker: the picker that chose the clips.
        seed: seed of the draw of negatives.

    Raises:
        ConfigError: too few videos are long enough for a clip at the higher speed.
    """
    rows = (embedded.values[:, 0] >= SPEEDS[1]).nonzero()[:, 0]
    if len(rows) < _FEWEST:
        raise ConfigError(
            f"protocol: pretext; {len(rows)} of {some(len(embedded), 'video')} {'is' if len(rows) else 'are'} as long "
            f"as a clip at {SPEEDS[1]}x, {picker.span(SPEEDS[1])} frames: give longer ones, or a smaller "
            "--clips.num_frames or --clips.stride"
        )
    clips = embedded.values[rows, 1:].unflatten(1, (4, 2, -1))
    (query, key), (query_motion, key_motion) = (clips[:, :, head].chunk(2, dim=1) for head in (0, 1))
    negatives = min(NEGATIVES, len(rows) - 1)
    order = np.random.default_rng([seed, 0, 0, 4]).permutation(len(rows))  # a stream independent of the clips' streams
    values = {
        "rsp_accuracy": relative_speed_hits(query_motion, key_motion),
        "avid_top1": instance_hits(query, key, torch.from_numpy(order), negatives=negatives),
    }
    means = {name: 100 * float(each.mean()) for name, each in values.items()}
    chance = {"rsp_accuracy": 50.0, "avid_top1": 100 / (1 + negatives)}
    counts = {"num_negatives": negatives, "num_videos": len(rows), "left_out": len(embedded) - len(rows)}
    percent = {name: 100 * each.double().numpy() for name, each in values.items()}
    return of_videos(embedded.videos.select(rows), {**means, "chance": chance, **counts}, percent)


def relative_speed_hits(query: Tensor, key: Tensor) -> Tensor:
    """Return the share (N,) of each video's two queries that are nearer to the key at their own speed.

    Args:
        query: motion embeddings (N, 2, D), by speed.
        key: motion embeddings (N, 2, D), by speed.
    """
    similar = torch.einsum("nsd,ntd->nst", query, key)
    near, far = similar.diagonal(dim1=1, dim2=2), similar.flip(2).diagonal(dim1=1, dim2=2)
    return (near > far).float().mean(1)


def instance_hits(query: Tensor, key: Tensor, order: Tensor, *, negatives: int) -> Tensor:
    """Return the share (N,) of each video's four pairs of query and key speed where its own key is the nearest.

    Args:
        query: appearance embeddings (N, 2, D), by speed.
        key: appearance embeddings (N, 2, D), by speed.
        order: permutation of the videos (N,). The negatives of a video are the keys, at the same speed as its own key,
            of the videos that follow it in this order.
        negatives: number of negatives, less than N.
    """
    found = torch.empty(len(query))
    behind = 1 + torch.arange(negatives)
    for places in torch.arange(len(query)).split(_AT_ONCE):
        videos, others = order[places], order[(places[:, None] + behind) % len(query)]
        own = torch.einsum("nsd,ntd->nst", query[videos], key[videos])
        theirs = torch.einsum("nsd,nmtd->nstm", query[videos], key[others])
        found[videos] = (own > theirs.amax(3)).float().mean((1, 2))
    return found
