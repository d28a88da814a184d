"""What a run prints first and last: what it does, from what, and what came of it, with the paths of its files."""

import json
from pathlib import Path
from typing import Any

from rspnet.console import fitted
from rspnet.method.health import verdict
from rspnet.running.record import stage_of

_MADE = (
    ("report", ("report.html",)),
    ("network", ("encoder.safetensors",)),
    ("test", ("predictions*.jsonl", "neighbours*.jsonl", "confusion*.csv", "features.parquet")),
    ("curves", ("metrics.jsonl", "tensorboard")),
)
"""Files of a run that are worth looking at, by what they are called in the output."""


def opening(options: dict[str, Any], run_dir: Path) -> str:
    """Return in one line what is about to be done, with which weights and videos, and in which folder.

    Args:
        options: of the run, by section.
        run_dir: its folder.
    """
    stage = str(stage_of(options))
    what = f"evaluate {options['protocol']}" if stage == "evaluate" else stage
    if options.get("features"):
        return f"{what}: features of {options['features']}; into {run_dir}"
    encoder, clips, data = options["encoder"], options["clips"], options["data"]
    network = encoder["name"] + (f" (width {encoder['width']})" if encoder["width"] else "")
    begun = "fresh weights" if options["weights"] in (None, "none") else options["weights"]
    videos = " in ".join(str(data[name]) for name in ("index", "root") if data[name])
    clip = f"{clips['num_frames']} x {clips['size']}²"
    return f"{what}: {network} from {begun}, clips of {clip} of {videos}; into {run_dir}"


def closing(options: dict[str, Any], run_dir: Path) -> list[str]:
    """Return lines that say what is wrong with a finished run, if anything, and the paths of the files it made.

    Args:
        options: of the run, by section.
        run_dir: its folder.
    """
    lines = list[str]()
    if stage_of(options) == "pretrain":
        for sentence in verdict(_rows(run_dir / "metrics.jsonl"), options["pretext"]):
            lines += fitted(f"look: {sentence}").splitlines()
    for name, patterns in _MADE:
        if paths := [str(path) for pattern in patterns for path in sorted(run_dir.glob(pattern))]:
            lines.append(f"{name}: {', '.join(paths)}")
    return lines


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.jsonl, up to the first damaged line; nothing is raised, for the run is done."""
    found = list[dict[str, Any]]()
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if isinstance(row := json.loads(line), dict):
                found.append(row)
    except (OSError, ValueError, RecursionError):
        return found
    return found
