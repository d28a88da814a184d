"""RSPNet's pretraining step as one module: it takes two clips of each video and returns the losses of both tasks.

Each video gives a query clip, which plays at normal or at higher speed, and a key clip, which is embedded at both.

- Relative speed perception (RSP, loss L_m): the query is closer to the key at its own speed than at the other speed.
- Appearance-focused video instance discrimination (A-VID, loss L_a): the query is closer to the key, at either speed,
  than to the keys of other videos, which a queue holds.

The key encoder follows the query encoder by momentum (MoCo). Paper: Chen et al., AAAI 2021, arXiv:2011.07949. Tested
against recorded steps of the published code (tests/method/test_pretext.py, tests/support/replay_step.py).

N clips of this process, A clips of all processes, T frames per clip, U >= T frames of a key clip that are shown at any
speed, D embedding dimension, Q queue length.
"""

import copy
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor, nn

from rspnet.data.sampling import shown_frames
from rspnet.method.draws import Draws
from rspnet.method.exchange import Shuffle, exchange, gather, share
from rspnet.method.heads import Embedder, Encoder
from rspnet.method.losses import info_nce, relative_speed
from rspnet.method.momentum import Queue, grouped, momentum_update


@dataclass(frozen=True)
class Keys:
    """What the queries of a step are compared with; without gradients.

    Attributes:
        same: appearance and motion embeddings of the key clips at the query's speed, side by side (N, 2 D).
        other: those of the key clips at the other speed (N, 2 D).
        negatives: the queue (D, Q) as it was before these keys were put into it.
    """

    same: Tensor
    other: Tensor
    negatives: Tensor

    def __getitem__(self, rows: slice) -> "Keys":
        """Return the keys of some of the clips."""
        return Keys(self.same[rows], self.other[rows], self.negatives)


class RSPNet(nn.Module):
    """Query encoder, key encoder and queue.

    `forward` does all that happens in a step, including the updates of key encoder and queue, because it is the only
    method left once DistributedDataParallel wraps the module.

    Args:
        encoder: f, the network to train; maps clips (N, 3, T, H, W) to features (N, `num_features`).
        num_frames: T, frames of a clip at either speed.
        dim: D, embedding dimension.
        queue_length: Q, number of negatives.
        momentum: weight of the key encoder's old parameters in each update.
        temperature: divisor of the similarities in both losses.
        margin: margin of the RSP loss, in units of similarity / temperature.
        appearance_weight: weight of the A-VID loss.
        motion_weight: weight of the RSP loss.
        groups: number of batch-norm groups in this process.
    """

    def __init__(
        self,
        encoder: Encoder,
        num_frames: int,
        *,
        dim: int,
        queue_length: int,
        momentum: float,
        temperature: float,
        margin: float,
        appearance_weight: float,
        motion_weight: float,
        groups: int,
    ) -> None:
        super().__init__()
        self.query_encoder = Embedder(encoder, dim)
        self.key_encoder = copy.deepcopy(self.query_encoder).requires_grad_(False)
        self.queue = Queue(dim, queue_length)
        self.num_frames = num_frames
        self.momentum = momentum
        self.temperature = temperature
        self.margin = margin
        self.appearance_weight = appearance_weight
        self.motion_weight = motion_weight
        self.groups = groups
        # Every process computes the same queue, so DistributedDataParallel need not broadcast it in every step.
        self._ddp_params_and_buffers_to_ignore = [f"queue.{name}" for name, _ in self.queue.named_buffers()]

    @property
    def chance(self) -> dict[str, float]:
        """Accuracies by chance, in percent, by the name of the log term."""
        top1 = 100 / (1 + self.queue.columns.shape[1])
        return {"avid_top1": top1, "avid_top5": min(5 * top1, 100), "rsp_accuracy": 50}

    @overload
    def forward(self, query_clips: Tensor, key_clips: Tensor | Keys, draws: Draws) -> dict[str, Tensor]: ...

    @overload
    def forward(self, query_clips: None, key_clips: Tensor, draws: Draws) -> Keys: ...

    def forward(self, query_clips: Tensor | None, key_clips: Tensor | Keys, draws: Draws) -> dict[str, Tensor] | Keys:
        """Update the key encoder and the queue, and return the losses of one training step.

        A step can also be computed in two halves. Without query clips this is the first half, which makes the updates
        and returns the keys. With these keys in place of key clips it is the second half, which computes the losses; it
        also accepts part of a step, namely the same rows of query clips and keys, in whole batch-norm groups.

        Args:
            query_clips: query clips (N, 3, T, H, W), normalised, each at its speed in `draws`; or None.
            key_clips: another clip of each video (N, 3, U, H, W), normalised: the U frames that are shown at normal
                or at higher speed, see `rspnet.data.sampling.shown_frames`; or the keys of a first half.
            draws: the step's random choices.

        Returns:
            The keys if `query_clips` is None. Else the ``loss`` to minimise and, detached, its parts ``loss_avid``
            (of both key speeds) and ``loss_rsp``, the terms of `LOG_TERMS`, the A-VID logits ``logits_same`` and
            ``logits_other`` (N, 1 + Q), the RSP similarities / temperature ``near`` and ``far`` (N,), and the queries'
            appearance ``embeddings`` (N, D).
        """
        keys = key_clips if isinstance(key_clips, Keys) else self._keys(key_clips, draws)
        if query_clips is None:
            return keys
        size = len(draws.fast) // self.groups
        query_heads = grouped(self.query_encoder, query_clips.split(size))
        query, query_motion = (head.to(keys.negatives.dtype) for head in query_heads)
        (same, same_motion), (other, other_motion) = keys.same.chunk(2, dim=1), keys.other.chunk(2, dim=1)
        with torch.autocast(query.device.type, enabled=False):
            loss_same, logits_same = info_nce(query, same, keys.negatives, temperature=self.temperature)
            loss_other, logits_other = info_nce(query, other, keys.negatives, temperature=self.temperature)
            loss_rsp, near, far = relative_speed(
                query_motion, same_motion, other_motion, temperature=self.temperature, margin=self.margin
            )
        loss_avid = loss_same + loss_other

        return {
            "loss": self.appearance_weight * loss_avid + self.motion_weight * loss_rsp,
            "loss_avid": loss_avid.detach(),
            "loss_rsp": loss_rsp.detach(),
            **_log_terms(torch.cat([logits_same, logits_other]), near, far, embeddings=query, margin=self.margin),
            "logits_same": logits_same.detach(),
            "logits_other": logits_other.detach(),
            "near": near.detach(),
            "far": far.detach(),
            "embeddings": query.detach(),
        }

    @torch.no_grad()
    def _keys(self, clips: Tensor, draws: Draws) -> Keys:
        """Update the key encoder, embed the key clips (N, 3, U, H, W) at both speeds, and update the queue.

        The clips are shuffled over the batch-norm groups of all processes before they are embedded (MoCo's shuffling
        BN). Otherwise a query and its key would be in batches of the same videos, and their batch statistics would give
        the positive away.
        """
        momentum_update(self.key_encoder, self.query_encoder, self.momentum)
        fast, device = draws.fast.to(clips.device, non_blocking=True), clips.device
        shuffles = [Shuffle(order, self.groups, device) for order in (draws.shuffle_other, draws.shuffle_same)]
        negatives, heads = self.queue.columns.clone(), list[Tensor]()
        for quick, shuffle in zip((~fast, fast), shuffles):
            parts = (exchange(self._at_speed(clips, quick, draws.speed, rows=to.sent), to) for to in shuffle.routes)
            heads += grouped(self.key_encoder, parts)
        # In the queue's full precision even if the encoders ran in half: a temperature of 0.07 magnifies rounding.
        everyones = gather(torch.cat(heads, dim=1).to(negatives.dtype)).chunk(2, dim=1)
        other, same = (embedded[shuffle.back] for embedded, shuffle in zip(everyones, shuffles))
        self.queue.enqueue(other.chunk(2, dim=1)[0])  # appearance embeddings at the other speed only, as published
        return Keys(share(same), share(other), negatives)

    def _at_speed(self, clips: Tensor, fast: Tensor, speed: int, *, rows: Tensor) -> Tensor:
        """Return the given rows of clips (N, 3, U, H, W) at speed 1, or at `speed` if `fast` (N,), as (n, 3, T, H, W).

        They are in autocast's type if that is enabled.
        """
        if clips.shape[2] != (shown := len(shown_frames(self.num_frames, (1, speed)))):
            raise ValueError(f"key clips of {clips.shape[2]} frames; speeds 1 and {speed} show {shown}")
        clips = clips[rows]
        if torch.is_autocast_enabled(clips.device.type) and clips.dtype == torch.float32:
            clips = clips.to(torch.get_autocast_dtype(clips.device.type))  # halves what is sent, with the same result
        normal, later = clips.split((self.num_frames, clips.shape[2] - self.num_frames), dim=2)
        quick = torch.cat([normal[:, :, ::speed], later], dim=2)
        return torch.where(fast[rows].view(-1, 1, 1, 1, 1), quick, normal)


LOG_TERMS = {
    "avid_top1": "percent of queries whose own video ranks first among the queue",
    "avid_top5": "percent of queries whose own video ranks among the first five",
    "rsp_accuracy": "percent of queries nearer to the key at their own speed than at the other",
    "positive_similarity": "mean logit of a query and its own video",
    "negative_similarity": "mean logit of a query and the queue",
    "margins_met": "percent of queries nearer to the key at their own speed by at least the margin",
    "motion_gap": "mean difference of the two similarities, in the margin's units of similarity / temperature",
    "spread": "length of the standard deviation of the batch's appearance embeddings: 0 collapsed, 1 fully spread",
    "effective_rank": "number of directions that the appearance embeddings of all steps and processes fill",
}
"""Log terms and their meaning. All are scalars, except that `forward` returns the matrix of `moments` as
`effective_rank`: the rank is computed from the mean of these matrices over the steps of a log line."""


@torch.no_grad()
def _log_terms(logits: Tensor, near: Tensor, far: Tensor, *, embeddings: Tensor, margin: float) -> dict[str, Tensor]:
    """Return the terms of `LOG_TERMS` for one step."""
    rank = (logits[:, 1:] >= logits[:, :1]).sum(1)  # a tie is a miss, so that a collapsed network gets 0, not 100
    return {
        "avid_top1": 100 * (rank < 1).float().mean(),
        "avid_top5": 100 * (rank < 5).float().mean(),
        "rsp_accuracy": 100 * (near > far).float().mean(),
        "positive_similarity": logits[:, 0].mean(),
        "negative_similarity": logits[:, 1:].mean(),
        "margins_met": 100 * (near - far >= margin).float().mean(),
        "motion_gap": (near - far).mean(),
        "spread": spread(embeddings),
        "effective_rank": moments(embeddings),
    }


def spread(embeddings: Tensor) -> Tensor:
    """Return the length of the standard deviation of embeddings (N, D), a scalar: see `LOG_TERMS`."""
    length: Tensor = embeddings.std(0, correction=0).norm()
    return length


def moments(embeddings: Tensor) -> Tensor:
    """Return the mean outer product (D, D) of embeddings (N, D) with themselves, in float64 for small eigenvalues."""
    precise = embeddings.double()  # autocast does not touch float64
    return precise.T @ precise / len(precise)
