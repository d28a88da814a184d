"""The processes of one run: what one of them finds out, all know; an error that one meets ends all.

They communicate over a process group of their own, on the host and with a timeout of days, besides the one that
averages gradients: a walk through a large data set, or a slow test, must not look like a dead process. A process that
does die is noticed at once all the same.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from rspnet.errors import RSPNetError

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long one process may wait for another."""


class Team:
    """One or several processes; to be created in all of them, after torch.distributed is initialised.

    Args:
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank = rank
        self.world_size = world_size
        if world_size > 1:
            import torch.distributed

            group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
            if isinstance(group, int):  # so torch marks a process outside the group, which none is
                raise RuntimeError("this process is not in the group of all processes")
            self._group = group

    def by_main(self, work: Callable[[], T]) -> T:
        """Run something in the main process while the others wait; all return its result, or raise its error.

        Args:
            work: what to run; its result is sent pickled. Of errors, RSPNetError and KeyboardInterrupt are sent.
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
        """Return whether `mine` is true in any process; with two processes this takes a tenth of a millisecond."""
        if self.world_size == 1:
            return mine
        import torch

        flag = torch.tensor([int(mine)])
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX, self._group)
        return bool(flag)

    def everyones(self, mine: T) -> list[T]:
        """Return `mine` of each process, in the order of their ranks; it is sent pickled."""
        if self.world_size == 1:
            return [mine]
        import torch.distributed

        found: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(found, mine, group=self._group)
        return found

    def check(self, mine: RSPNetError | None) -> None:
        """Raise in all processes if one of them met an error.

        Args:
            mine: the error that this process met, if any.

        Raises:
            RSPNetError: the error of the first process that met one.
        """
        if self.anyone(mine is not None):
            raise next(error for error in self.everyones(mine) if error is not None)
