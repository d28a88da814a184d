"""What a training run logs: `metrics.jsonl`, trackers' curves, and lines on stderr."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tqdm import tqdm

from rspnet.console import duration, figures, is_main, percent, say, some
from rspnet.disk import reading, whole, write_text, writing_to
from rspnet.errors import CheckpointError
from rspnet.method import health

if TYPE_CHECKING:
    from rspnet.data.sets import TrainSet
    from rspnet.method.optim import Schedule


def plan(schedule: "Schedule", train_set: "TrainSet", *, world_size: int, device: str) -> list[str]:
    """Describe in a line how a run will train: ``30 epochs of 9 steps; 64 videos a step = 2 x 32; ...``.

    A second line names milestones that the run does not reach, which some published recipes have.
    """
    late = [milestone for milestone in schedule.milestones if milestone >= schedule.epochs]
    each = train_set.total_batch // world_size
    line = (
        f"{some(schedule.epochs, 'epoch')} of {some(len(train_set), 'step')}; {train_set.total_batch} videos a step = "
        f"{world_size} x {each}; learning rate {schedule.lr:g}; on {device}"
    )
    return [line, *([f"the learning rate never reaches its milestones {late}"] if late else [])]


class Intervals(Protocol):
    """How often to log, and to keep checkpoints.

    Attributes:
        log_every: steps from one log line to the next.
        checkpoint_every: steps from one checkpoint to the next.
        keep_epochs: checkpoints of every so many epochs are kept for good.
    """

    log_every: int
    checkpoint_every: int
    keep_epochs: int


SHOWN = {
    "loss": "loss",
    "avid_top1": "A-VID",
    "rsp_accuracy": "RSP",
    "train_top1": "top-1",
    "val_top1": "validation top-1",
    "val_top5": "top-5",
    "monitor_knn_top1": "kNN",
    "monitor_recall_at_1": "R@1",
}
"""The terms shown in a log line, with their names there."""
WAITING = 0.2
"""Share of the time spent waiting for data, above which the log says so."""


class RunLog:
    """The log of a training run: `metrics.jsonl`, trackers' curves, lines and a bar on stderr; main process only.

    `metrics.jsonl` holds one object per log interval and one per epoch (``event`` says which), and continues
    seamlessly after an interruption.

    Args:
        run_dir: where metrics.jsonl is.
        step: training steps made at the last checkpoint. Later lines are dropped, because the run is about to make
            those steps again.
        total_steps: of the whole run.
        clips_per_step: over all processes.
        track: sends values to trackers, called with (values, step).
        chance: what each term would be for a network that has learnt nothing; shown beside it.

    Attributes:
        quiet: whether to print no log lines on stderr.
    """

    def __init__(
        self,
        run_dir: Path,
        step: int,
        total_steps: int,
        *,
        clips_per_step: int,
        track: Callable[[dict[str, float], int], None],
        chance: dict[str, float],
    ) -> None:
        self.total_steps = total_steps
        self.clips_per_step = clips_per_step
        self.track = track
        self.chance = dict(chance)
        self.quiet = False
        self._path = run_dir / "metrics.jsonl"
        self._file = None
        if is_main():
            keep_lines(self._path, step)
            self._file = self._path.open("a", buffering=1, encoding="utf-8")
        self._bar = tqdm(
            total=total_steps,
            initial=step,
            desc="steps",
            dynamic_ncols=True,
            leave=False,
            disable=not (is_main() and sys.stderr.isatty()),
        )
        self._mark = time.perf_counter()
        self._waited = self._worked = 0.0
        self._steps = 0
        self._explained = self._settled = self._told = False

    def start(self) -> None:
        """Note that the wait for a batch begins; what came before (a validation) is not training time."""
        self._mark = time.perf_counter()

    def batch_arrived(self) -> None:
        """Note that the wait for a batch is over."""
        now = time.perf_counter()
        self._waited += now - self._mark
        self._mark = now

    def step_done(self) -> None:
        """Note that the training step is done."""
        now = time.perf_counter()
        self._worked += now - self._mark
        self._mark = now
        self._steps += 1
        self._bar.update()

    def interval(
        self, step: int, epoch: int, values: dict[str, float], *, aloud: bool = True
    ) -> tuple[int, float, float]:
        """Log the means of the steps since the last call, with speed and remaining time; `aloud` on stderr too.

        Returns:
            The number of these steps, the seconds that they waited for data, and the seconds that they took in all.
        """
        steps, waited, worked = self._steps, self._waited, self._worked
        seconds = (waited + worked) / steps
        left = seconds * (self.total_steps - step)
        times = {
            "data_time": waited / steps,
            "step_time": seconds,
            "clips_per_second": self.clips_per_step / seconds,
            "seconds_left": left,
        }
        self._waited = self._worked = 0.0
        self._steps = 0
        self._write({"event": "interval", "step": step, "epoch": epoch, **values, **times})
        if aloud:
            text = f"{self._terms(values)}, {times['clips_per_second']:.0f} clips/s, {_left(left)} left"
            self._speak(f"epoch {epoch + 1} step {step}/{self.total_steps}: {text}")
            self._tell_waiting(waited, waited + worked)
        return steps, waited, waited + worked

    def epoch(
        self, step: int, epoch: int, values: dict[str, float], *, more: dict[str, Any] | None = None, aloud: bool = True
    ) -> None:
        """Log an epoch's values, `aloud` on stderr too, `more` in the file alone; `epoch` counts the finished ones."""
        self._write({"event": "epoch", "step": step, "epoch": epoch, **values, **(more or {})})
        if aloud:
            self._speak(f"epoch {epoch} done: {self._terms(values)}")
            if task := health.line(values):
                self._speak(task)

    def close(self) -> None:
        """Close the progress bar and the file."""
        self._bar.close()
        if self._file:
            with contextlib.suppress(OSError):  # retries a write that a full disk refused, which was reported then
                self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file:
            event = line["event"]
            with writing_to(self._path):
                self._file.write(json.dumps(line) + "\n")
            numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k not in ("step", "epoch")}
            self.track({f"{event}/{k}": v for k, v in numbers.items()}, line["step"])

    def _speak(self, line: str) -> None:
        if self.quiet:
            return
        if not self._explained:
            self._explained = True
            say("log lines: accuracies in percent, with chance in brackets; every term is in")
            say(f"{self._path}")
        say(line)

    def _terms(self, values: dict[str, float]) -> str:
        """Return the terms of `SHOWN` as text; the others are only in the file."""
        return ", ".join(
            f"{SHOWN[name]} {figures(value) if name == 'loss' else percent(value)}"
            + (f" ({percent(self.chance[name], short=True)})" if name in self.chance else "")
            for name, value in values.items()
            if name in SHOWN
        )

    def _tell_waiting(self, waited: float, seconds: float) -> None:
        """Say once if the steps wait for data; not of the first interval, in which the workers have just started."""
        if waited > max(WAITING * seconds, 1) and self._settled and not self._told:
            self._told = True
            share = percent(100 * waited / seconds)
            say(f"{share} % of the time is spent waiting for data: more data.num_workers, if there are cores for")
            say("them, or videos that are read faster (stages/transcode.py) would make steps faster")
        self._settled = True


def _left(seconds: float) -> str:
    """Return a duration in short: ``42 s``, ``7 min``, ``9.9 h``, ``27 h``, ``6.2 d``."""
    if seconds < 6000:
        return duration(seconds)
    number, unit = (seconds / 3600, "h") if seconds < 48 * 3600 else (seconds / 86400, "d")
    return f"{number:.{int(number < 9.95)}f} {unit}"


def keep_lines(path: Path, step: int) -> None:
    """Keep the lines of a metrics.jsonl up to a step; later ones are about to be written again.

    What is not a log line is left out with a message. If that is more than an unfinished last line, the file as it was
    is kept as `metrics.old-N.jsonl`, in case it is of use to somebody.

    Raises:
        CheckpointError: it cannot be read.
        DiskError, ConfigError: the disk refuses.
    """
    with reading(path, CheckpointError):
        content = path.read_bytes() if path.is_file() else b""
    *lines, rest = content.split(b"\n")
    if _step(rest) is not None:  # complete but for its newline
        lines, rest = [*lines, rest], b""
    steps = {number: _step(line) for number, line in enumerate(lines, 1) if line.strip()}
    unknown = [number for number, found in steps.items() if found is None]
    if unknown:
        with whole(other := _other_name(path)) as temporary:
            temporary.write_bytes(content)
        told = f"left out {some(len(unknown), 'unreadable line')} (the first is line {unknown[0]})"
        say(f"{path}: {told}; the file as it was is kept in {other}")
    elif rest:
        say(f"{path}: its last line was cut short by an abrupt end, and is left out")
    kept = [number for number, found in steps.items() if found is not None and found <= step]
    write_text(path, "".join(lines[number - 1].decode() + "\n" for number in kept))


def _step(line: bytes) -> int | None:
    """Return the step of a log line; None if it is not one."""
    try:
        found = json.loads(line.decode())["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if type(found) is int else None


def set_aside(run_dir: Path) -> None:
    """Rename the metrics.jsonl of a run that starts over to `metrics.old-N.jsonl`, and say so."""
    path = run_dir / "metrics.jsonl"
    if path.is_file() and path.stat().st_size:
        with writing_to(path):
            path.rename(other := _other_name(path))
        say(f"what it had logged is kept in {other}")


def _other_name(path: Path) -> Path:
    """Return the first unused name among `metrics.old-N.jsonl`."""
    names = (path.with_name(f"metrics.old-{number}.jsonl") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))
