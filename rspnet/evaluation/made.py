"""What features are made with: all that they depend on, as it stands in their file."""

import dataclasses
import json
from importlib import metadata
from typing import Any

from rspnet.clipspec import ClipSpec

MADE_BY = "rspnet.features"
"""Key of a file's metadata."""

FACTS = (
    *("weights", "weights_sha256", "seed", "arch", "width", "clip", "window", "step", "pooling", "layer"),
    *("shape", "precision", "fold", "videos", "data_fingerprint"),
)
"""What it tells beside the versions."""


def made_with(clip: ClipSpec, facts: dict[str, Any]) -> dict[str, Any]:
    """What stands in a file: all that its features depend on, and the versions that made them.

    Args:
        clip: what the network was fed with.
        facts: of `weights` (as the command named them), `weights_sha256`, `seed` (of fresh ones), `arch`, `width`
            (None: as published), `window`, `step`, `pooling`, `layer`, `shape` (of a feature), `precision`, `fold`,
            `videos` (what names them, and their order) and `data_fingerprint` (what names them in every result) those
            that are not None.
    """
    said = facts | {"clip": dataclasses.asdict(clip)}
    made = {name: said.get(name) for name in FACTS}
    versions = {name: metadata.version(name) for name in ("rspnet", "torch")}
    return dict(json.loads(json.dumps(made | {"versions": versions})))


def differing(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names of what is another one now; weights are the same by whatever name, if their bytes are.

    Args:
        then: what something was made with.
        now: what it is to be made with.
    """
    names = [name for name in now if then.get(name) != now[name]]
    same = now.get("weights_sha256") is not None and "weights_sha256" not in names
    return [name for name in names if not (same and name == "weights")]
