"""Start a run's processes, and refuse to if they did not find each other, or if gradients would be wrong."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rspnet.errors import ConfigError
from rspnet.running.memory import keep_freed_memory
from rspnet.running.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import Accelerator


def start(trains: bool, run_dir: str | Path, trackers: Sequence[str] = ()) -> "Accelerator":
    """Make the accelerator of a run's processes, here alone, and apply torch's settings to this process.

    Args:
        trains: whether gradients will be computed.
        run_dir: the run's folder.
        trackers: where curves go, by accelerate's names.

    Raises:
        ConfigError: the processes did not find each other, gradients would be wrong, or a tracker is not available.
    """
    from accelerate import Accelerator  # takes seconds

    from rspnet.running.tuning import tune

    check_trackers(trackers)
    accelerator = Accelerator(log_with=list(trackers) or None, project_dir=run_dir)
    tune()
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    check_launch(accelerator.num_processes)
    if trains:
        check_precision(accelerator.device.type, accelerator.mixed_precision)
    return accelerator


def processes(start: "Callable[[], Accelerator]") -> "tuple[Team, Callable[[], Accelerator]]":
    """Return the processes of a run, and a function that returns its accelerator.

    Several processes need the accelerator to find each other, so they make it here, before anything is checked. A
    single process makes it, and loads torch, only when it calls the function, after everything else was checked.

    Args:
        start: makes the accelerator.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Team(), start
    accelerator = start()
    return Team(accelerator.process_index, accelerator.num_processes), lambda: accelerator


def check_trackers(names: Sequence[str]) -> None:
    """Check that accelerate has these trackers.

    Raises:
        ConfigError: one is unknown or not installed; the message names those that are available.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
    from accelerate.utils import LoggerType

    known, installed = sorted(map(str, LOGGER_TYPE_TO_CLASS)), set(map(str, get_available_trackers()))
    own = set(known) - {str(kind) for kind in LoggerType}  # registered by a program, so available
    for name in names:
        if name not in known:
            raise ConfigError(f"run.trackers: {name!r} is not one of accelerate's trackers: {', '.join(known)}")
        if name not in installed | own:
            there = f"installed: {', '.join(sorted(installed | own))}" if installed | own else "none is"
            raise ConfigError(f"run.trackers: {name} is not installed here ({there}); install it, or leave it out")


def check_launch(num_processes: int) -> None:
    """Check that the launcher's processes found each other.

    Raises:
        ConfigError: they did not, and would each train alone.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != num_processes:
        raise ConfigError(
            f"{started} processes were started, but each sees {num_processes}; "
            "without GPUs set ACCELERATE_USE_CPU=true before the launcher"
        )


def check_accumulation() -> None:
    """Check that accelerate does not accumulate gradients: rspnet does, and accelerate would divide the loss again.

    Raises:
        ConfigError: accelerate is configured to accumulate.
    """
    name = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
    if (steps := os.environ.get(name, "1")) != "1":
        raise ConfigError(
            f"{name}={steps}: set it, or gradient_accumulation_steps in accelerate's configuration, to 1; "
            "optim.total_batch is the number of videos of a step, and run.micro_batches that of the parts in which "
            "each process adds up its gradients"
        )


def check_precision(device: str, mixed_precision: str) -> None:
    """Check that gradients will be right in this precision.

    In bfloat16 on a CPU they are if it has the instructions they were tested with, and if this torch still computes
    them correctly (rspnet/encoders/convolution.py).

    Args:
        device: its type, such as "cpu" or "cuda".
        mixed_precision: accelerate's setting.

    Raises:
        ConfigError: they would not be.
    """
    if device != "cpu" or mixed_precision != "bf16":
        return
    from rspnet.encoders.convolution import bf16_is_right, has_bf16

    if not has_bf16():
        what = "this CPU has no AMX or no AVX512-BF16, without which it is slow and its gradients are untested"
    elif not bf16_is_right():
        what = "this torch computes wrong gradients of 3-D convolutions with it on this CPU"
    else:
        return
    raise ConfigError(f"mixed precision {mixed_precision}: {what}; launch with --mixed_precision no")
