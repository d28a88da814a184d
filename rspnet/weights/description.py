"""Find a weight file, and read the description beside it, before the weights themselves are loaded.

encoder.json names the network and the clips that it was trained on, and whatever uses the weights takes both from
there. config.json in an exported folder and network.json in a run's checkpoint serve the same purpose. They are read
without torch, because a command's options take their defaults from them.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from rspnet.console import say
from rspnet.disk import in_words, is_there
from rspnet.errors import CheckpointError
from rspnet.weights import exported
from rspnet.weights.manifest import NETWORK, STATE, fault, is_checkpoint, newest_sound, read_manifest

NAME = "encoder.safetensors"

_COUNTS = ("num_frames", "stride", "size", "views")


def named_weights(weights: str | None) -> str | None:
    """Return the path given as `--weights`, or None for fresh weights: if it is `none` or not given."""
    return None if weights == "none" else weights


def find_weights(path: str | Path) -> Path:
    """Return the weight file that a path stands for.

    That is the file itself, a run folder's encoder.safetensors, an exported folder's model.safetensors, or a
    checkpoint's state.pt; for an unfinished run, the state.pt of its newest sound checkpoint.

    Raises:
        CheckpointError: If there is none, or the system refuses to say.
    """
    path = Path(path)
    if not is_there(path, CheckpointError):
        raise CheckpointError(f"{path}: no such file or folder; give a run folder or a weight file")
    if os.path.isfile(path):
        return path
    for inside in (path / NAME, path / exported.MODEL):
        if is_there(inside, CheckpointError) and os.path.isfile(inside):
            return inside
    if is_checkpoint(path):
        return path / STATE
    if (path / "checkpoints").is_dir():
        return newest_sound(path) / STATE
    if path.name == "checkpoints":
        raise CheckpointError(f"{path}: give the run folder that it is in, or one of the checkpoints in it")
    raise CheckpointError(f"{path}: no {NAME} in this folder; give a run folder or a weight file")


def is_export(folder: str | Path) -> bool:
    """Return whether the file that `find_weights` finds in a folder is an export's model.safetensors."""
    return os.path.isfile(Path(folder, exported.MODEL)) and not os.path.lexists(Path(folder, NAME))


def settled(weights: str, *, whole: bool = False, aloud: bool = True) -> str:
    """Return a path that keeps standing for the same weights while a command runs, and say so if it is another path.

    An unfinished run may go on meanwhile: for it, as for the links `last` and `best`, the checkpoint of this moment is
    returned.

    Args:
        weights: A path for `find_weights`.
        whole: Whether to return a finished pretraining's last checkpoint, if it is there, because it holds heads, key
            encoder and queue beside the encoder.
        aloud: Whether to print which checkpoint is taken.

    Raises:
        CheckpointError: As for `find_weights`.
    """
    path, found = Path(weights), find_weights(weights)
    if path.name == STATE and is_checkpoint(path.parent):
        return settled(str(path.parent), whole=whole, aloud=aloud)
    tell = say if aloud else lambda _: None
    if found.name != STATE or path.is_file():
        last = _last_checkpoint(found) if whole and path.is_dir() else None
        if last is None:
            return weights
        if what := fault(last):
            tell(f"{last}: {what}; only the encoder of {weights} is used")
            return weights
        tell(f"{weights}: is a finished pretraining; its last checkpoint is used, {last.name}")
        return str(last)
    if is_checkpoint(path):
        return settled(str(path.parent / os.readlink(path)), aloud=aloud) if path.is_symlink() else weights
    tell(f"{weights}: is not finished; its newest checkpoint is used, {found.parent.name}")
    return str(found.parent)


def same_run(checkpoint: str, weights: str) -> bool:
    """Return whether a path is a checkpoint of the run that `weights` names, by its folder or by `last` or `best`."""
    folder, named = Path(checkpoint), Path(weights)
    if named.parent.name == "checkpoints" and named.name in ("last", "best"):
        named = named.parent.parent
    is_one = folder.parent.name == "checkpoints" and folder.name.startswith("step_")
    return is_one and os.path.realpath(folder.parent.parent) == os.path.realpath(named)


def _last_checkpoint(weights: Path) -> Path | None:
    """Return the checkpoint that a finished pretraining's encoder.safetensors was taken from, or None."""
    if weights.name != NAME:
        return None
    said = (read_description(weights) or {}).get("provenance")
    if not isinstance(said, dict) or said.get("stage") != "pretrain":
        return None
    folder = weights.with_name("checkpoints") / f"step_{said.get('steps')}"
    return folder if is_checkpoint(folder) else None


def read_description(weights: Path) -> dict[str, Any] | None:
    """Return the contents of the JSON file beside a weight file, or None for a file that needs none.

    Args:
        weights: A file, as `find_weights` returns it.

    Returns:
        `arch`, `kwargs` (of `create_encoder`), `clip` (any of num_frames, stride, size, sampling, frame_rate, views,
        mean, std, channels), `weights` (size and hash of the file), and whatever else was written.

    Raises:
        CheckpointError: If it is missing beside one of rspnet's own files, or is not such a description.
    """
    if weights.name == STATE and is_checkpoint(weights.parent):
        return _of_checkpoint(weights.parent)
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
                return None  # another library's
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(beside, in_words(error)) from error
    return _checked(beside, description)


def _of_checkpoint(folder: Path) -> dict[str, Any]:
    beside = folder / NETWORK
    if not beside.is_file():
        raise CheckpointError(f"{folder}: has no {NETWORK}, which describes its network; copy the run folder again")
    try:
        files = read_manifest(folder)["files"]
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}; copy the run folder again") from None
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(beside, in_words(error)) from error
    return _checked(beside, description | {"weights": files.get(STATE)} if isinstance(description, dict) else None)


def _damaged(beside: Path, why: object) -> CheckpointError:
    return CheckpointError(f"{beside}: does not describe weights ({why}); copy both files again")


def _checked(beside: Path, description: object) -> dict[str, Any]:
    if wrong := _fault(description):
        raise _damaged(beside, wrong)
    said: dict[str, Any] = description  # type: ignore[assignment]  # `_fault` has checked it
    return said


def _fault(description: object) -> str | None:
    """Return why the description cannot be used, or None if it can."""
    if not isinstance(description, dict):
        return "it has no keys of rspnet"
    kinds = {"arch": str, "kwargs": dict, "clip": dict, "weights": dict}
    if missing := [name for name, kind in kinds.items() if not isinstance(description.get(name), kind)]:
        return f"it lacks {missing[0]}"
    if not isinstance(description.get("provenance", {}), dict):
        return f"provenance is {description['provenance']!r}"
    width = description["kwargs"].get("width")
    if strange := description["kwargs"].keys() - {"width"}:
        return f"kwargs.{min(strange)} is unknown here"
    if width is not None and not _is_count(width):
        return f"kwargs.width is {width!r}"
    names = description.get("class_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return "class_names is not a list of names"
    pretext = description.get("pretext", {})
    if not isinstance(pretext, dict) or not all(_is_count(pretext.get(name, 1)) for name in ("dim", "queue_length")):
        return f"pretext is {pretext!r}"
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
