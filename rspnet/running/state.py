"""Where a run stands: its steps, its best epoch, and the running sums of what is logged."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class RunState:
    """What a checkpoint holds beside the weights, so that the run goes on as if never interrupted.

    The running sums are kept on the device in float64, all terms in one tensor: reading them is the only
    synchronisation, and they continue bit for bit after a resume in the middle of an interval.

    Attributes:
        step: training steps made.
        best: best validation top1 so far, percent; None before the first.
        best_epoch: its epoch, from 1.
        seconds: spent training, over all starts of the run.
        last_epoch: the values logged for the last finished epoch.
        failed: videos of the current epoch that could not be read, over all processes.
    """

    def __init__(self) -> None:
        self.step = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.seconds = 0.0
        self.last_epoch: dict[str, float] = {}
        self.failed = 0
        self._sums: dict[str, tuple[list[str], Tensor]] = {}  # of a window: names, and a sum of each
        self._counts = {"interval": 0, "epoch": 0}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count one step with its scalar log terms.

        Raises:
            ValueError: they are not those of the steps before.
        """
        self.step += 1
        names, values = list(terms), torch.stack([value.detach() for value in terms.values()]).double()
        for window in self._counts:
            self._counts[window] += 1
            before, sums = self._sums.get(window, (names, None))
            if before != names:
                raise ValueError(f"step {self.step} has the terms {names}, those before it {before}")
            self._sums[window] = names, values if sums is None else sums.to(values.device, non_blocking=True) + values

    def take(self, window: str, reduce: Callable[[Tensor], Tensor] = lambda mean: mean) -> dict[str, float]:
        """Means since the last take.

        Args:
            window: "interval" or "epoch".
            reduce: averages a tensor over all processes.
        """
        names, sums = self._sums.pop(window)
        means = reduce(sums / self._counts[window])
        self._counts[window] = 0
        return dict(zip(names, means.tolist(), strict=True))

    def state_dict(self, gather: Callable[[Tensor], Tensor] = lambda row: row) -> dict[str, Any]:
        """All of it, on the CPU, with the sums of every process.

        Args:
            gather: joins the (1, terms) of all processes to (processes, terms), in their order.
        """
        saved: dict[str, dict[str, Any]] = {window: {"names": [], "rows": None} for window in self._counts}
        for window, (terms, sums) in self._sums.items():
            saved[window] = {"names": terms, "rows": gather(sums[None]).cpu()}
        names = ("step", "best", "best_epoch", "seconds", "last_epoch", "failed")
        kept = {name: getattr(self, name) for name in names}
        return {**kept, "sums": saved, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any], rank: int = 0, world_size: int = 1) -> None:
        """The reverse of `state_dict`, for one of several processes; their number may be another than it was."""
        state = dict(state)
        for window, saved in state.pop("sums").items():
            rows = saved["rows"]
            if rows is not None:
                row = rows[rank] if len(rows) == world_size else rows.mean(0)
                self._sums[window] = saved["names"], row
        self._counts = dict(state.pop("counts"))
        vars(self).update(state)
