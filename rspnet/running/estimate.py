"""An estimate in place of a run: a few dozen of its steps in a folder beside its own, which is removed again."""

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
"""Steps of an estimate from one look at the clock to the next."""


class EstimatedError(Exception):
    """The end of a run that was only to be estimated.

    Attributes:
        result: what it would take.
    """

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


def only(config: Config, begin: Callable[[Config], object]) -> dict[str, Any]:
    """Estimate what a run takes, print that as one line on stdout, and return it.

    Args:
        config: the run's options: `run_dir`, and in `run` when it logs.
        begin: starts a run of such options, in its own folder; the loop in it ends when enough is measured.

    Raises:
        ConfigError: the folder's name is taken.
        KeyboardInterrupt: it was asked to stop.
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
    """Let the processes of the run go, as its end would have."""
    import torch.distributed as dist  # which the run has loaded

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def _for_a_while(folder: Path) -> Iterator[None]:
    """Let a run have a folder, and remove it, with those that were made to hold it."""
    if not is_main():
        yield
        return
    made = list(takewhile(lambda parent: not os.path.lexists(parent), folder.parents))
    if os.path.lexists(folder) and not _remove(folder):
        raise ConfigError(
            f"{folder}: is there, and no other estimate's that has ended; wait for it, remove it, or choose another "
            "--run_dir"
        )
    try:
        yield
    finally:
        _remove(folder)
        with contextlib.suppress(OSError):
            for parent in made:
                parent.rmdir()


def _remove(folder: Path) -> bool:
    """Remove what an estimate has left; whether that was what lay there, and nobody was at it."""
    try:
        options = read_options(folder / "config.yaml", "") if folder.is_dir() else {}
        if options.get("estimate") is not True:
            return False
        with locked(folder / ".lock"):
            shutil.rmtree(folder)
    except (CheckpointError, OSError):  # no options, or held
        return False
    return True
