"""Optimiser and learning-rate schedule of the published recipes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import nn


def sgd(module: nn.Module, lr: float, *, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Plain momentum SGD on all trainable parameters, with weight decay on biases and batch norm too (as published)."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trainable, lr, momentum=momentum, weight_decay=weight_decay)


def adam(module: nn.Module, lr: float, *, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) on all trainable parameters, with betas (`momentum`, 0.999) and L2 weight decay."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.Adam(trainable, lr, betas=(momentum, 0.999), weight_decay=weight_decay)


OPTIMIZERS = {"sgd": sgd, "adam": adam}
"""By the names that recipes give them."""


def scaled_lr(lr: float, total_batch: int, lr_batch: int | None) -> float:
    """Linear scaling: `lr` is for `lr_batch` videos per step (64 in the published pretraining); None leaves it."""
    return lr if lr_batch is None else lr * total_batch / lr_batch


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the epoch (from 0), so that a resumed run needs no state.

    Attributes:
        kind: "cosine" from `lr` to lr / 1000 at the end of the last epoch, or "multi_step", lr * decay per
            milestone passed.
        lr: at the start.
        epochs: of the whole run; length of the cosine.
        milestones: ascending epochs.
        decay: 0.1 in the published recipes.

    Raises:
        ValueError: an unknown kind, or milestones that do not ascend.
    """

    kind: str
    lr: float
    epochs: int
    milestones: Sequence[int] = ()
    decay: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "multi_step"):
            raise ValueError(f"unknown schedule {self.kind!r}; choose cosine or multi_step")
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ValueError(f"milestones {list(self.milestones)} must ascend")

    def __call__(self, epoch: float) -> float:
        """The rate of an epoch."""
        if self.kind == "multi_step":
            return self.lr * self.decay ** sum(epoch >= milestone for milestone in self.milestones)
        low = self.lr / 1000
        return low + (self.lr - low) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


class Recipe(Protocol):
    """How to train; `rspnet.cli.options.Optim` says what each means."""

    epochs: int
    total_batch: int
    lr: float
    lr_batch: int | None
    momentum: float
    weight_decay: float
    milestones: list[int]
    decay: float

    @property
    def optimizer(self) -> str:
        """Of `OPTIMIZERS`."""
        ...

    @property
    def schedule(self) -> str:
        """The kind, see `Schedule`."""
        ...


def recipe(module: nn.Module, how: Recipe) -> tuple[torch.optim.Optimizer, Schedule]:
    """The optimiser of a module, and its learning rate by epoch."""
    lr = scaled_lr(how.lr, how.total_batch, how.lr_batch)
    optimizer = OPTIMIZERS[how.optimizer](module, lr, momentum=how.momentum, weight_decay=how.weight_decay)
    return optimizer, Schedule(how.schedule, lr, how.epochs, how.milestones, how.decay)
