"""A run's folder: locked for one process at a time, and checked to be still there before it is written to."""

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from rspnet.console import say
from rspnet.disk import writing_to
from rspnet.errors import ConfigError, LostError
from rspnet.lock import exclusive, is_still


class Place:
    """A folder that is recognised as long as this is open, even if another one takes its name; a context manager.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)  # keeps the inode number from being reused

    def check(self) -> None:
        """Check that the folder still has its name.

        Raises:
            LostError: it was removed, or renamed.
        """
        if not is_still(self.path, self._descriptor):
            raise LostError.of(self.path)

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def held(run_dir: Path, lock: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, and write into it which process holds it.

    Args:
        run_dir: the folder.
        lock: the lock file in it.

    Raises:
        ConfigError: another live process holds it, or the folder cannot be written to.
        DiskError: its disk is full, or read-only.
    """
    with contextlib.ExitStack() as stack:
        with writing_to(run_dir):
            handle = stack.enter_context(lock.open("a+", encoding="utf-8", errors="replace"))
        try:
            lacking = stack.enter_context(exclusive(handle.fileno()))
        except BlockingIOError:
            handle.seek(0)
            raise ConfigError(
                f"{run_dir}: {handle.read().strip() or 'another process'} is writing to this run; "
                "wait for it or choose another --run_dir"
            ) from None
        if lacking:
            say(
                f"{run_dir}: its file system cannot lock ({lacking}), so the run goes on without a lock; make sure "
                "that no other machine writes to this folder at the same time"
            )
        with writing_to(run_dir):
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {platform.node()}")
            handle.flush()
        yield


def unmake(run_dir: Path, made: Sequence[Path]) -> None:
    """Remove the folders that were made for a command that is refused in the end, unless a run has begun there.

    Args:
        run_dir: the run's folder.
        made: the folders that the command made, the innermost first; nothing is removed if there are none.
    """
    names = {
        "config.yaml",
        "environment.json",
        "index.parquet",
        "labelled.parquet",
        ".lock",
        "metrics.jsonl",
        "tensorboard",
    }
    metrics = run_dir / "metrics.jsonl"
    if not made or {path.name for path in run_dir.iterdir()} - names or (metrics.exists() and metrics.stat().st_size):
        return
    with contextlib.suppress(OSError):
        shutil.rmtree(run_dir)
        for folder in made[1:]:
            folder.rmdir()
