"""The start of a run's processes, and what it cannot begin with.

That is: processes that did not find each other, gradients that would be wrong.
"""

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
    """Make the accelerator of a run's processes, the one place that does, and this process ready for it.

    Args:
        trains: whether gradients will be computed.
        run_dir: the run's folder.
        trackers: where curves go: accelerate's names.

    Raises:
        ConfigError: the processes did not find each other, or gradients would be wrong, or a tracker is not there.
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
    """The processes of a run, and what gives its accelerator.

    Several meet each other here, before anything is looked at; a single one comes to its accelerator, and to loading
    torch, when it asks for it: all else has been found in order by then.

    Args:
        start: makes the accelerator.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Team(), start
    accelerator = start()
    return Team(accelerator.process_index, accelerator.num_processes), lambda: accelerator


def check_trackers(names: Sequence[str]) -> None:
    """See that accelerate has these trackers.

    Raises:
        ConfigError: it does not know one, or that one is not installed; says which there are.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
    from accelerate.utils import LoggerType

    known, installed = sorted(map(str, LOGGER_TYPE_TO_CLASS)), set(map(str, get_available_trackers()))
    own = set(known) - {str(kind) for kind in LoggerType}  # registered by a program, and so there
    for name in names:
        if name not in known:
            raise ConfigError(f"run.trackers: {name!r} is none of accelerate's trackers: {', '.join(known)}")
        if name not in installed | own:
            there = f"installed: {', '.join(sorted(installed | own))}" if installed | own else "none is"
            raise ConfigError(f"run.trackers: {name} is not installed here ({there}); install it, or leave it out")


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
    """See that a batch is a step, whose gradients are added up here: accelerate would divide the loss once more.

    Raises:
        ConfigError: accelerate was told to accumulate.
    """
    name = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
    if (steps := os.environ.get(name, "1")) != "1":
        raise ConfigError(
            f"{name}={steps}: set it, or gradient_accumulation_steps in accelerate's configuration, to 1; "
            "optim.total_batch is the number of videos of a step, and run.micro_batches that of the parts in which "
            "each process adds up its gradients"
        )


def check_precision(device: str, mixed_precision: str) -> None:
    """See that gradients will be right.

    In bfloat16 on a CPU they are where it has what they were tried with, and torch still computes them so
    (rspnet/encoders/convolution.py).

    Args:
        device: the kind, such as "cpu" or "cuda".
        mixed_precision: accelerate's.

    Raises:
        ConfigError: they would not.
    """
    if device != "cpu" or mixed_precision != "bf16":
        return
    from rspnet.encoders.convolution import bf16_is_right, has_bf16

    if not has_bf16():
        what = "this CPU has no AMX or no AVX512-BF16, without which it would be slow and gradients unproven"
    elif not bf16_is_right():
        what = "this torch computes wrong gradients of 3-D convolutions in it on this CPU"
    else:
        return
    raise ConfigError(f"mixed precision {mixed_precision}: {what}; launch with --mixed_precision no")
