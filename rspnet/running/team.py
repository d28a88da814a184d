"""The processes of one run: what one of them finds out, all know; a mistake that one meets ends all.

They talk over a group of their own, on the host and with a patience of days, beside the one that averages gradients:
a walk through a large data set, or a slow test, must not look like a process that is gone. A process that does go is
noticed at once all the same.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from rspnet.errors import RSPNetError

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long one may wait for another."""


class Team:
    """One or several processes; to be made in all of them, after torch.distributed is there.

    Args:
        rank: this process.
        world_size: number of processes.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank = rank
        self.world_size = world_size
        if world_size > 1:
            import torch.distributed

            group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
            if isinstance(group, int):  # torch's word for a process that is left out, which none is
                raise RuntimeError("this process is not in the group of all processes")
            self._group = group

    def share(self, total: int) -> int:
        """How many of a total each process has, at least one."""
        return max(1, total // self.world_size)

    def by_main(self, work: Callable[[], T]) -> T:
        """Let the main process do something while the others wait; all get what it returned, or raise what it raised.

        Args:
            work: its result travels, pickled.
        """
        if self.world_size == 1:
            return work()
        import torch.distributed

        outcome: list[Any] = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = work()
            except (RSPNetError, KeyboardInterrupt) as error:
                outcome[1] = error
        torch.distributed.broadcast_object_list(outcome, src=0, group=self._group)
        if outcome[1] is not None:
            raise outcome[1]
        result: T = outcome[0]
        return result

    def anyone(self, mine: bool) -> bool:
        """Whether it holds for any process; on two it takes a tenth of a millisecond."""
        if self.world_size == 1:
            return mine
        import torch

        flag = torch.tensor([int(mine)])
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX, self._group)
        return bool(flag)

    def everyones(self, mine: T) -> list[T]:
        """What each process has, in their order; it travels pickled."""
        if self.world_size == 1:
            return [mine]
        import torch.distributed

        found: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(found, mine, group=self._group)
        return found

    def check(self, mine: RSPNetError | None) -> None:
        """Go on together, or not at all.

        Args:
            mine: the mistake that this process met, if any.

        Raises:
            RSPNetError: that of the first process which met one, in all of them.
        """
        if self.anyone(mine is not None):
            raise next(error for error in self.everyones(mine) if error is not None)
