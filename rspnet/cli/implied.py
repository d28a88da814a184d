"""What the weights of a command imply for its other options: the network, and the clips that it was trained on.

Nobody has to repeat them. They are defaults: a config file or the command line wins, and where it differs that is said.
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
"""Options that not every stage with weights has."""
_CLIP = ("num_frames", "stride", "size", "sampling", "frame_rate", "views")


class Options(Protocol):
    """All options of a command, by their flat names: the parser's namespace, or a dict."""

    def __getitem__(self, name: str, /) -> Any: ...

    def __contains__(self, name: str, /) -> bool: ...


def by_weights(options: Options) -> dict[str, Any]:
    """Return the defaults that `--weights` brings along, flat (`clips.size`).

    Args:
        options: All options of the command, flat, as they are without these defaults.

    Raises:
        CheckpointError: The weights cannot be read, or what stands beside them is damaged.
    """
    weights, pretrains = named_weights(options["weights"]), "pretext.dim" in options
    if weights is None:
        return {}
    try:
        path = find_weights(settled(weights, whole=pretrains, aloud=False))
    except CheckpointError:  # which the stage says, after what else is wrong with the command
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
    """What encoder.json would say, of a file that nothing but torch can read."""
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
    """What weights that are gone implied when the run began that is to go on; nothing where there is none."""
    if "run_dir" not in options or options["run_dir"] is None:
        return {}
    config = Path(options["run_dir"], "config.yaml")
    try:
        then = read_yaml(config.read_text(encoding="utf-8")) if config.is_file() else None
    except (OSError, ValueError, yaml.YAMLError):  # which is said when the folder is looked at
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
    """As `by_weights`, for a command that takes the network as the weights have it, and one clip at a time."""
    implied = by_weights(options)
    return {name: implied[name] for name in implied if name.startswith("clips.") and name != "clips.views"}


def as_options(said: dict[str, Any]) -> dict[str, Any]:
    """Return as options, flat, what encoder.json or the like says.

    Args:
        said: `arch`, `kwargs` and `clip`, as in encoder.json; and perhaps `pretext`, as in a checkpoint.
    """
    width = said["kwargs"].get("width")
    network = {"encoder.name": said["arch"], "encoder.width": None if width == PUBLISHED_WIDTH else width}
    clip = {f"clips.{name}": said["clip"][name] for name in _CLIP if name in said["clip"]}
    return network | clip | {f"pretext.{name}": value for name, value in said.get("pretext", {}).items()}


def remarks(clips: Clips, weights: "WeightFile", trained: bool = False) -> list[str]:
    """Say what is to be known of the clips that weights are fed with.

    Args:
        clips: The command's section of that name.
        weights: The file of them.
        trained: Whether a classifier is tested, which tells what it was trained to tell on its own clips only.

    Returns:
        No line or one: which options differ from what the weights say, or that they say nothing.
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
    if differing == ["views"]:  # of the test: the network is trained on each by itself
        return [f"another number of clips of each video than the weights say, as the options say: {text}"]
    if trained:
        return [f"warning: this classifier was trained on other clips than it is tested on: {text}"]
    return [f"other clips than the weights were trained on, as the options say: {text}"]


def fold_remarks(weights: "WeightFile", facts: dict[str, Any]) -> list[str]:
    """Say it where a classifier is tested on videos of the data set that it was trained on, but in another fold.

    Args:
        weights: What is tested.
        facts: What the test's number comes from: `fold` and `data_fingerprint` count here.

    Returns:
        No line or one.
    """
    then = weights.description.get("provenance")
    if not isinstance(then, dict) or then.get("data_fingerprint") != facts["data_fingerprint"]:
        return []
    if then.get("fold", facts["fold"]) == facts["fold"]:
        return []
    return [
        f"warning: this classifier was trained on fold {then['fold']} of these videos: among the test videos of fold "
        f"{facts['fold']} are some that it knows"
    ]


def _plain(value: object) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
