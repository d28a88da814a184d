"""Read a run at one of its checkpoints from its folder: its options, its state, and what was logged until then."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rspnet.errors import CheckpointError
from rspnet.running.checkpoints import marked
from rspnet.running.record import read_options, read_text
from rspnet.weights.manifest import STATE, fault, read_manifest

_REMEDY = "copy the whole run folder"


@dataclass
class FinishedRun:
    """A run at one of its checkpoints.

    Attributes:
        folder: The checkpoint's folder.
        step: Training steps made until then.
        config: The run's options, by section.
        state: What the checkpoint holds: `model`, `optimizer`, ..., on the CPU.
        epochs: The log's line for each epoch until then, as in `metrics.jsonl`.
    """

    folder: Path
    step: int
    config: dict[str, Any]
    state: dict[str, Any]
    epochs: list[dict[str, Any]]


def run_at(checkpoint: Path) -> FinishedRun:
    """Read a run at a checkpoint: a folder `step_N`, or the link `last` or `best` of a finished run.

    Raises:
        CheckpointError: If the folder is not as the run left it.
    """
    run_dir, linked = checkpoint.parent.parent, checkpoint.name in ("last", "best")
    if linked:
        folder, step = marked(run_dir, checkpoint.name)
    else:
        if what := fault(checkpoint):
            raise CheckpointError(f"{checkpoint}: {what}; {_REMEDY}")
        folder, step = checkpoint, read_manifest(checkpoint)["step"]
    state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    config = read_options(run_dir / "config.yaml", _REMEDY)
    return FinishedRun(folder, step, config, state, _epochs(run_dir / "metrics.jsonl", step, ended=linked))


def _epochs(path: Path, step: int, *, ended: bool) -> list[dict[str, Any]]:
    """Return the log's lines for epochs up to a step; if `ended`, an epoch must have ended with that step."""
    lines = [_line(f"{path}:{number}", text) for number, text in enumerate(read_text(path, _REMEDY).splitlines(), 1)]
    epochs = [line for line in lines if line["event"] == "epoch" and line["step"] <= step]
    if ended and (not epochs or epochs[-1]["step"] != step):
        raise CheckpointError(f"{path}: has no epoch that ended with step {step}; {_REMEDY}")
    return epochs


def _line(place: str, text: str) -> dict[str, Any]:
    """Return a line of the log, parsed; `place` names it in the error message."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        line = None
    if isinstance(line, dict) and "event" in line and type(line.get("step")) is int:
        return line
    raise CheckpointError(f"{place}: is not a line of a run's log; {_REMEDY}")
