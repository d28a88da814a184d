"""Every random choice of the pretraining's steps but those of clips and augmentation; functions of seed and step.

N clips of this process, A clips of all processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rspnet.errors import ConfigError

SMALL = 8
"""Videos of a batch-norm group: with fewer it is said."""


@dataclass(frozen=True)
class Draws:
    """Every random choice of one step; tensors on the CPU, where they are drawn.

    Attributes:
        fast: which of this process's clips play at the higher speed (N,), bool.
        speed: the higher playback rate; 2 keeps every second frame.
        shuffle_other: order of all clips in the key pass at the other speed (A,).
        shuffle_same: order of all clips in the key pass at the same speed (A,).
    """

    fast: Tensor
    speed: int
    shuffle_other: Tensor
    shuffle_same: Tensor

    def shown(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """For each video the speeds at which its query clip is shown (one), and its key clip (both)."""
        return [((self.speed if fast else 1,), (1, self.speed)) for fast in self.fast.tolist()]


class StepDraws:
    """The draws of any training step, ``draws[step]``: a function of the seed and the step alone.

    In each batch-norm group a random half plays fast (the smaller half normal, as published). With the same total of
    groups, one process and several draw the same.

    Args:
        seed: of the run.
        total_batch: A, videos of a step over all processes.
        speeds: higher speeds to choose from.
        bn_groups: batch-norm groups over all processes; each has as many whole ones.
        rank: this process.
        world_size: number of processes.

    Attributes:
        groups: batch-norm groups of each process.
        group_size: videos of each group.

    Raises:
        ConfigError: the groups cannot be shared out so, or the batch not divided.
    """

    def __init__(
        self, seed: int, total_batch: int, speeds: Sequence[int], *, bn_groups: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.seed = seed
        self.speeds = list(speeds)
        self.rank = rank
        self.world_size = world_size
        self.groups, rest = divmod(bn_groups, world_size)
        if rest or not self.groups:
            raise ConfigError(
                f"pretext.bn_groups: {bn_groups} cannot be shared by {world_size} processes, each of which has whole "
                f"ones: give {world_size * (self.groups + 1)} or another multiple of {world_size}, or launch fewer"
            )
        self.group_size, rest = divmod(total_batch, bn_groups)
        if rest or self.group_size < 2:
            raise ConfigError(
                f"optim.total_batch: {total_batch} videos cannot be divided into {bn_groups} batch-norm groups of one "
                "size, at least 2; change it, or pretext.bn_groups"
            )

    def remarks(self) -> list[str]:
        """What is to be known before a run with these groups."""
        if self.group_size >= SMALL:
            return []
        fewer = " or a smaller pretext.bn_groups, which is a multiple of the processes," if self.groups > 1 else ""
        return [
            f"batch-norm groups of {self.group_size} videos are small (published: 32 and 64), and their statistics "
            f"noise; a larger optim.total_batch{fewer} makes them larger"
        ]

    def __getitem__(self, step: int) -> Draws:
        """What is drawn for training step `step`, from 0."""
        rng = np.random.default_rng([self.seed, step, 0, 2])  # a stream apart from those of the clips
        speed = int(rng.choice(self.speeds))
        fast = np.arange(self.group_size) >= self.group_size // 2
        fasts = [rng.permutation(fast) for _ in range(self.groups * self.world_size)]
        total = self.group_size * self.groups * self.world_size
        mine = slice(self.rank * self.groups, (self.rank + 1) * self.groups)
        return Draws(
            fast=torch.from_numpy(np.concatenate(fasts[mine])),
            speed=speed,
            shuffle_other=torch.from_numpy(rng.permutation(total)),
            shuffle_same=torch.from_numpy(rng.permutation(total)),
        )

    def shown(self, step: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The speeds at which a step shows the query and the key clip of each video of this process."""
        return self[step].shown()

    def __str__(self) -> str:
        groups = self.groups * self.world_size
        return f"{groups} batch-norm group{'s' * (groups > 1)} of {self.group_size}"
