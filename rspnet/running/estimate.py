"""An estimate instead of a run: a few dozen of its steps, in a folder beside its own that is removed again."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rspnet.console import is_main
from rspnet.errors import CheckpointError, ConfigError
from rspnet.lock import locked
from rspnet.running.record import read_options
from rspnet.stdout import print_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Config = TypeVar("Config", bound="DataclassInstance")
LOG_EVERY = 4
"""Log interval of an estimate, in steps; times are measured per interval."""


class EstimatedError(Exception):
    """Ends a run that is only an estimate.

    Attributes:
        result: what the whole run would take.
    """

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


def only(config: Config, begin: Callable[[Config], object]) -> dict[str, Any]:
    """Estimate what a run would take, print that as one JSON line on stdout, and return it.

    Args:
        config: the run's options, with `run_dir` and the section `run`.
        begin: starts a run with the options it is given; its training loop raises `EstimatedError` when enough is
            measured.

    Raises:
        ConfigError: the estimate's folder exists, and is not that of an estimate that has ended.
        KeyboardInterrupt: it was interrupted.
    """
    run_dir, run = Path(getattr(config, "run_dir")), getattr(config, "run")  # noqa: B009 - the stage's
    folder = run_dir.with_name(f"{run_dir.name}.estimate")
    run = dataclasses.replace(run, log_every=LOG_EVERY, trackers=[])
    try:
        with _for_a_while(folder):
            begin(dataclasses.replace(config, run_dir=str(folder), run=run))
    except EstimatedError as ended:
        _part()
        if is_main():
            print_json(ended.result)
        return ended.result
    except KeyboardInterrupt as interrupt:
        interrupt.args = ("nothing of an estimate is kept",)
        raise
    raise AssertionError("a run that did not end its estimate")


def _part() -> None:
    """Destroy the process group of the run, as its regular end would."""
    import torch.distributed as dist  # which the run has loaded

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def _for_a_while(folder: Path) -> Iterator[None]:
    """Remove a folder when the block ends, and the parent folders that did not exist before; main process only."""
    if not is_main():
        yield
        return
    made = list(takewhile(lambda parent: not os.path.lexists(parent), folder.parents))
    if os.path.lexists(folder) and not _remove(folder):
        raise ConfigError(
            f"{folder}: exists, and is not that of an estimate that has ended; wait until a running estimate ends, "
            "remove the folder, or choose another --run_dir"
        )
    try:
        yield
    finally:
        _remove(folder)
        with contextlib.suppress(OSError):
            for parent in made:
                parent.rmdir()


def _remove(folder: Path) -> bool:
    """Remove the folder of an estimate; return False if it is not one, or if a process is using it."""
    try:
        options = read_options(folder / "config.yaml", "") if folder.is_dir() else {}
        if options.get("estimate") is not True:
            return False
        with locked(folder / ".lock"):
            shutil.rmtree(folder)
    except (CheckpointError, OSError):  # no options, or held
        return False
    return True
