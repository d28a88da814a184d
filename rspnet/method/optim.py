"""Optimisers and learning-rate schedules, with those of the published recipes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import nn


def sgd(module: nn.Module, lr: float, *, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return SGD with momentum on all trainable parameters; biases and batch norm also get weight decay (published)."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.SGD(trainable, lr, momentum=momentum, weight_decay=weight_decay)


def adam(module: nn.Module, lr: float, *, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return Adam (Kingma & Ba 2015) on all trainable parameters: betas (`momentum`, 0.999), L2 weight decay."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.Adam(trainable, lr, betas=(momentum, 0.999), weight_decay=weight_decay)


OPTIMIZERS = {"sgd": sgd, "adam": adam}
"""The optimisers by their names in recipes."""


def scaled_lr(lr: float, total_batch: int, lr_batch: int | None) -> float:
    """Scale `lr` linearly from `lr_batch` videos per step (64 in the published pretraining) to `total_batch`.

    If `lr_batch` is None, `lr` is returned unchanged.
    """
    return lr if lr_batch is None else lr * total_batch / lr_batch


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the epoch, counted from 0; it has no state, so none is saved to resume a run.

    Attributes:
        kind: "cosine", which falls from `lr` to lr / 1000 at the end of the last epoch, or "multi_step", which
            multiplies the rate by `decay` at each milestone.
        lr: learning rate at the start.
        epochs: epochs of the whole run, over which the cosine falls.
        milestones: ascending epochs.
        decay: factor at each milestone; 0.1 in the published recipes.

    Raises:
        ValueError: the kind is unknown, or the milestones do not ascend.
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
        """Return the learning rate of an epoch."""
        if self.kind == "multi_step":
            return self.lr * self.decay ** sum(epoch >= milestone for milestone in self.milestones)
        low = self.lr / 1000
        return low + (self.lr - low) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


class Recipe(Protocol):
    """Options of the optimisation, as documented in `rspnet.cli.options.Optim`."""

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
        """A key of `OPTIMIZERS`."""
        ...

    @property
    def schedule(self) -> str:
        """The kind of `Schedule`."""
        ...


def recipe(module: nn.Module, how: Recipe) -> tuple[torch.optim.Optimizer, Schedule]:
    """Return the optimiser of a module and the schedule of its learning rate."""
    lr = scaled_lr(how.lr, how.total_batch, how.lr_batch)
    optimizer = OPTIMIZERS[how.optimizer](module, lr, momentum=how.momentum, weight_decay=how.weight_decay)
    return optimizer, Schedule(how.schedule, lr, how.epochs, how.milestones, how.decay)
