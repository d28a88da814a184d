"""Folders that stages/export.py makes for the Hub and for timm, read again: model.safetensors, config.json, README.md.

config.json is timm's, with what rspnet needs beside that; `described` gives it as encoder.json would say it. A
model.safetensors of rspnet names itself as such, so that it is not taken for another trainer's where its config.json
was left behind. Without torch.
"""

import json
from pathlib import Path
from typing import Any

from rspnet.disk import identity
from rspnet.errors import CheckpointError

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MARK = "rspnet"
"""What rspnet's own part of each exported file goes by: a key of config.json, of metadata, of an archive."""

_LONGEST = 1 << 26  # bytes that the head of a safetensors file may have


def beside(weights: Path) -> Path:
    """Return the JSON file that describes a .safetensors file."""
    return weights.with_name(CONFIG) if weights.name == MODEL else weights.with_suffix(".json")


def is_marked(weights: Path) -> bool:
    """Whether a .safetensors file says of itself that rspnet has exported it."""
    try:
        with open(weights, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(length)) if length < _LONGEST else {}
        return MARK in head["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or of somebody else
        return False


def described(config: object) -> dict[str, Any] | None:
    """Return what a config.json says, by the names of encoder.json; None where it is not one of rspnet's.

    Raises:
        ValueError: It says two things of the clip, one to timm and another one to rspnet.
    """
    if not isinstance(config, dict) or not isinstance(config.get(MARK), dict):
        return None
    named = (config.get(name) for name in ("model_args", "pretrained_cfg"))
    args, cfg = (each if isinstance(each, dict) else {} for each in named)
    clip = args.get("clip")
    if isinstance(clip, dict):
        for name in ("mean", "std"):
            if cfg.get(name) != clip.get(name):
                raise ValueError(f"pretrained_cfg.{name} is not model_args.clip.{name}")
    known = {name: config[name] for name in ("num_features", "num_classes") if name in config}
    network = {"arch": str(config.get("architecture")).removeprefix("rspnet_"), "kwargs": {"width": args.get("width")}}
    return {**config[MARK], **known, **network, "clip": clip, "class_names": config.get("label_names")}


def read_export(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's config.json says if the folder is an export and nothing else, else None."""
    names = {path.name for path in folder.iterdir()}
    if not {MODEL, CONFIG} <= names or names - {MODEL, CONFIG, CARD}:
        return None
    try:
        return described(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def changed_card(folder: Path, said: dict[str, Any]) -> str | None:
    """Return the text of an export's README.md if it is not as it was written; None if it is, or if there is none.

    Args:
        folder: The export.
        said: `read_export` of it.

    Raises:
        CheckpointError: It cannot be read.
    """
    card = folder / CARD
    try:
        if not card.exists() or identity(card) == said.get("card"):
            return None
        return card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{card}: cannot be read ({error}); move it away") from None
