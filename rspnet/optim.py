"""Optimiser and learning-rate schedule of the published recipes."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn


def sgd(module: nn.Module, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Plain momentum SGD on all trainable parameters, with weight decay on biases and batch norm too (as published)."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trainable, lr, momentum=momentum, weight_decay=weight_decay)


def scaled_lr(lr: float, total_batch: int, lr_batch: int | None) -> float:
    """Linear scaling: `lr` is for `lr_batch` videos per step (64 in the published pretraining); None leaves it."""
    return lr if lr_batch is None else lr * total_batch / lr_batch


def schedule(kind: str, lr: float, epochs: int, milestones: Sequence[int] = ()) -> Callable[[int], float]:
    """The learning rate as a function of the epoch (from 0), so that a resumed run needs no state.

    Args:
        kind: "cosine" from `lr` to lr / 1000 at the end of the last epoch, or "multi_step", lr / 10 per milestone
            passed (both as published).
        lr: at the start.
        epochs: length of the cosine.
        milestones: ascending epochs.

    Raises:
        ValueError: an unknown kind, or milestones that do not ascend.
    """
    if kind == "cosine":
        low = lr / 1000
        return lambda epoch: low + (lr - low) * (1 + math.cos(math.pi * epoch / epochs)) / 2
    if kind == "multi_step":
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError(f"milestones {list(milestones)} must ascend")
        return lambda epoch: lr * 0.1 ** sum(epoch >= milestone for milestone in milestones)
    raise ValueError(f"unknown schedule {kind!r}; choose cosine or multi_step")


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
