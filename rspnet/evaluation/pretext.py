"""The two tasks of the pretraining on videos that it has not seen: RSP, which speed; A-VID, which video.

Two clips of each video, a query and a key, from places of their own, each at both speeds. RSP: is the query nearer to
the key at its own speed than to the one at the other? A-VID: is it nearer to the key of its own video, at either speed,
than to those of other videos? Ties count against the network, as in the log of a pretraining.

N videos, D embedding dimension; embeddings are unit-norm.
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
"""Of the clips, as published."""
NEGATIVES = 255
"""Other videos that a query is compared with, at most; so that the number does not hang on how many there are."""
_FEWEST = 2
_AT_ONCE = 256  # queries


class Embeddings(nn.Module):
    """A query and a key encoder with their heads, as one network.

    Args:
        query_encoder: embeds the first clips.
        key_encoder: embeds the second ones.
    """

    def __init__(self, query_encoder: Embedder, key_encoder: Embedder) -> None:
        super().__init__()
        self.query_encoder, self.key_encoder = query_encoder, key_encoder

    def forward(self, views: Tensor) -> Tensor:
        """Views (N, 4, 3, T, H, W), a query at both speeds and a key at both, to embeddings (N, 4, 2, D).

        The appearance embedding of each clip comes before the motion embedding.
        """
        pairs = zip((self.query_encoder, self.key_encoder), views.chunk(2, dim=1))
        found = [torch.stack(encoder(half.flatten(0, 1)), dim=1) for encoder, half in pairs]
        return torch.cat([each.unflatten(0, (len(views), 2)) for each in found], dim=1)


def embed(forward: Forward, videos: TestSet, desc: str) -> Outputs:
    """The embeddings of a list of videos, and before them the highest speed that each is long enough for.

    Args:
        forward: an `Embeddings`.
        videos: `rspnet.data.speed_clips.SpeedClips` of two places, at `SPEEDS`.
        desc: what the videos are.

    Raises:
        VideoError: as `rspnet.evaluation.predict.predict`.
    """

    def embedded(batch: Batch) -> Tensor:
        found = forward(batch["clips"], videos.size)
        return torch.cat([cast(SpeedBatch, batch)["top"][:, None].to(found), found], dim=1)

    return outputs_of(embedded, videos, desc)


def pretext(embedded: Outputs, picker: SpeedPicker, *, seed: int) -> Found:
    """How well both tasks are done.

    Args:
        embedded: what `embed` gives.
        picker: chose the clips.
        seed: of the draw of negatives.

    Raises:
        ConfigError: too few videos are long enough for a clip at the higher speed.
    """
    rows = (embedded.values[:, 0] >= SPEEDS[1]).nonzero()[:, 0]
    if len(rows) < _FEWEST:
        raise ConfigError(
            f"protocol: pretext; only {some(len(rows), 'video')} of {len(embedded)} is as long as a clip at "
            f"{SPEEDS[1]}x, {picker.span(SPEEDS[1])} frames: give longer ones, or a smaller --clips.num_frames or "
            "--clips.stride"
        )
    clips = embedded.values[rows, 1:].unflatten(1, (4, 2, -1))
    (query, key), (query_motion, key_motion) = (clips[:, :, head].chunk(2, dim=1) for head in (0, 1))
    negatives = min(NEGATIVES, len(rows) - 1)
    order = np.random.default_rng([seed, 0, 0, 4]).permutation(len(rows))  # a stream apart from those of the clips
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
    """Share (N,) of a video's queries that are nearer to their own speed; of motion embeddings (N, 2, D) by speed."""
    similar = torch.einsum("nsd,ntd->nst", query, key)
    near, far = similar.diagonal(dim1=1, dim2=2), similar.flip(2).diagonal(dim1=1, dim2=2)
    return (near > far).float().mean(1)


def instance_hits(query: Tensor, key: Tensor, order: Tensor, *, negatives: int) -> Tensor:
    """Share (N,) of a video's pairs of query and key, at any speeds, that are nearer than those with other keys.

    Args:
        query: appearance embeddings (N, 2, D), by speed.
        key: likewise.
        order: of the videos (N,): a query is compared with the keys, at the same speed, of the videos behind its own.
        negatives: how many these are, less than N.
    """
    found = torch.empty(len(query))
    behind = 1 + torch.arange(negatives)
    for places in torch.arange(len(query)).split(_AT_ONCE):
        videos, others = order[places], order[(places[:, None] + behind) % len(query)]
        own = torch.einsum("nsd,ntd->nst", query[videos], key[videos])
        theirs = torch.einsum("nsd,nmtd->nstm", query[videos], key[others])
        found[videos] = (own > theirs.amax(3)).float().mean((1, 2))
    return found
