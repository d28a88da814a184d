"""Check that a run's folder is as the run left it: what is damaged is made again if possible, or else reported."""

import json
import os
from pathlib import Path
from typing import Any

from rspnet.console import say
from rspnet.disk import identity, reading, write_json, writing_to
from rspnet.errors import CheckpointError
from rspnet.running.checkpoints import latest
from rspnet.running.record import read_result, read_text, stage_of

MANIFEST = "manifest.json"
"""Lists the files of a finished run, with sizes and hashes."""

_FOUND = ("predictions*.jsonl", "neighbours*.jsonl", "confusion*.csv")
"""Files about single videos or classes; several protocols in one pass have one each."""

_MADE = ("result.json", "encoder.json", "encoder.safetensors", "features.parquet", *_FOUND)
"""Files that a run leaves and can make again."""

_TOLD = ("metrics.jsonl", "environment.json")
"""Files that record how a run went and cannot be made again; nothing else depends on them."""

_FILES = (
    "config.yaml",
    *("index.parquet", "labelled.parquet"),
    *("result.json", "encoder.json", "encoder.safetensors", "features.parquet"),
    *("predictions.jsonl", "neighbours.jsonl", "confusion.csv"),
    *_TOLD,
    MANIFEST,
    ".lock",
)
_FOLDERS = ("checkpoints", "tensorboard")


def check_kinds(run_dir: Path) -> None:
    """Check that files are files and folders are folders, so that nothing fails or hangs when a run opens it.

    A broken link is removed if nothing is lost with it.

    Raises:
        CheckpointError: something is of the wrong kind, or checkpoints is a broken link.
    """
    for name in (*_FILES, *_FOLDERS):
        path, is_file = run_dir / name, name in _FILES
        if path.is_symlink() and not path.exists():
            if name != "checkpoints":
                with writing_to(path):
                    path.unlink(missing_ok=True)
                continue
            raise CheckpointError(f"{path}: is a broken link; put back what it points to, or remove it")
        if os.path.lexists(path) and not (path.is_file() if is_file else path.is_dir()):
            what = "file" if is_file else "folder"
            raise CheckpointError(f"{path}: should be a {what}; move it away, or copy the run again")


def sound_result(run_dir: Path, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of a finished run; None if there is none, or a file is damaged that can be made again.

    Args:
        run_dir: the run's folder.
        options: of the run, by section.

    Raises:
        CheckpointError: a file is damaged, and there is no checkpoint to make it again from.
    """
    path, stage = run_dir / "result.json", stage_of(options)
    if not path.exists():
        return None
    try:
        result, left = read_result(path), _read_manifest(run_dir / MANIFEST)
        fault = _fault(run_dir, left, [name for name in left if name not in _TOLD])
        if result["stage"] != stage:
            fault = f"{path}: belongs to another kind of run ({result['stage']})"
    except CheckpointError as error:
        fault = str(error)
    if fault is None:
        if told := _fault(run_dir, left, [name for name in left if name in _TOLD]):
            say(f"{told}, and cannot be made again; copy it again if you have another copy; the result is not affected")
        return result
    if stage != "evaluate" and latest(run_dir) is None:
        raise CheckpointError(
            f"{fault}; there is no sound checkpoint to make it from: copy the run again, or remove it to start over"
        )
    say(f"{fault}; it is made again")
    return None


def clear(run_dir: Path) -> None:
    """Remove what a command that did not come to a result left, and that does not itself tell what it was made from.

    Raises:
        DiskError, ConfigError: a file cannot be removed.
    """
    with writing_to(run_dir):
        for path in (path for name in ("index.parquet", *_FOUND) for path in run_dir.glob(name)):
            path.unlink()


def seal(run_dir: Path) -> None:
    """Write down the sizes and hashes of the files of a finished run, to recognise them again.

    Raises:
        DiskError, ConfigError: the manifest cannot be written.
    """
    there = sorted(path for name in (*_MADE, *_TOLD) for path in run_dir.glob(name) if path.is_file())
    write_json(run_dir / MANIFEST, {"format": 1, "files": {path.name: identity(path) for path in there}})


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the size and hash of each file that a run left, by name.

    Raises:
        CheckpointError: the manifest is missing or damaged.
    """
    try:
        files = json.loads(read_text(path, "it lists what the run left"))["files"]
        return {name: {"bytes": facts["bytes"], "sha256": facts["sha256"]} for name, facts in files.items()}
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path}: does not list what the run left") from None


def _fault(run_dir: Path, left: dict[str, Any], names: list[str]) -> str | None:
    """Return what is wrong with the first of these files that is not as the run left it; None if all are."""
    for path in (run_dir / name for name in names):
        if not path.is_file():
            return f"{path}: is missing"
        with reading(path, CheckpointError):
            if identity(path) != left[path.name]:
                return f"{path}: is not as the run left it"
    return None
