"""How features are made: everything that they depend on, in the form in which their file contains it."""

import dataclasses
import json
from importlib import metadata
from typing import Any

from rspnet.clipspec import ClipSpec

MADE_BY = "rspnet.features"
"""Key in a file's metadata."""

FACTS = (
    *("weights", "weights_sha256", "seed", "arch", "width", "clip", "window", "step", "pooling", "layer"),
    *("shape", "precision", "fold", "videos", "data_fingerprint"),
)
"""The keys of the value, besides `versions`."""


def made_with(clip: ClipSpec, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the value for a file: everything that its features depend on, and the versions that made them.

    Args:
        clip: the clips that the network was fed with.
        facts: `weights` (as named in the command), `weights_sha256`, `seed` (of fresh weights), `arch`, `width` (None:
            as published), `window`, `step`, `pooling`, `layer`, `shape` (of a feature), `precision`, `fold`, `videos`
            (identifies the videos and their order) and `data_fingerprint` (identifies them in every result); those
            that are None may be left out.
    """
    said = facts | {"clip": dataclasses.asdict(clip)}
    made = {name: said.get(name) for name in FACTS}
    versions = {name: metadata.version(name) for name in ("rspnet", "torch")}
    return dict(json.loads(json.dumps(made | {"versions": versions})))


def differing(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the keys whose values differ; the name of the weights is ignored if their SHA-256 is the same.

    Args:
        then: how something was made, see `made_with`.
        now: how it is to be made.
    """
    names = [name for name in now if then.get(name) != now[name]]
    same = now.get("weights_sha256") is not None and "weights_sha256" not in names
    return [name for name in names if not (same and name == "weights")]
