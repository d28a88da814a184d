"""Whether what lies in a run's folder is as a run left it: what is damaged is made again where it can be, or named."""

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
"""The file that knows what a finished run left."""

_MADE = (
    *("result.json", "encoder.json", "encoder.safetensors", "features.parquet"),
    *("predictions*.jsonl", "neighbours*.jsonl", "confusion*.csv"),
)
"""What a run leaves, and can make again; several protocols in one pass have a file each."""

_TOLD = ("metrics.jsonl", "environment.json")
"""What tells how a run went, and cannot be made again; nothing else depends on it."""

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
    """See that what a run reads and writes can be: no folder where a file should be, nothing that hangs when opened.

    A link that leads nowhere is removed where nothing is lost with it.

    Raises:
        CheckpointError: something is of another kind.
    """
    for name in (*_FILES, *_FOLDERS):
        path, is_file = run_dir / name, name in _FILES
        if path.is_symlink() and not path.exists():
            if name != "checkpoints":
                with writing_to(path):
                    path.unlink(missing_ok=True)
                continue
            raise CheckpointError(f"{path}: is a link that leads nowhere; put what it named there again, or remove it")
        if os.path.lexists(path) and not (path.is_file() if is_file else path.is_dir()):
            what = "file" if is_file else "folder"
            raise CheckpointError(f"{path}: is no {what}, which a run has there; move it away, or copy the run again")


def sound_result(run_dir: Path, options: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a run that is done; None where there is none, or what it left is damaged and can be made again.

    Args:
        run_dir: the run's folder.
        options: of the run, by section.

    Raises:
        CheckpointError: it is damaged, and nothing is there to make it of.
    """
    path, stage = run_dir / "result.json", stage_of(options)
    if not path.exists():
        return None
    try:
        result, left = read_result(path), _read_manifest(run_dir / MANIFEST)
        fault = _fault(run_dir, left, [name for name in left if name not in _TOLD])
        if result["stage"] != stage:
            fault = f"{path}: is of another kind of run ({result['stage']})"
    except CheckpointError as error:
        fault = str(error)
    if fault is None:
        if told := _fault(run_dir, left, [name for name in left if name in _TOLD]):
            say(f"{told}, and cannot be made again; copy it again if there is another; the result is as it was")
        return result
    if stage != "evaluate" and latest(run_dir) is None:
        raise CheckpointError(
            f"{fault}; no sound checkpoint to make it of is there: copy the run again, or remove it to begin anew"
        )
    say(f"{fault}; it is made again")
    return None


def seal(run_dir: Path) -> None:
    """Write down what a run that is done has left, so that it is known again.

    Raises:
        DiskError, ConfigError: the disk refuses.
    """
    there = sorted(path for name in (*_MADE, *_TOLD) for path in run_dir.glob(name) if path.is_file())
    write_json(run_dir / MANIFEST, {"format": 1, "files": {path.name: identity(path) for path in there}})


def _read_manifest(path: Path) -> dict[str, Any]:
    """What a run has left, by name.

    Raises:
        CheckpointError: it does not tell.
    """
    try:
        files = json.loads(read_text(path, "it tells what the run left"))["files"]
        return {name: {"bytes": facts["bytes"], "sha256": facts["sha256"]} for name, facts in files.items()}
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path}: does not tell what the run left") from None


def _fault(run_dir: Path, left: dict[str, Any], names: list[str]) -> str | None:
    """Which of these files of a finished run is not as it left them."""
    for path in (run_dir / name for name in names):
        if not path.is_file():
            return f"{path}: is missing"
        with reading(path, CheckpointError):
            if identity(path) != left[path.name]:
                return f"{path}: is not as the run left it"
    return None
