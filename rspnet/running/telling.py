"""What a run says first and last: what is done with what, and what has come of it, with the paths of what was made."""

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
"""What is worth looking at of what a run made, and what to call it."""


def opening(options: dict[str, Any], run_dir: Path) -> str:
    """Return what is about to be done, from what, on what, and where, in a sentence.

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
    """Return what is wrong with a run that is done, if something is, and the paths of what it made, in lines.

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
    """The lines of a metrics.jsonl, up to what is none: this is said of a run that is done, whatever became of it."""
    found = list[dict[str, Any]]()
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if isinstance(row := json.loads(line), dict):
                found.append(row)
    except (OSError, ValueError, RecursionError):
        return found
    return found
