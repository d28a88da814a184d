"""Read folders that stages/export.py made for the Hub or timm: model.safetensors, config.json, README.md.

config.json is in timm's format, with what rspnet needs added; `described` returns it under the keys of encoder.json. A
model.safetensors of rspnet is marked as such in its metadata, so that it is not mistaken for another trainer's if its
config.json was left behind. This module does not import torch.
"""

import json
from pathlib import Path
from typing import Any

from rspnet.disk import identity
from rspnet.errors import CheckpointError

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MARK = "rspnet"
"""Name of rspnet's own part in each exported file: a key of config.json, of metadata, or of an archive."""

_LONGEST = 1 << 26  # largest head of a safetensors file, in bytes, that is read


def beside(weights: Path) -> Path:
    """Return the JSON file that describes a .safetensors file."""
    return weights.with_name(CONFIG) if weights.name == MODEL else weights.with_suffix(".json")


def is_marked(weights: Path) -> bool:
    """Return whether a .safetensors file is marked as exported by rspnet."""
    try:
        with open(weights, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(length)) if length < _LONGEST else {}
        return MARK in head["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # no such file, or not one of rspnet's
        return False


def described(config: object) -> dict[str, Any] | None:
    """Return the contents of a config.json under the keys of encoder.json, or None if it is not one of rspnet's.

    Raises:
        ValueError: If its mean or std for timm differs from that for rspnet.
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
    """Return `described` of a folder's config.json if the folder holds an export and nothing else, or None."""
    names = {path.name for path in folder.iterdir()}
    if not {MODEL, CONFIG} <= names or names - {MODEL, CONFIG, CARD}:
        return None
    try:
        return described(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def changed_card(folder: Path, said: dict[str, Any]) -> str | None:
    """Return the text of an export's README.md if it was changed since, or None if it was not or does not exist.

    Args:
        folder: The exported folder.
        said: `read_export` of it.

    Raises:
        CheckpointError: If it cannot be read.
    """
    card = folder / CARD
    try:
        if not card.exists() or identity(card) == said.get("card"):
            return None
        return card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{card}: cannot be read ({error}); move it away") from None
