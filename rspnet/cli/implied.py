"""Defaults that a command's weights imply for its other options: the network, and the clips that it was trained on.

They need not be repeated. A config file or the command line wins over them, and a line reports where these differ.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_type_hints

import yaml

from rspnet.cli.options import Clips, Encoder
from rspnet.cli.strict_yaml import read_yaml
from rspnet.errors import CheckpointError
from rspnet.weights.description import find_weights, named_weights, read_description, same_run, settled

if TYPE_CHECKING:
    from rspnet.weights.read import WeightFile

PUBLISHED_WIDTH = 64
_NOT_EVERYWHERE = ("clips.views", "pretext.dim", "pretext.queue_length")
"""Options that only some of the stages with weights have."""
_CLIP = ("num_frames", "stride", "size", "sampling", "frame_rate", "views")


class Options(Protocol):
    """All options of a command, by their flat names: the parser's namespace, or a dict."""

    def __getitem__(self, name: str, /) -> Any: ...

    def __contains__(self, name: str, /) -> bool: ...


def by_weights(options: Options) -> dict[str, Any]:
    """Return the defaults that `--weights` brings along, flat (`clips.size`).

    Args:
        options: All options of the command, flat, before these defaults are applied.

    Raises:
        CheckpointError: The weights cannot be read, hold an unknown network, or their encoder.json is damaged.
    """
    weights, pretrains = named_weights(options["weights"]), "pretext.dim" in options
    if weights is None:
        return {}
    try:
        path = find_weights(settled(weights, whole=pretrains, aloud=False))
    except CheckpointError:  # the stage reports it, after anything else that is wrong with the command
        return _as_begun(options, weights)
    said = read_description(path)
    known = get_args(get_type_hints(Encoder)["name"])
    if said is not None and said["arch"] not in known:
        raise CheckpointError(f"{path}: holds the network {said['arch']!r}, not one of those here: {', '.join(known)}")
    implied = as_options(said or _by_tensors(path, pretrains))
    if options["clips.sampling"] == "cover":  # frames that cover a video have no stride of their own
        implied.pop("clips.stride", None)
    return {name: value for name, value in implied.items() if name in options or name not in _NOT_EVERYWHERE}


def _by_tensors(path: Path, pretrains: bool) -> dict[str, Any]:
    """Return what encoder.json would say, for a file that only torch can read."""
    from rspnet.weights.load import clip_of
    from rspnet.weights.read import read_weights

    file = read_weights(path)
    clip = clip_of(file)
    said: dict[str, Any] = {"arch": file.arch, "kwargs": {"width": file.width}}
    said["clip"] = {"num_frames": clip.num_frames, "size": clip.size}
    if pretrains:
        from rspnet.weights.pretraining import sizes_of

        said["pretext"] = sizes_of(file)
    return said


def _as_begun(options: Options, weights: str) -> dict[str, Any]:
    """Return what weights that are gone now implied when this run began; empty if it does not resume a run."""
    if "run_dir" not in options or options["run_dir"] is None:
        return {}
    config = Path(options["run_dir"], "config.yaml")
    try:
        then = read_yaml(config.read_text(encoding="utf-8")) if config.is_file() else None
    except (OSError, ValueError, yaml.YAMLError):  # reported when the stage opens the folder
        return {}
    named = str(then.get("weights")) if isinstance(then, dict) else ""
    if not isinstance(then, dict) or (named != weights and not same_run(named, weights)):
        return {}
    implied = {}
    for name in (*(f"clips.{name}" for name in _CLIP), "encoder.name", "encoder.width", *_NOT_EVERYWHERE):
        section, _, key = name.partition(".")
        if name in options and isinstance(then.get(section), dict) and key in then[section]:
            implied[name] = then[section][key]
    return implied


def clips_by_weights(options: Options) -> dict[str, Any]:
    """As `by_weights`, for a command that builds the network from the weights and takes one clip at a time."""
    implied = by_weights(options)
    return {name: implied[name] for name in implied if name.startswith("clips.") and name != "clips.views"}


def as_options(said: dict[str, Any]) -> dict[str, Any]:
    """Return the content of encoder.json as options, flat.

    Args:
        said: `arch`, `kwargs` and `clip`, as in encoder.json; optionally `pretext`, as in a checkpoint.
    """
    width = said["kwargs"].get("width")
    network = {"encoder.name": said["arch"], "encoder.width": None if width == PUBLISHED_WIDTH else width}
    clip = {f"clips.{name}": said["clip"][name] for name in _CLIP if name in said["clip"]}
    return network | clip | {f"pretext.{name}": value for name, value in said.get("pretext", {}).items()}


def remarks(clips: Clips, weights: "WeightFile", trained: bool = False) -> list[str]:
    """Report how the clips that a network is fed differ from those that it was trained on.

    Args:
        clips: The command's section `clips`.
        weights: The weights file.
        trained: Whether a trained classifier is tested: then other clips are worth a warning.

    Returns:
        No line or one: which options differ from the weights' own, or that the weights do not name theirs.
    """
    said = weights.description.get("clip")
    if said is None or weights.description.get("clip_unknown"):
        return [
            f"{'warning: ' if trained else ''}{weights.path}: does not say what clips it was trained on; fed with "
            f"{clips.num_frames} frames, stride {clips.stride}, {clips.size} pixels (--clips.num_frames, "
            f"--clips.stride, --clips.size) and the normalisation usual for {weights.arch}"
        ]
    idle = ("stride",) if clips.sampling == said.get("sampling") == "cover" else ()
    differing = [
        name for name in said if name in _CLIP and name not in idle and said[name] != getattr(clips, name, said[name])
    ]
    if not differing:
        return []
    text = ", ".join(f"clips.{name} {_plain(getattr(clips, name))}, not {_plain(said[name])}" for name in differing)
    if differing == ["views"]:  # used in tests only: training takes single clips
        return [f"another number of clips of each video than the weights say, as the options say: {text}"]
    if trained:
        return [f"warning: this classifier was trained on other clips than it is tested on: {text}"]
    return [f"other clips than the weights were trained on, as the options say: {text}"]


def fold_remarks(weights: "WeightFile", facts: dict[str, Any]) -> list[str]:
    """Warn if a classifier is tested on the data set that it was trained on, but in another fold.

    Args:
        weights: The classifier's weights.
        facts: Provenance of the test; `fold` and `data_fingerprint` are used.

    Returns:
        No line or one.
    """
    then = weights.description.get("provenance")
    if not isinstance(then, dict) or then.get("data_fingerprint") != facts["data_fingerprint"]:
        return []
    if then.get("fold", facts["fold"]) == facts["fold"]:
        return []
    return [
        f"warning: this classifier was trained on fold {then['fold']} of these videos: some test videos of fold "
        f"{facts['fold']} were among its training videos"
    ]


def _plain(value: object) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
