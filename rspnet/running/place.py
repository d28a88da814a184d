"""A run's folder: locked for one process at a time, and checked to be still there before it is written to."""

import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from rspnet.console import say
from rspnet.disk import writing_to
from rspnet.errors import ConfigError, LostError
from rspnet.lock import exclusive, is_still, locked
from rspnet.temporary import remove


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
        LostError: another process, which had made the folder and was refused, has just removed it.
    """
    with contextlib.ExitStack() as stack:
        with writing_to(run_dir):
            try:
                handle = stack.enter_context(lock.open("a+", encoding="utf-8", errors="replace"))
            except FileNotFoundError:
                raise LostError.of(run_dir) from None
        try:
            lacking = stack.enter_context(exclusive(handle.fileno()))
        except BlockingIOError:
            handle.seek(0)
            raise ConfigError(
                f"{run_dir}: {handle.read().strip() or 'another process'} is writing to this run; "
                "wait for it or choose another --run_dir"
            ) from None
        if not is_still(lock, handle.fileno()):
            raise LostError.of(run_dir)
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
        run_dir: the run's folder; it stays if another process has locked it meanwhile.
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
    lock, metrics = run_dir / ".lock", run_dir / "metrics.jsonl"
    with contextlib.suppress(OSError):
        if made and lock.exists():
            with locked(lock):
                there = sorted(run_dir.iterdir(), key=lambda path: path == lock)  # the lock goes last
                if {path.name for path in there} - names or (metrics.exists() and metrics.stat().st_size):
                    return
                for path in there:
                    remove(path)
        for folder in made:
            folder.rmdir()
