"""Batch normalisation with accurate sums on a CPU in the memory format `torch.channels_last_3d`.

In this format torch 2.14 adds up a channel's values one by one in a float32 sum per thread; with millions of values the
later ones are rounded away. The variance of C3D's first maps comes out 0.8 % too small for 32 clips:

    x = torch.randn(32, 4, 16, 112, 112).contiguous(memory_format=torch.channels_last_3d)
    nn.BatchNorm3d(4, momentum=1.0)  # after a forward pass of x running_var is 0.992; of x.contiguous() it is 1.000

Here torch's own kernels add up in blocks: B neighbouring positions of C channels are viewed as one position of B * C
channels, which copies nothing.
"""

from typing import Any

import torch
from torch import Tensor, nn

ADDED = 256
"""Number of values added up one by one, too few for the rounding to show in a weight's gradient."""

_CACHED = 1 << 17
"""Maximum of blocks times channels, so that their sums fit into the processor's cache."""


class BatchNorm3d(nn.BatchNorm3d):
    """`nn.BatchNorm3d` with the same results in every memory format.

    Training in `torch.channels_last_3d` on a CPU is computed here, everything else by torch.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise maps (N, C, T, H, W) by their own statistics, or outside training by the running ones."""
        if not self.training or maps.device.type != "cpu" or not _adds_up_wrong(maps):
            return super().forward(maps)
        mean, variance = statistics(maps)
        if self.track_running_stats:
            self._follow(mean, variance, maps.numel() // maps.shape[1])
        weight, bias = (self.weight, self.bias) if self.affine else (torch.ones_like(mean), torch.zeros_like(mean))
        normalised: Tensor = _Normalise.apply(maps, weight, bias, mean, variance + self.eps)
        return normalised

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, number: int) -> None:
        """Update the running statistics with those of a batch of `number` positions, as torch does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        part = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - part).add_(mean, alpha=part)
        self.running_var.mul_(1 - part).add_(variance, alpha=part * number / (number - 1))


def _adds_up_wrong(maps: Tensor) -> bool:
    several = maps.ndim == 5 and maps.numel() > maps.shape[1]  # for one value per channel torch raises an error
    return several and maps.is_contiguous(memory_format=torch.channels_last_3d)


def blocks(number: int, channels: int) -> int:
    """Return into how many equal blocks to divide `number` positions: of `ADDED` or fewer, if `_CACHED` allows it."""
    fewest = min(-(-number // ADDED), max(1, _CACHED // channels))
    return next(count for count in range(fewest, number + 1) if number % count == 0)


def _rows(maps: Tensor, count: int) -> Tensor:
    """View maps (N, C, T, H, W) with each `count` neighbouring positions as one: (positions / count, count * C)."""
    return maps.permute(0, 2, 3, 4, 1).view(-1, count * maps.shape[1])


@torch.no_grad()
def statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance (C,) of maps (N, C, T, H, W) in `torch.channels_last_3d`."""
    count = blocks(maps.numel() // maps.shape[1], maps.shape[1])
    like = torch.zeros(count * maps.shape[1], dtype=torch.promote_types(maps.dtype, torch.float32))
    found = torch.batch_norm_update_stats(_rows(maps, count), like, torch.ones_like(like), 0.0)
    means, variances = (each.view(count, -1) for each in found)
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square_().mean(0)


class _Normalise(torch.autograd.Function):
    """Normalise maps by their own statistics; takes maps, weight, bias, mean and variance (with eps added)."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        maps, weight, bias, mean, variance = given
        ctx.save_for_backward(maps, weight, mean, variance)
        return torch.batch_norm(maps, weight, bias, mean, variance, False, 0.0, 0.0, False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight, mean, variance = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last_3d)
        number = maps.numel() // len(mean)
        count = blocks(number, len(mean))
        inverse = variance.rsqrt()
        of_block = (each.repeat(count) for each in (weight, mean, variance, mean, inverse))
        _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            _rows(gradient, count), _rows(maps, count), *of_block, True, 0.0, [False, True, True]
        )
        by_weight, by_bias = by_weight.view(count, -1).sum(0), by_bias.view(count, -1).sum(0)
        # by_maps = scale * (gradient - mean(gradient) - normalised * mean(gradient * normalised))
        scale, zeros = weight * inverse, torch.zeros_like(mean)
        by_maps = torch.batch_norm(
            maps, -scale * by_weight / number, -scale * by_bias / number, mean, variance, False, 0.0, 0.0, False
        )
        if gradient.dtype == scale.dtype:
            by_maps.addcmul_(gradient, scale.view(-1, 1, 1, 1))
        else:  # half precision: the scale stays in float32
            by_maps += torch.batch_norm(gradient, scale, zeros, zeros, torch.ones_like(mean), False, 0.0, 0.0, False)
        return by_maps, by_weight, by_bias, None, None
