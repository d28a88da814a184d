"""Where a run stands: its steps, its best epoch, and the running sums of what is logged."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class RunState:
    """What a checkpoint holds beside the weights, so that the run goes on as if never interrupted.

    The running sums are kept on the device in float64: reading them is the only synchronisation, and they continue bit
    for bit after a resume in the middle of an interval.

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
        self._sums: dict[str, dict[str, Tensor]] = {"interval": {}, "epoch": {}}
        self._counts = {"interval": 0, "epoch": 0}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count one step with its scalar log terms."""
        self.step += 1
        for window, sums in self._sums.items():
            self._counts[window] += 1
            for name, value in terms.items():
                value = value.detach().double()
                sums[name] = sums[name].to(value.device) + value if name in sums else value

    def take(self, window: str, reduce: Callable[[Tensor], Tensor] = lambda mean: mean) -> dict[str, float]:
        """Means since the last take.

        Args:
            window: "interval" or "epoch".
            reduce: averages a tensor over all processes.
        """
        sums, count = self._sums[window], self._counts[window]
        self._sums[window], self._counts[window] = {}, 0
        means = reduce(torch.stack(list(sums.values())) / count)
        return dict(zip(sums, means.tolist(), strict=True))

    def state_dict(self, gather: Callable[[Tensor], Tensor] = lambda row: row) -> dict[str, Any]:
        """All of it, on the CPU, with the sums of every process.

        Args:
            gather: joins the (1, terms) of all processes to (processes, terms), in their order.
        """
        sums = {}
        for window, terms in self._sums.items():
            rows = gather(torch.stack(list(terms.values()))[None]).cpu() if terms else None
            sums[window] = {"names": list(terms), "rows": rows}
        names = ("step", "best", "best_epoch", "seconds", "last_epoch", "failed")
        kept = {name: getattr(self, name) for name in names}
        return {**kept, "sums": sums, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any], rank: int = 0, world_size: int = 1) -> None:
        """The reverse of `state_dict`, for one of several processes; their number may be another than it was."""
        state = dict(state)
        for window, saved in state.pop("sums").items():
            rows = saved["rows"]
            if rows is not None:
                row = rows[rank] if len(rows) == world_size else rows.mean(0)
                self._sums[window] = dict(zip(saved["names"], row.unbind(), strict=True))
        self._counts = dict(state.pop("counts"))
        vars(self).update(state)
