"""What a training run logs: `metrics.jsonl`, a tracker's curves, and lines on stderr."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rspnet.console import duration, is_main, say, some
from rspnet.disk import write_text, writing_to


def plan(
    epochs: int,
    steps: int,
    total_batch: int,
    world_size: int,
    lr: float,
    device: str,
    milestones: Sequence[int] = (),
) -> str:
    """How a run will train, in one sentence: ``30 epochs of 9 steps; 64 videos a step = 2 x 32; ...``.

    Milestones that the run does not reach are named: some published recipes have them.
    """
    late = [milestone for milestone in milestones if milestone >= epochs]
    return (
        f"{some(epochs, 'epoch')} of {some(steps, 'step')}; {total_batch} videos a step = {world_size} x "
        f"{total_batch // world_size}; learning rate {lr:g}{f' (never at its milestones {late})' if late else ''}; "
        f"on {device}"
    )


class RunLog:
    """The log of a training run: `metrics.jsonl`, a tracker's curves, lines and a bar on stderr; main process only.

    `metrics.jsonl` holds one object per log interval and one per epoch (``event`` says which), and goes on without a
    seam after an interruption.

    Args:
        run_dir: where metrics.jsonl is.
        step: training steps that the run has kept. Later lines, written after the last checkpoint, are dropped: the run
            is about to make those steps again.
        total_steps: of the whole run.
        clips_per_step: over all processes.
        track: sends values to a tracker, called with (values, step).
        chance: what each term would be for a network that has learnt nothing; shown beside it.
    """

    def __init__(
        self,
        run_dir: Path,
        step: int,
        total_steps: int,
        clips_per_step: int,
        track: Callable[[dict[str, float], int], None],
        chance: dict[str, float],
    ) -> None:
        self.total_steps = total_steps
        self.clips_per_step = clips_per_step
        self.track = track
        self.chance = chance
        self._path = run_dir / "metrics.jsonl"
        self._file = None
        if is_main():
            kept = self._path.read_text().splitlines() if self._path.exists() else []
            write_text(self._path, "".join(line + "\n" for line in kept if _step_of(line) <= step))
            self._file = self._path.open("a", buffering=1)
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

    def start(self) -> None:
        """Say that the wait for a batch begins; what came before (a validation) is not training time."""
        self._mark = time.perf_counter()

    def batch_arrived(self) -> None:
        """Say that the wait for a batch is over."""
        now = time.perf_counter()
        self._waited += now - self._mark
        self._mark = now

    def step_done(self) -> None:
        """Say that the training step is made."""
        now = time.perf_counter()
        self._worked += now - self._mark
        self._mark = now
        self._steps += 1
        self._bar.update()

    def interval(self, step: int, epoch: int, values: dict[str, float], aloud: bool = True) -> None:
        """Log the means of the steps since the last call, with speed and remaining time; `aloud` on stderr too."""
        seconds = (self._waited + self._worked) / self._steps
        left = seconds * (self.total_steps - step)
        times = {
            "data_time": self._waited / self._steps,
            "step_time": seconds,
            "clips_per_second": self.clips_per_step / seconds,
            "seconds_left": left,
        }
        self._waited = self._worked = 0.0
        self._steps = 0
        self._write({"event": "interval", "step": step, "epoch": epoch, **values, **times})
        if aloud:
            say(
                f"step {step}/{self.total_steps}  {self._terms(values)}  "
                f"data {times['data_time']:.3f} of {seconds:.3f} s, {times['clips_per_second']:.0f} clips/s, "
                f"{duration(left)} left"
            )

    def epoch(self, step: int, epoch: int, values: dict[str, float], aloud: bool = True) -> None:
        """Log an epoch's values, `aloud` on stderr too; `epoch` counts the finished ones."""
        self._write({"event": "epoch", "step": step, "epoch": epoch, **values})
        if aloud:
            say(f"epoch {epoch} done  {self._terms(values)}")

    def close(self) -> None:
        """Take the bar away and close the file."""
        self._bar.close()
        if self._file:
            with contextlib.suppress(OSError):  # tries again what a full disk refused, which has been said
                self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file:
            event = line["event"]
            with writing_to(self._path):
                self._file.write(json.dumps(line) + "\n")
            with writing_to(self._path.with_name("tensorboard")):
                self.track({f"{event}/{k}": v for k, v in line.items() if isinstance(v, float)}, line["step"])

    def _terms(self, values: dict[str, float]) -> str:
        return "  ".join(
            f"{name} {value:.4g}" + (f" (chance {self.chance[name]:.3g})" if name in self.chance else "")
            for name, value in values.items()
        )


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:  # the line that an abrupt end cut short
        return float("inf")
