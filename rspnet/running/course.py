"""What a training run costs: measured on some of its first steps, and extrapolated to the whole run."""

import math
import os
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rspnet.console import duration, figures, say, some
from rspnet.disk import megabytes
from rspnet.running.estimate import EstimatedError
from rspnet.running.machine import own_cores
from rspnet.running.record import stage_of
from rspnet.running.results import rounded

if TYPE_CHECKING:
    from rspnet.data.batches import Batch
    from rspnet.data.sets import TrainSet
    from rspnet.method.optim import Schedule
    from rspnet.running.folder import Run
    from rspnet.running.keeper import Keeper

WARM_UP, STEPS = 8, 24
"""Steps to warm up, and steps that are measured after them; at least so many."""
PATIENCE = 120.0
"""Seconds of measured steps that are enough, however few steps they are."""
WAITING = 0.1
"""Share of a step's time spent waiting for data, above which reading sets the pace and not the network."""


@dataclass(frozen=True)
class Pace:
    """The mean time of a training step, in seconds.

    Attributes:
        steps: number of steps measured.
        step: the whole step.
        data: of that, waiting for clips.
        transfer: of that, moving clips to the device.
        reading: CPU time in which this process's workers read its clips, or `data` without workers; None if unknown.
        workers: number of these workers.
    """

    steps: int
    step: float
    data: float
    transfer: float
    reading: float | None
    workers: int

    @property
    def compute(self) -> float:
        """The rest: augmentation, networks, bookkeeping."""
        return max(0.0, self.step - self.data - self.transfer)

    @property
    def bound(self) -> str:
        """The bottleneck: ``data`` or ``network``."""
        return "data" if self.data > WAITING * self.step else "network"

    @property
    def balanced(self) -> int | None:
        """The least number of workers that would keep up with the network; None if unknown."""
        return None if self.reading is None else max(1, math.ceil(self.reading / max(self.step - self.data, 1e-9)))

    def __str__(self) -> str:
        parts = f"{figures(self.data)} waiting for data, {figures(self.compute)} computing"
        if self.transfer:
            parts += f", {figures(self.transfer)} moving clips to the device"
        return f"a step takes {figures(self.step)} s ({parts}; {some(self.steps, 'step')} measured)"

    def advice(self) -> str:
        """Say which of the two is the bottleneck, and which setting would balance them."""
        if self.balanced is None:
            return "reading sets the pace" if self.bound == "data" else "the network sets the pace"
        here = some(self.workers, "decoding process", "decoding processes")
        if self.bound == "network":
            return f"the network sets the pace: of {here}, {self.balanced} would keep up (data.num_workers)"
        if self.balanced <= self.workers:
            return f"reading sets the pace, though {here} should keep up: others use the cores, or the disk is slow"
        room = own_cores()
        what = "reading sets the pace" if self.workers else "reading and the network take turns"
        told = f"{what}: {self.balanced} instead of {here} would keep up (data.num_workers)"
        if self.balanced <= room:
            return told
        return (
            f"{told}; with the {some(room, 'core')} here, videos that are read faster (stages/transcode.py) would help"
        )


class Interval(NamedTuple):
    """A number of steps, the seconds that they waited for data, and the seconds that they took in all."""

    steps: int
    waited: float
    seconds: float


def seconds_of(intervals: Iterable[Interval]) -> float:
    """Return the seconds that all intervals took."""
    return sum(each.seconds for each in intervals)


class Course:
    """Measures the pace of a run in its first steps, and ends a run that is only an estimate when that is known.

    Args:
        run: its options, processes and device.
        schedule: its epochs.
        train_set: its steps, and the workers that read.
        keeper: its checkpoints.
        every: steps from one checkpoint to the next.

    Attributes:
        estimating: whether this is an estimate.
        enough: whether this is an estimate that has measured all the steps it needs.
        saving: seconds that the last checkpoint took.
        pace: the time of a step; None until it is measured.
    """

    def __init__(
        self, run: "Run", schedule: "Schedule", train_set: "TrainSet", *, keeper: "Keeper", every: int
    ) -> None:
        self._run, self._schedule, self._train_set, self._keeper = run, schedule, train_set, keeper
        self._every = every
        self.estimating = bool(run.config.get("estimate"))
        self.enough = False
        self.pace: Pace | None = None
        self._first: list[Interval] = []
        self._measured: list[Interval] = []
        self._transfer = 0.0
        self._began: dict[int, float] = {}
        self._mark = time.perf_counter()
        self._tested = self.saving = 0.0

    def took(self, steps: int, waited: float, seconds: float) -> None:
        """Count the steps of a log interval.

        Args:
            steps: how many.
            waited: seconds that they waited for data.
            seconds: seconds that they took in all.
        """
        self._mark = time.perf_counter()
        if self.pace:
            return
        warm = sum(each.steps for each in self._first) >= WARM_UP
        (self._measured if warm else self._first).append(Interval(steps, waited, seconds))
        if not warm:
            self._began = _cpu_seconds(self._train_set.pids)
        elif sum(each.steps for each in self._measured) >= STEPS or seconds_of(self._measured) > PATIENCE:
            self._settle()
        if self.estimating:  # all processes stop together
            self.enough = self._run.team.anyone(self.pace is not None)

    def moving(self, batch: "Batch") -> None:
        """Time one batch's way to the GPU, in an estimate only: a real run never waits for the GPU within a step."""
        device = self._run.accelerator.device
        if not self.estimating or device.type != "cuda" or self._transfer or not self._first:
            return
        torch.cuda.synchronize()
        began = time.perf_counter()
        for view in batch["clips"]:
            view.to(device)
        torch.cuda.synchronize()
        self._transfer = time.perf_counter() - began

    def tested(self) -> None:
        """Note that what comes between an epoch's last step and its checkpoint, such as a validation, is over."""
        self._tested = time.perf_counter() - self._mark

    def end_if_enough(self, last: bool = False) -> None:
        """End an estimate if it has measured enough.

        Args:
            last: whether the run has no more steps.

        Raises:
            EstimatedError: this is an estimate, and it is done.
        """
        if self.estimating and (self.enough or last):
            if self.pace is None:
                self._settle()
            raise EstimatedError(rounded(self._estimate()))

    def _settle(self) -> None:
        """Compute the pace, and print it."""
        used, ended = self._measured or self._first, _cpu_seconds(self._train_set.pids)
        steps, workers = sum(each.steps for each in used), len(self._train_set.pids)
        step, data = seconds_of(used) / steps, sum(each.waited for each in used) / steps
        same = bool(self._measured) and ended.keys() == self._began.keys()
        reading = sum(ended[pid] - self._began[pid] for pid in ended) / steps if same and workers else 0.0
        self.pace = Pace(steps, step, data, self._transfer, (reading if workers else data) or None, workers)
        say(f"{self.pace}; {self.pace.advice()}", f"{self._memory_told()}; {self._disk_told()}")
        if not self.estimating:
            seconds = self._schedule.epochs * len(self._train_set) * step
            say(f"the steps of all {some(self._schedule.epochs, 'epoch')} take {duration(seconds)}")

    def _estimate(self) -> dict[str, Any]:
        assert self.pace is not None
        epochs, epoch_steps = self._schedule.epochs, len(self._train_set)
        views = self._run.config.get("clips", {}).get("views") or 0  # of a final test
        steps = epochs * epoch_steps
        saves = epochs + steps // self._every - steps // math.lcm(epoch_steps, self._every)  # some are due for both
        seconds = steps * self.pace.step + epochs * self._tested + saves * self.saving + views * self._tested
        world_size = self._run.team.world_size
        after = f" and {figures(self._tested)} s of tests" if self._tested > 0.5 else ""
        say(
            f"{some(epochs, 'epoch')} of {some(epoch_steps, 'step')}{after}: {duration(seconds)} in all, "
            f"{figures(seconds * world_size / 3600)} device hours"
        )
        pace = self.pace
        times = {"step": pace.step, "data": pace.data, "transfer": pace.transfer, "compute": pace.compute}
        return {
            "stage": stage_of(self._run.config),
            "estimate": True,
            **{f"{name}_time": value for name, value in times.items()},
            "bound": pace.bound,
            "num_workers": pace.workers,
            "balanced_workers": pace.balanced,
            "test_time": self._tested,
            "checkpoint_time": self.saving,
            "epochs": epochs,
            "steps": steps,
            "seconds": seconds,
            "device_hours": seconds * world_size / 3600,
            "processes": world_size,
            "device": self._run.accelerator.device.type,
            "peak_memory": self._memory(),
            "checkpoint_bytes": self._keeper.size(),
            "disk_bytes": self._keeper.at_once * self._keeper.size(),
        }

    def _memory(self) -> int:
        """Return the peak memory so far, in bytes: of the GPU, or of this process on a CPU."""
        device = self._run.accelerator.device
        if device.type == "cuda":
            return int(torch.cuda.max_memory_reserved(device))
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def _memory_told(self) -> str:
        where = "of the device" if self._run.accelerator.device.type == "cuda" else "of this process"
        return f"peak memory {where}: {megabytes(self._memory())}"

    def _disk_told(self) -> str:
        size, number = self._keeper.size(), self._keeper.at_once
        return f"checkpoints: {megabytes(size)} each, {number} at a time, {megabytes(number * size)}"


def _cpu_seconds(pids: Sequence[int]) -> dict[int, float]:
    """Return the CPU seconds that each process has used, without those for which they are unknown (not on Linux)."""
    found = {}
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found
