"""Where a run stands: its steps, its best epoch, and the running sums of what is logged."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rspnet.method.health import effective_rank, queue_terms
from rspnet.method.momentum import Queue

if TYPE_CHECKING:
    from rspnet.data.sets import TrainSet


class RunState:
    """What a checkpoint holds besides the weights, so that the run goes on as if never interrupted.

    The running sums are kept on the device in float64, all terms in one tensor: reading them is the only
    synchronisation, and they continue bit for bit after a resume in the middle of an interval. Matrix terms are summed
    as matrices; the effective rank of their mean is logged.

    Attributes:
        step: training steps done.
        best: best validation top1 so far, percent; None before the first.
        best_epoch: its epoch, from 1.
        seconds: spent training, over all starts of the run, times the processes of each.
        last_epoch: the values logged for the last finished epoch.
        failed: videos of the current epoch that could not be read, over all processes.
        keys: number of keys that the queue of a pretraining held before the first step.
    """

    def __init__(self) -> None:
        self.step = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.seconds = 0.0
        self.last_epoch: dict[str, float] = {}
        self.failed = self.keys = 0
        self._sums: dict[str, tuple[list[tuple[str, int]], Tensor]] = {}  # window -> names with sizes, sums end to end
        self._counts = {"interval": 0, "epoch": 0}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count one step, and add up its log terms: scalars, followed by square matrices (D, D).

        Raises:
            ValueError: the terms differ from those of the steps before.
        """
        self.step += 1
        matrices = [value.detach().double().flatten() for value in terms.values() if value.ndim]
        scalars = [value.detach() for value in terms.values() if not value.ndim]
        values = torch.cat([torch.stack(scalars).double(), *matrices])
        names = [(name, value.numel()) for name, value in terms.items()]
        for window in self._counts:
            self._counts[window] += 1
            before, sums = self._sums.get(window, (names, None))
            if before != names:
                raise ValueError(f"step {self.step} has the terms {names}, those before it {before}")
            self._sums[window] = names, values if sums is None else sums.to(values.device, non_blocking=True) + values

    def take(self, window: str, reduce: Callable[[Tensor], Tensor] = lambda mean: mean) -> dict[str, float]:
        """Return the means since the last take.

        Args:
            window: "interval" or "epoch".
            reduce: averages a tensor over all processes.
        """
        names, sums = self._sums.pop(window)
        means = reduce(sums / self._counts[window]).cpu().split([size for _, size in names])
        self._counts[window] = 0
        return {name: _number(mean) for (name, _), mean in zip(names, means, strict=True)}

    def state_dict(self, gather: Callable[[Tensor], Tensor] = lambda row: row) -> dict[str, Any]:
        """Return the whole state, on the CPU, with the sums of every process.

        Args:
            gather: joins the (1, terms) of all processes into (processes, terms), in the order of their ranks.
        """
        saved: dict[str, dict[str, Any]] = {window: {"names": [], "rows": None} for window in self._counts}
        for window, (terms, sums) in self._sums.items():
            saved[window] = {"names": terms, "rows": gather(sums[None]).cpu()}
        names = ("step", "best", "best_epoch", "seconds", "last_epoch", "failed", "keys")
        kept = {name: getattr(self, name) for name in names}
        return {**kept, "sums": saved, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any], rank: int = 0, world_size: int = 1) -> None:
        """Restore a `state_dict` in one of several processes; if their number has changed, each takes the mean sums."""
        state = dict(state)
        for window, saved in state.pop("sums").items():
            rows = saved["rows"]
            if rows is not None:
                row = rows[rank] if len(rows) == world_size else rows.mean(0)
                self._sums[window] = saved["names"], row
        self._counts = dict(state.pop("counts"))
        vars(self).update(state)


def _number(mean: Tensor) -> float:
    """Return the value to log for the mean of a scalar (1,) or of a matrix (D * D,)."""
    side = math.isqrt(len(mean))
    return mean.item() if side == 1 else effective_rank(mean.view(side, side).numpy())


class Queued:
    """How full the queue of a pretraining is: counted, since keys in it cannot be told from its random initial values.

    Args:
        model: the network; without a queue nothing is logged.
        state: where the run stands; its `keys` are set at the start. A queue that came with the weights counts as full.
        train_set: the batches, whose keys go into the queue.
    """

    def __init__(self, model: nn.Module, state: RunState, train_set: "TrainSet") -> None:
        queue = getattr(model, "queue", None)
        self._queue = queue if isinstance(queue, Queue) else None
        self._state, self._train_set = state, train_set
        if self._queue and not state.step:
            state.keys = self._queue.begun

    def __call__(self) -> dict[str, float]:
        """Return the terms as of now, see `rspnet.method.health.queue_terms`."""
        if self._queue is None:
            return {}
        keys = self._state.keys + self._state.step * self._train_set.total_batch
        return queue_terms(self._queue.columns.shape[1], keys=keys, videos=len(self._train_set.clips))
