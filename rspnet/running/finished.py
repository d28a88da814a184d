"""What a run folder holds of a finished run: its options, a checkpoint of it, and what was logged until then."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from rspnet.errors import CheckpointError
from rspnet.running.checkpoints import marked
from rspnet.running.record import read_options, read_text

_REMEDY = "copy the whole run folder"


@dataclass
class FinishedRun:
    """A run at one of its checkpoints.

    Attributes:
        folder: The checkpoint's.
        config: The run's options, by section.
        state: What the checkpoint holds: `model`, `optimizer`, ..., on the CPU.
        epochs: What was logged of each epoch until then, as in `metrics.jsonl`; the last one ended with the checkpoint.
    """

    folder: Path
    config: dict[str, Any]
    state: dict[str, Any]
    epochs: list[dict[str, Any]]


def finished_run(run_dir: Path, name: Literal["last", "best"]) -> FinishedRun:
    """Read a finished run at the checkpoint of that name.

    Raises:
        CheckpointError: If the folder is not as the run left it.
    """
    folder, step = marked(run_dir, name)
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    config = read_options(run_dir / "config.yaml", _REMEDY)
    return FinishedRun(folder, config, state, _epochs(run_dir / "metrics.jsonl", step))


def _epochs(path: Path, step: int) -> list[dict[str, Any]]:
    """Return what was logged of each epoch, up to the one that ended with a step."""
    lines = [_line(f"{path}:{number}", text) for number, text in enumerate(read_text(path, _REMEDY).splitlines(), 1)]
    epochs = [line for line in lines if line["event"] == "epoch" and line["step"] <= step]
    if not epochs or epochs[-1]["step"] != step:
        raise CheckpointError(f"{path}: has no epoch that ended with step {step}; {_REMEDY}")
    return epochs


def _line(place: str, text: str) -> dict[str, Any]:
    """Return what was logged in a line; `place` names it."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        line = None
    if isinstance(line, dict) and "event" in line and type(line.get("step")) is int:
        return line
    raise CheckpointError(f"{place}: is no line that a run logs; {_REMEDY}")
