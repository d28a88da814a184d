"""What the weights of a command imply for its other options: the network, and the clips that it was trained on.

Nobody has to repeat them. They are defaults: a config file or the command line wins, and where it differs that is said.
"""

from typing import TYPE_CHECKING, Any, Protocol, get_args, get_type_hints

from rspnet.cli.options import Clips, Encoder
from rspnet.errors import CheckpointError
from rspnet.weights.description import find_weights, named_weights, read_description

if TYPE_CHECKING:
    from rspnet.weights.read import WeightFile

PUBLISHED_WIDTH = 64
_CLIP = ("num_frames", "stride", "size", "sampling", "frame_rate", "views")


class Options(Protocol):
    """All options of a command, by their flat names: the parser's namespace, or a dict."""

    def __getitem__(self, name: str, /) -> Any: ...


def by_weights(options: Options) -> dict[str, Any]:
    """Return the defaults that `--weights` brings along, flat (`clips.size`).

    Args:
        options: All options of the command, flat, as they are without these defaults.

    Raises:
        CheckpointError: The weights cannot be read, or what stands beside them is damaged.
    """
    weights = named_weights(options["weights"])
    if weights is None:
        return {}
    try:
        path = find_weights(weights)
    except CheckpointError:
        return {}  # which the stage says, after what else is wrong with the command
    said = read_description(path)
    known = get_args(get_type_hints(Encoder)["name"])
    if said is not None and said["arch"] not in known:
        raise CheckpointError(f"{path}: holds the network {said['arch']!r}, not one of those here: {', '.join(known)}")
    if said is None:
        from rspnet.weights.load import clip_of  # here, and only for files that nothing but torch can read
        from rspnet.weights.read import read_weights

        file = read_weights(path)
        clip = clip_of(file)
        said = {"arch": file.arch, "kwargs": {"width": file.width}}
        said["clip"] = {"num_frames": clip.num_frames, "size": clip.size}
    implied = as_options(said)
    if options["clips.sampling"] == "cover":  # frames that cover a video have no stride of their own
        implied.pop("clips.stride", None)
    return implied


def as_options(said: dict[str, Any]) -> dict[str, Any]:
    """Return as options, flat, what encoder.json or the like says.

    Args:
        said: `arch`, `kwargs` and `clip`, as in encoder.json.
    """
    width = said["kwargs"].get("width")
    network = {"encoder.name": said["arch"], "encoder.width": None if width == PUBLISHED_WIDTH else width}
    return network | {f"clips.{name}": said["clip"][name] for name in _CLIP if name in said["clip"]}


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
    if said is None:
        return [
            f"{'warning: ' if trained else ''}{weights.path}: does not say what clips it was trained on; fed with "
            f"{clips.num_frames} frames, stride {clips.stride}, {clips.size} pixels (--clips.num_frames, "
            f"--clips.stride, --clips.size) and the normalisation usual for {weights.arch}"
        ]
    idle = ("stride",) if clips.sampling == said.get("sampling") == "cover" else ()
    differing = [name for name in said if name in _CLIP and name not in idle and said[name] != getattr(clips, name)]
    if not differing:
        return []
    text = ", ".join(f"clips.{name} {_plain(getattr(clips, name))}, not {_plain(said[name])}" for name in differing)
    if trained and differing != ["views"]:
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
