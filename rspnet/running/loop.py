"""The bookkeeping around a run's steps: logs, checkpoints, stopping, resuming.

A stage writes the loop itself; here is what every such loop needs and no paper mentions.
"""

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rspnet.console import is_main, say
from rspnet.data.pictures import as_picture
from rspnet.errors import RSPNetError, WorkerError
from rspnet.running.course import Course
from rspnet.running.keeper import Keeper
from rspnet.running.log import Intervals, RunLog, set_aside
from rspnet.running.record import flat
from rspnet.running.results import rounded
from rspnet.running.state import Queued, RunState
from rspnet.running.trackers import Trackers
from rspnet.signals import ENDING, received

if TYPE_CHECKING:
    from accelerate.optimizer import AcceleratedOptimizer

    from rspnet.clipspec import ClipSpec
    from rspnet.data.batches import Batch
    from rspnet.data.sets import TrainSet
    from rspnet.method.optim import Schedule
    from rspnet.running.folder import Run


class _AskedError(KeyboardInterrupt):
    """The run was asked to stop while it waited for a batch, not within a step."""


class _StoppedError(RSPNetError):
    """The same, as it is passed on to the other processes."""


class TrainLoop:
    """The bookkeeping around a stage's steps.

    Used as a context manager: inside it Ctrl-C, SIGTERM and other signals of schedulers (`rspnet.signals.ENDING`) end
    the run after the current step, with a checkpoint; a Ctrl-C after that acts at once.

        with TrainLoop(...) as loop:
            for epoch in loop.epochs():
                for step, batch in loop.batches():
                    ...
                    loop.step(terms)
                loop.end_epoch()

    Args:
        run: folder, accelerator, processes; the newest complete checkpoint in the folder is loaded.
        model: as the accelerator prepared it; `TrainLoop.model` is the module inside, neither wrapped nor compiled,
            whose `chance` holds what log terms would be for a network that has learnt nothing.
        optimizer: likewise.
        schedule: learning rate by epoch, and number of epochs.
        train_set: the batches.
        often: how often to log, and to keep checkpoints.
    """

    def __init__(
        self,
        run: "Run",
        model: nn.Module,
        optimizer: "AcceleratedOptimizer",
        *,
        schedule: "Schedule",
        train_set: "TrainSet",
        often: Intervals,
    ) -> None:
        self.run = run
        self.accelerator = run.accelerator
        self.team = run.team
        self.run_dir = run.run_dir
        self.model = self.accelerator.unwrap_model(model, keep_torch_compile=False)
        self.schedule, self.train_set, self.often = schedule, train_set, often
        self.state = RunState()
        self.keeper = Keeper(
            run, self.model, optimizer, state=self.state, epoch_steps=len(train_set), keep_epochs=often.keep_epochs
        )
        if self.keeper.started_over:
            say(f"{self.run_dir}: none of its checkpoints is sound; the run starts at step 0")
            self.team.by_main(lambda: set_aside(self.run_dir))
        self._queued = Queued(self.model, self.state, train_set)
        total = schedule.epochs * len(train_set)
        to_come = math.ceil((total - self.state.step) / min(often.checkpoint_every, len(train_set)))
        self.team.by_main(lambda: self.keeper.check_room(to_come, total, best="val_top1" in self.model.chance))
        self.course = Course(run, schedule, train_set, keeper=self.keeper, every=often.checkpoint_every)
        chance = self.model.chance
        self.trackers = run.trackers = Trackers(self.accelerator, self.run_dir, flat(run.config), chance=chance)
        per_step, track = train_set.clips_per_step, self.trackers.log
        self.log = RunLog(self.run_dir, self.state.step, total, clips_per_step=per_step, track=track, chance=chance)
        self.log.quiet = self.course.estimating
        self._mark = time.monotonic()
        self._asked = self._waiting = False
        self._failed_before = 0
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "TrainLoop":
        for number in ENDING:
            if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._handlers[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.train_set.close()
        self.log.close()
        if error is not None:  # else they also get the result, see rspnet.running.tracked
            self.trackers.close()

    def epochs(self) -> Iterator[int]:
        """Yield the epochs still to do, counted from 0; the first may be half done."""
        while self.state.step < self.schedule.epochs * len(self.train_set):
            self.course.end_if_enough()
            epoch = self.state.step // len(self.train_set)
            if self.state.step % len(self.train_set) == 0:
                self.state.failed = 0
            self._failed_before = self.state.failed
            self.train_set.failures.count = 0
            yield epoch
        self.course.end_if_enough(last=True)

    def batches(self) -> Iterator[tuple[int, "Batch"]]:
        """Yield the rest of the current epoch's batches, each with the number of its step in the run, from 0."""
        epoch, start = divmod(self.state.step, len(self.train_set))
        batches = self.train_set.epoch(epoch, start)
        self.log.start()
        for _ in range(start, len(self.train_set)):
            if self.course.enough:
                return
            batch: Batch | None = None
            error: RSPNetError | None = None
            failures = self.train_set.failures.count
            try:
                batch = self._next(batches)
            except _AskedError:
                self._waiting, error = False, _StoppedError()
            except RSPNetError as mistake:
                error = mistake
            try:
                self.team.check(error)  # before anybody waits for this process's gradients
            except (_StoppedError, WorkerError) as ending:
                self.train_set.failures.count = failures  # the step of this batch will not be made
                if self.state.step > self.keeper.step:
                    self._save()
                self._stop_if(isinstance(ending, _StoppedError))
                raise
            if batch is None:
                raise ValueError("a train set with fewer batches than steps")
            self.log.batch_arrived()
            self.course.moving(batch)
            yield self.state.step, batch

    def _next(self, batches: "Iterator[Batch]") -> "Batch | None":
        try:
            self._waiting = True
            if self._asked:
                raise _AskedError
            return next(batches, None)
        finally:
            self._waiting = False

    def shown(self, views: Iterable[Tensor], clip: "ClipSpec") -> list[Tensor]:
        """Return a step's clips; at the run's first step, also send the trackers a picture of the first video's clips.

        Args:
            views: normalised clips (N, 3, T, H, W).
            clip: how they were normalised.
        """
        views = list(views)
        if self.state.step == 0 and self.trackers and is_main():
            self.trackers.show("clips", as_picture(views, clip), 0)
        return views

    def step(self, terms: dict[str, Tensor]) -> None:
        """Count a step with its log terms, see `RunState.add`; log and checkpoint when due.

        Raises:
            FloatingPointError: a term, or part of the state to be kept, is not finite.
            KeyboardInterrupt: the run was asked to stop, and has kept a checkpoint.
        """
        self.state.add(terms)
        self.log.step_done()
        step, epoch_done = self.state.step, self.state.step % len(self.train_set) == 0
        log_due = epoch_done or step % self.often.log_every == 0
        if log_due:
            epoch = (step - 1) // len(self.train_set)
            values = {**self._means("interval"), **self._queued(), "lr": self.schedule(epoch)}
            self.course.took(*self.log.interval(step, epoch, values, aloud=step % self.often.log_every == 0))
        self._asked = stopping = self.team.anyone(self._asked)
        if stopping:
            what = "when this epoch is tested and kept" if epoch_done else "after this step"
            say(f"stopping {what}; another Ctrl-C stops at once")
        if not epoch_done and (stopping or step % self.often.checkpoint_every == 0):
            self._save()
            self._stop_if(stopping)

    def end_epoch(
        self,
        validation: dict[str, float] | None = None,
        *,
        failed: int = 0,
        class_accuracy: dict[str, float | None] | None = None,
        monitored: dict[str, float] | None = None,
    ) -> None:
        """Log the epoch's means and the `validation` values, and checkpoint; link `best` if ``val_top1`` is the best.

        Args:
            validation: values by name; the log has each as ``val_NAME``.
            failed: videos that the validation could not read; the log's ``failed_videos`` counts them too.
            class_accuracy: of the validation, by class; in metrics.jsonl as ``val_class_accuracy``.
            monitored: what the monitor measured, for the log; ``chance_NAME`` is what NAME would be by chance.

        Raises:
            FloatingPointError, KeyboardInterrupt: as `step`.
        """
        self.course.tested()
        state, epoch = self.state, self.state.step // len(self.train_set)
        named = {f"val_{name}": value for name, value in (validation or {}).items()}
        state.last_epoch = self._means("epoch") | named
        self._count_failed()
        monitored = monitored or {}
        self.log.chance |= {name[7:]: value for name, value in monitored.items() if name.startswith("chance_")}
        aloud = bool(validation or monitored) or len(self.train_set) >= self.often.log_every
        values = {**state.last_epoch, **self._queued(), **monitored, "failed_videos": state.failed + failed}
        more: dict[str, Any] = {} if class_accuracy is None else {"val_class_accuracy": class_accuracy}
        more["slowest_videos"] = self.train_set.slowest.take()
        self.log.epoch(state.step, epoch, values, more=more, aloud=aloud)
        top1 = state.last_epoch.get("val_top1")
        better = top1 is not None and (state.best is None or top1 > state.best)
        if better:
            state.best, state.best_epoch = top1, epoch
        self._save(best=better)
        self._stop_if(self.team.anyone(self._asked))

    def load_best(self) -> None:
        """Put the weights of the best epoch into the model; the run's other state stays."""
        self.keeper.load_best()

    def result(self, stage: str, **values: Any) -> dict[str, Any]:
        """Return the run's result: `values`, how far it went, what it depends on (`Run.facts`), and how long it took.

        Args:
            stage: name of the stage.
            values: the stage's own.

        Raises:
            LostError: the run's folder was removed or renamed.
        """
        self.run.check_there()
        course = {"epochs": self.schedule.epochs, "steps": self.state.step, **self.run.facts}
        since = time.monotonic() - self._mark  # the last checkpoint, such as a final test
        course["device_hours"] = (self.state.seconds + since * self.team.world_size) / 3600
        return rounded({"stage": stage, "run_dir": str(self.run_dir), **values, **course})

    def _means(self, window: str) -> dict[str, float]:
        values = self.state.take(window, lambda tensor: self.accelerator.reduce(tensor, "mean"))
        if not all(map(math.isfinite, values.values())):
            told = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
            raise FloatingPointError(
                f"step {self.state.step}: the loss has become NaN or infinite ({told}); {self.keeper.remedy()}"
            )
        return values

    def _count_failed(self) -> None:
        mine = torch.tensor(float(self.train_set.failures.count), device=self.accelerator.device)
        self.state.failed = self._failed_before + int(self.accelerator.reduce(mine, "sum"))

    def _save(self, best: bool = False) -> None:
        self._count_failed()
        now = time.monotonic()
        self.state.seconds += (now - self._mark) * self.team.world_size  # another start may have other processes
        self._mark = now
        self.keeper.save(best)
        self.course.saving = time.monotonic() - now
        self.log.start()

    def _stop_if(self, stopping: bool) -> None:
        if stopping:
            step = self.state.step
            kept = f"step {step} is kept; the same command goes on from there"
            raise KeyboardInterrupt(kept if step else "before the first step; the same command begins anew")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:  # no other: a launcher may repeat a signal that all got
            raise KeyboardInterrupt
        received.add(number)
        self._asked = True  # `step` reports it: this may have interrupted a print
        if self._waiting:
            self._waiting = False
            raise _AskedError
