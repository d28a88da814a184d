"""What a run folder holds of a finished run: its options, a checkpoint of it, and what was logged until then."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from rspnet.errors import CheckpointError
from rspnet.running.checkpoints import marked


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
    config = yaml.safe_load(_text(run_dir / "config.yaml"))
    return FinishedRun(folder, config, state, _epochs(run_dir / "metrics.jsonl", step))


def _epochs(path: Path, step: int) -> list[dict[str, Any]]:
    """Return what was logged of each epoch, up to the one that ended with a step."""
    lines = [json.loads(line) for line in _text(path).splitlines()]
    epochs = [line for line in lines if line["event"] == "epoch" and line["step"] <= step]
    if not epochs or epochs[-1]["step"] != step:
        raise CheckpointError(f"{path}: has no epoch that ended with step {step}; copy the whole run folder")
    return epochs


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); copy the whole run folder") from error
