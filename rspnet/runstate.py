"""Where a run stands: what a checkpoint holds beside the weights, so that the run goes on as if never interrupted."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor


class RunState:
    """Steps made, and running sums of what is logged.

    Sums are kept on the device in float64: reading them is the only synchronisation, and they continue bit for bit
    after a resume in the middle of an interval.

    Attributes:
        step: training steps made.
        best: best validation top1 so far, percent; None before the first.
        seconds: spent training, over all starts of the run.
    """

    def __init__(self) -> None:
        self.step = 0
        self.best: float | None = None
        self.seconds = 0.0
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
        if not count:
            return {}
        means = reduce(torch.stack(list(sums.values())) / count)
        return dict(zip(sums, means.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """For accelerate's checkpoints."""
        return {
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "sums": {
                window: {name: value.cpu() for name, value in sums.items()} for window, sums in self._sums.items()
            },
            "counts": dict(self._counts),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
        self._sums, self._counts = state["sums"], dict(state["counts"])


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a request that the loop sees between two steps; a second one acts at once.

    Attributes:
        asked: whether to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
