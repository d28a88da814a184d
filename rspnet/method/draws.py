"""The random choices of a pretraining step (which clips play fast, how fast, and MoCo's shuffles), from seed and step.

Those of clips and of augmentation are made in `rspnet.data`. Shapes: N clips of this process, A of all processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rspnet.errors import ConfigError

SMALL = 8
"""Videos of a batch-norm group below which a run begins with a warning."""


@dataclass(frozen=True)
class Draws:
    """The random choices of one step; tensors are on the CPU, where they are drawn.

    Attributes:
        fast: which of this process's query clips play at the higher speed (N,), bool; the others play at speed 1.
        speed: the higher playback speed; 2 keeps every second frame.
        shuffle_other: permutation of all clips (A,) for the key pass at the other speed than the query's.
        shuffle_same: permutation of all clips (A,) for the key pass at the query's speed.
    """

    fast: Tensor
    speed: int
    shuffle_other: Tensor
    shuffle_same: Tensor

    def shown(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Return for each video the speeds at which its query clip is shown (one) and its key clip (both)."""
        return [((self.speed if fast else 1,), (1, self.speed)) for fast in self.fast.tolist()]


class StepDraws:
    """The draws of every training step, as ``draws[step]``, which depends on the seed and the step alone.

    In each batch-norm group a random half of the queries plays fast; if their number is odd, the larger half (as
    published). The draws of a step depend on the total number of groups, not on the number of processes they are on.

    Args:
        seed: seed of the run.
        total_batch: A, videos of a step over all processes.
        speeds: higher playback speeds, of which each step draws one.
        bn_groups: batch-norm groups over all processes, a multiple of `world_size`.
        rank: index of this process.
        world_size: number of processes.

    Attributes:
        groups: batch-norm groups of each process.
        group_size: videos of each group.

    Raises:
        ConfigError: the groups cannot be divided equally among the processes, or the videos among the groups.
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
                f"pretext.bn_groups: {bn_groups} cannot be shared by {world_size} processes, each of which needs whole "
                f"groups: give {world_size * (self.groups + 1)} or another multiple of {world_size}, or launch fewer "
                "processes"
            )
        self.group_size, rest = divmod(total_batch, bn_groups)
        if rest or self.group_size < 2:
            raise ConfigError(
                f"optim.total_batch: {total_batch} videos cannot be divided into {bn_groups} batch-norm groups of "
                "equal size, at least 2; change it or pretext.bn_groups"
            )

    def remarks(self) -> list[str]:
        """Return the warnings to show before a run with these groups."""
        if self.group_size >= SMALL:
            return []
        fewer = " or a smaller pretext.bn_groups (a multiple of the number of processes)" if self.groups > 1 else ""
        return [
            f"batch-norm groups of {self.group_size} videos are small (published: 32 and 64), so their statistics are "
            f"noisy; a larger optim.total_batch{fewer} makes them larger"
        ]

    def __getitem__(self, step: int) -> Draws:
        """Return the draws of training step `step`, counted from 0."""
        rng = np.random.default_rng([self.seed, step, 0, 2])  # a stream of its own, independent of those of the clips
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
        """Return the speeds at which a step shows the query and the key clip of each video of this process."""
        return self[step].shown()

    def __str__(self) -> str:
        groups = self.groups * self.world_size
        return f"{groups} batch-norm group{'s' * (groups > 1)} of {self.group_size}"
