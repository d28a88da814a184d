"""Read a checkpoint's folder, `checkpoints/step_N` of a run, and check it against its manifest.

It holds the state of training in state.pt; network.json, which describes the network as encoder.json does that of a
finished run, so that a checkpoint can be used as weights; and manifest.json, with the size and hash of both. This
module does not import torch.
"""

import json
import re
from pathlib import Path
from typing import Any

from rspnet.console import say
from rspnet.disk import in_words, sha256
from rspnet.errors import CheckpointError

MANIFEST, NETWORK, STATE = "manifest.json", "network.json", "state.pt"


def found(run_dir: str | Path) -> list[tuple[int, Path]]:
    """Return all folders with a checkpoint's name, sound or not, as (step, folder), newest first."""
    folders = [
        (int(name[1]), folder)
        for folder in (Path(run_dir) / "checkpoints").glob("step_*")
        if (name := re.fullmatch(r"step_(\d+)", folder.name))
    ]
    return sorted(folders, reverse=True)


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is a checkpoint, sound or not, whatever its name."""
    return (folder / STATE).is_file() and (folder / MANIFEST).is_file()


def newest_sound(run_dir: Path) -> Path:
    """Return the newest sound checkpoint of a run; a line on stderr names each newer one that is damaged.

    Raises:
        CheckpointError: If there is none.
    """
    folders = found(run_dir)
    for step, folder in folders:
        if (what := fault(folder, step)) is None:
            return folder
        if not folder.exists():  # the run goes on, and removed it after a newer one was written
            return newest_sound(run_dir)
        say(f"{folder}: {what}; this checkpoint is passed over")
    if folders:
        raise CheckpointError(f"{run_dir}: none of its checkpoints is sound; copy the run folder again")
    raise CheckpointError(f"{run_dir}: this run has no checkpoint yet; start it again to let it go on")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's manifest: `step`, and `files`, which maps names to `bytes` and `sha256`.

    Raises:
        CheckpointError: If it cannot be read or is damaged; the message does not name the checkpoint.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if type(manifest["step"]) is not int:
            raise ValueError(f"step {manifest['step']!r}")
        for facts in manifest["files"].values():
            _ = facts["bytes"], facts["sha256"]
    except OSError as error:
        raise CheckpointError(f"{MANIFEST} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"its manifest is damaged ({in_words(error)})") from None
    return manifest


def fault(folder: Path, step: int | None = None, *, read_files: bool = True) -> str | None:
    """Return what is wrong with a checkpoint, or None if it is sound.

    Args:
        folder: Folder of the checkpoint.
        step: Step that it must be of; None for any.
        read_files: Whether to compare the contents too, not the sizes alone.
    """
    try:
        # Regular files only: opening a pipe would block until somebody writes to it.
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        if MANIFEST not in there:
            return f"it has no {MANIFEST}"
        manifest = read_manifest(folder)
        if step not in (None, manifest["step"]):
            return f"its manifest is of step {manifest['step']}"
        if manifest["files"].keys() | {MANIFEST} != there:
            return "its manifest is of other files than it has"
        for name, facts in manifest["files"].items():
            path = folder / name
            if path.stat().st_size != facts["bytes"] or (read_files and sha256(path) != facts["sha256"]):
                return f"{name} is not as it was written"
    except CheckpointError as error:
        return str(error)
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
    return None
