"""Whether what lies in a run's folder is as a run left it: what is damaged is made again where it can be, or named."""

import os
from pathlib import Path
from typing import Any

from rspnet.console import say
from rspnet.disk import writing_to
from rspnet.errors import CheckpointError
from rspnet.running.checkpoints import latest
from rspnet.running.record import read_result, stage_of
from rspnet.weights.description import weights_fault

_FILES = (
    "config.yaml",
    "index.parquet",
    "environment.json",
    "metrics.jsonl",
    "encoder.safetensors",
    "encoder.json",
    "predictions.jsonl",
    "neighbours.jsonl",
    "result.json",
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
        result = read_result(path)
        fault = _fault(run_dir, result, stage)
    except CheckpointError as error:
        fault = str(error)
    if fault is None:
        return result
    if stage != "evaluate" and latest(run_dir) is None:
        raise CheckpointError(
            f"{fault}; no sound checkpoint to make it of is there: copy the run again, or remove it to begin anew"
        )
    say(f"{fault}; it is made again")
    return None


def _fault(run_dir: Path, result: dict[str, Any], stage: str | None) -> str | None:
    """What of a finished run's files is not as it left them."""
    if result["stage"] != stage:
        return f"{run_dir / 'result.json'}: is of another kind of run ({result['stage']})"
    if stage != "evaluate" and (fault := weights_fault(run_dir)):
        return fault
    lines = None if stage == "pretrain" else "predictions.jsonl"
    if result.get("protocol") == "retrieval":
        lines = "neighbours.jsonl"
    return f"{run_dir / lines}: is missing" if lines and not (run_dir / lines).is_file() else None
