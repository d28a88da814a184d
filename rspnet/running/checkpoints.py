"""The checkpoints that a run resumes from.

A folder `checkpoints/step_N` exists under that name only when it is complete, which its manifest proves; `last` and
`best` are relative symbolic links to such folders.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rspnet.disk import fsync, identity, writing_to
from rspnet.errors import CheckpointError
from rspnet.weights.manifest import MANIFEST, fault, found

_log = logging.getLogger(__name__)


@contextmanager
def writing(
    run_dir: str | Path, step: int, *, is_main: bool = True, wait: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Yield a temporary folder that becomes `checkpoints/step_N`, and `last`, when the block ends without an error.

    All processes of a run enter together and write into the same folder. If the main process is killed, whenever that
    is, the checkpoints that were complete before keep their names, or get them back from `latest`.

    Args:
        run_dir: Run folder, on a disk that all processes share.
        step: Training steps made.
        is_main: Whether this process makes, seals and renames the folder; exactly one must.
        wait: A barrier: returns when all processes have called it.

    Raises:
        DiskError, ConfigError: The disk refuses a write; what was written of the new checkpoint is removed.
    """
    folder = Path(run_dir) / "checkpoints" / f"step_{step}"
    partial, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    if is_main:
        with writing_to(folder):
            _clear(partial)
            partial.mkdir(parents=True)
    wait()
    try:
        yield partial
        wait()
        if is_main:
            with writing_to(folder):
                _seal(partial, step)
    except BaseException:
        if is_main:
            _clear(partial)
        raise
    if is_main:
        with writing_to(folder):
            # Written before: set aside, from where `latest` brings it back if we are killed before the next rename.
            if os.path.lexists(folder):
                _clear(old)
                folder.rename(old)
            partial.rename(folder)
            fsync(folder.parent)
            _clear(old)
            mark(run_dir, "last", step)
    wait()


def mark(run_dir: str | Path, name: str, step: int) -> None:
    """Point the link `checkpoints/NAME` (`last`, `best`) at the checkpoint of a step, atomically."""
    checkpoints = Path(run_dir) / "checkpoints"
    link = checkpoints / f".{name}.link"
    link.unlink(missing_ok=True)
    link.symlink_to(f"step_{step}")
    if (target := checkpoints / name).is_dir() and not target.is_symlink():
        _clear(target)  # a copy of the run folder may have a folder in place of the link
    link.replace(target)
    fsync(checkpoints)


def marked(run_dir: str | Path, name: str) -> tuple[Path, int]:
    """Return the checkpoint that `mark` linked as `last` or `best`, as (link, step), after comparing its files.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    link = Path(run_dir) / "checkpoints" / name
    step = re.fullmatch(r"step_(\d+)", os.readlink(link)) if link.is_symlink() else None
    if step is None:
        raise CheckpointError(f"{link}: no such checkpoint; give the run folder as the run left it, with its links")
    if what := fault(link, int(step[1])):
        raise CheckpointError(f"{link}: {what}; copy the run folder again")
    return link, int(step[1])


def latest(
    run_dir: str | Path, fault_of: Callable[[Path], str | None] = lambda folder: None
) -> tuple[Path, int] | None:
    """Return the newest complete and undamaged checkpoint as (folder, step), None if there is none.

    Every file is read and compared with the manifest; a checkpoint that fails is skipped with a logged warning. Only
    for the run itself, and not while it writes one: a checkpoint that was set aside when the run was killed gets its
    name back.

    Args:
        run_dir: Run folder.
        fault_of: Returns what is wrong with the contents of a checkpoint whose files match its manifest, None if
            nothing is.
    """
    _bring_back(Path(run_dir) / "checkpoints")
    for step, folder in found(run_dir):
        what = fault(folder, step) or fault_of(folder)
        if what is None:
            return folder, step
        _log.warning("%s: %s; this checkpoint is passed over", folder, what)
    return None


def prune(run_dir: str | Path, keep: int, keep_steps: Collection[int] = ()) -> None:
    """Delete old checkpoints, and what interrupted writes left behind.

    Args:
        run_dir: Run folder.
        keep: How many of the newest complete checkpoints to keep, not counting `keep_steps`.
        keep_steps: Steps whose checkpoints are kept for good. What `last` and `best` point to is kept as well.
    """
    checkpoints = Path(run_dir) / "checkpoints"
    _bring_back(checkpoints)
    for kind in ("partial", "old", "removed"):
        for leftover in checkpoints.glob(f".step_*.{kind}"):
            _clear(leftover)
    linked = {os.readlink(link) for name in ("last", "best") if (link := checkpoints / name).is_symlink()}
    for step, folder in found(run_dir):
        if step in keep_steps:
            continue
        if keep > 0 and fault(folder, step, read_files=False) is None:
            keep -= 1
            continue
        if folder.name in linked:
            continue
        # Renamed first: a checkpoint that is deleted by half must not look like a damaged one.
        _clear(folder.rename(folder.with_name(f".{folder.name}.removed")))


def _clear(path: Path) -> None:
    """Remove a folder, or whatever else has its name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bring_back(checkpoints: Path) -> None:
    for old in checkpoints.glob(".step_*.old"):
        folder = old.with_name(old.name.removeprefix(".").removesuffix(".old"))
        if not os.path.lexists(folder):
            with suppress(FileNotFoundError):  # another process of the run was quicker
                old.rename(folder)


def _seal(folder: Path, step: int) -> None:
    """Write the manifest, after all other files, and flush everything to the disk."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = identity(path)
        fsync(path)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"format": 1, "step": step, "files": files}, indent=2) + "\n", encoding="utf-8")
    fsync(manifest)
    fsync(folder)
