"""What is known of weights before they are loaded: where they lie, and what encoder.json beside them says.

encoder.json names the network, and the clips that it was trained on; whoever uses the weights takes both from there. So
does config.json of an exported folder. It is read without torch, because a command's options take their defaults from
it.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from rspnet.disk import in_words, is_there
from rspnet.errors import CheckpointError
from rspnet.weights import exported

NAME = "encoder.safetensors"

_COUNTS = ("num_frames", "stride", "size", "views")


def named_weights(weights: str | None) -> str | None:
    """Return what `--weights` names; None for fresh ones, which are asked for by `none`, or by nothing at all."""
    return None if weights == "none" else weights


def find_weights(path: str | Path) -> Path:
    """Return the weight file that a path means: itself, a run folder's encoder.safetensors, an exported folder's own.

    Raises:
        CheckpointError: If there is none, or the system does not tell.
    """
    path = Path(path)
    if not is_there(path, CheckpointError):
        raise CheckpointError(f"{path}: no such file or folder; give a run folder or a weight file")
    if os.path.isfile(path):
        return path
    for inside in (path / NAME, path / exported.MODEL):
        if is_there(inside, CheckpointError) and os.path.isfile(inside):
            return inside
    if (path / "checkpoints").is_dir():
        raise CheckpointError(f"{path}: this run has not written its encoder yet; start it again to let it finish")
    raise CheckpointError(f"{path}: no {NAME} in this folder; give a run folder or a weight file")


def is_export(folder: str | Path) -> bool:
    """Whether it is an exported folder's own file that `find_weights` finds in a folder."""
    return os.path.isfile(Path(folder, exported.MODEL)) and not os.path.lexists(Path(folder, NAME))


def read_description(weights: Path) -> dict[str, Any] | None:
    """Return what the JSON file beside a .safetensors file says of it; None where there is none and need not be.

    Args:
        weights: A file, as `find_weights` returns it.

    Returns:
        `arch`, `kwargs` (of `create_encoder`), `clip` (any of num_frames, stride, size, sampling, frame_rate, views,
        mean, std, channels), `weights` (size and hash of the file), and whatever else was written.

    Raises:
        CheckpointError: If it is missing beside an encoder.safetensors, or is not such a description.
    """
    if weights.suffix != ".safetensors":
        return None
    beside = exported.beside(weights)
    if not beside.is_file():
        if weights.name != NAME and not exported.is_marked(weights):
            return None
        what = f"{beside.name} is missing beside it; copy it from where the weights came from"
        if weights.name not in (NAME, exported.MODEL):
            what = f"comes from an exported folder, where its name is {exported.MODEL}; give that folder"
        raise CheckpointError(f"{weights}: {what}")
    try:
        description = json.loads(beside.read_text(encoding="utf-8-sig"))
        if weights.name == exported.MODEL:
            description = exported.described(description)
            if description is None and not exported.is_marked(weights):
                return None  # of another library
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{beside}: is no description of weights ({in_words(error)}); copy both files again"
        ) from error
    if fault := _fault(description):
        raise CheckpointError(f"{beside}: is no description of weights ({fault}); copy both files again")
    said: dict[str, Any] = description
    return said


def _fault(description: object) -> str | None:
    """Say what keeps it from being used, None if nothing does."""
    if not isinstance(description, dict):
        return "no names and values"
    kinds = {"arch": str, "kwargs": dict, "clip": dict, "weights": dict}
    if missing := [name for name, kind in kinds.items() if not isinstance(description.get(name), kind)]:
        return f"it lacks {missing[0]}"
    width = description["kwargs"].get("width")
    if strange := description["kwargs"].keys() - {"width"}:
        return f"kwargs.{min(strange)} is unknown here"
    if width is not None and not _is_count(width):
        return f"kwargs.width is {width!r}"
    names = description.get("class_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return "class_names is no list of names"
    clip = description["clip"]
    rate = clip.get("frame_rate")
    good = {name: _is_count(clip[name]) for name in _COUNTS if name in clip}
    good["sampling"] = clip.get("sampling", "clip") in ("clip", "cover")
    good["channels"] = clip.get("channels", "RGB") in ("RGB", "BGR")
    good["frame_rate"] = rate is None or (_is_number(rate) and rate > 0)
    good["mean"] = "mean" not in clip or _is_colour(clip["mean"])
    good["std"] = "std" not in clip or (_is_colour(clip["std"]) and min(clip["std"]) > 0)
    bad = next((name for name, fine in good.items() if not fine), None)
    return bad and f"clip.{bad} is {clip[bad]!r}"


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_colour(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))
