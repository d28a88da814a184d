"""What a run says: lines and bars on stderr, and `metrics.jsonl`.

stdout belongs to results; nothing here writes to it.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from rspnet.disk import write_text, writing_to
from rspnet.errors import ConfigError

T = TypeVar("T")

LAST_WORDS = 30.0
"""Seconds in which a launcher ends the other processes when one has ended: a moment, or 13 on a busy machine."""


def is_main() -> bool:
    """Whether this process is the one that speaks (rank 0; torchrun and accelerate set RANK)."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str, everywhere: bool = False) -> None:
    """Print a line to stderr without tearing a progress bar; from the main process only, unless `everywhere`."""
    if not (is_main() or everywhere):
        return
    if is_main() and multiprocessing.parent_process() is None:
        tqdm.write(text, file=sys.stderr)
    else:  # the bar is another process's, which draws it again below the line
        print(f"\r\033[K{text}" if sys.stderr.isatty() else text, file=sys.stderr)
    sys.stderr.flush()


def say_last(text: str, after_others: bool | None = None) -> None:
    """Say why this process ends; where several do so for one reason, as they mostly do, the main process alone.

    The launcher ends all processes when it sees that one has ended. So the others wait a while for that before they
    speak: if it does not come, the main process knows nothing of their reason, and it must be heard.

    Args:
        text: why.
        after_others: whether this process waits; None: unless it is the main one.
    """
    if after_others or (after_others is None and not is_main()):
        before = signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        time.sleep(LAST_WORDS)
        signal.signal(signal.SIGTERM, before)
    say(text if is_main() else f"[rank {os.environ['RANK']}] {text}", everywhere=True)


def take_warnings() -> None:
    """Let the warnings of Python and of libraries come as lines of `say`, one for each, from the main process."""

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        say(f"warning: {' '.join(str(message).split())} ({Path(filename).name}, line {lineno})")

    class Spoken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(self.format(record))

    warnings.showwarning = show
    logging.lastResort = Spoken(logging.WARNING)  # for all that asks for no handler of its own


def progress(items: Iterable[T], total: int | None, desc: str, unit: str, initial: int = 0) -> Iterator[T]:
    """Iterate with a bar on stderr where it is a terminal, else with a plain line every 30 seconds."""
    if not is_main():
        yield from items
    elif sys.stderr.isatty():
        yield from tqdm(
            items, desc=desc, unit=f" {unit}", total=total, initial=initial, dynamic_ncols=True, leave=False
        )
    else:
        started = spoken = time.monotonic()
        done = initial
        for done, item in enumerate(items, initial + 1):
            yield item
            now = time.monotonic()
            if now - spoken >= 30:
                spoken = now
                rate = (done - initial) / (now - started)
                left = f", {duration((total - done) / rate)} left" if total else ""
                say(f"{desc}: {done}{f' of {total}' if total else ''} {unit}, {rate:.1f} a second{left}")


def some(number: int, thing: str, things: str | None = None) -> str:
    """``1 video``, ``2 videos``: a number with its noun."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


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


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``42 s``, ``7 min``, ``3 h 20 min``, ``6 d 4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def check_launch(num_processes: int) -> None:
    """See that the launcher's processes found each other.

    Raises:
        ConfigError: they would train side by side, each alone.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != num_processes:
        raise ConfigError(
            f"{started} processes were started, but each sees {num_processes}; "
            "without GPUs set ACCELERATE_USE_CPU=true before the launcher"
        )


def check_accumulation() -> None:
    """See that every batch is a step: accelerate would divide the loss, and nobody adds the gradients up.

    Raises:
        ConfigError: accelerate was told to accumulate.
    """
    name = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
    if (steps := os.environ.get(name, "1")) != "1":
        raise ConfigError(
            f"{name}={steps}: gradients are not accumulated over batches here; set it, or gradient_accumulation_steps "
            "in accelerate's configuration, to 1, and choose optim.total_batch"
        )


def check_precision(device: str, mixed_precision: str) -> None:
    """See that gradients will be right.

    On a CPU, torch 2.14 computes the gradients of some 3-D convolutions' weights wrongly in bfloat16, down to memory
    that nobody has filled (many channels, small maps: every network here has such layers); what comes forward is right.

    Args:
        device: the kind, such as "cpu" or "cuda".
        mixed_precision: accelerate's.

    Raises:
        ConfigError: they would not.
    """
    if device == "cpu" and mixed_precision == "bf16":
        raise ConfigError(
            f"mixed precision {mixed_precision}: on a CPU torch computes wrong gradients of 3-D convolutions in it; "
            "launch with --mixed_precision no"
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
