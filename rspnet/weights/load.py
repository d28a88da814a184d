"""Save and load an encoder's weights: `encoder.safetensors`, with `encoder.json` that describes them.

The safetensors file holds the state dict of an encoder, or of a classifier with its encoder. Loading also takes the
published files and other trainers' (rspnet/weights/read.py), and accounts for every entry.
"""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save
from torch import Tensor, nn

from rspnet.clipspec import ClipSpec
from rspnet.console import fitted, say, some
from rspnet.disk import identity, needing, whole
from rspnet.errors import CheckpointError
from rspnet.weights.description import settled
from rspnet.weights.entries import OTHERS, SIGNATURES, sort_entries
from rspnet.weights.read import WeightFile, few, read_weights

if TYPE_CHECKING:
    from rspnet.encoders import VideoEncoder
    from rspnet.method.classifier import Classifier

_DESCRIBED = ("arch", "kwargs", "num_features", "clip", "provenance")


@dataclass(frozen=True)
class Report:
    """What became of every entry of a weight file, and of every entry of the module.

    Attributes:
        path: The file that was read.
        layout: The kind of file.
        arch: The network in it.
        used: Entries of the file that were loaded into the module.
        ignored: Reason -> the entries of the file that were not loaded for it.
        fresh: Entries of the module that the file has no values for.
        epoch: Epochs of training behind the weights, if the file says.
        description: Contents of encoder.json; for a published file, its epoch.
    """

    path: Path
    layout: str
    arch: str
    used: list[str]
    ignored: dict[str, list[str]]
    fresh: list[str]
    epoch: int | None
    description: dict[str, Any]

    def summary(self) -> str:
        """Return a line that says what was loaded and, if anything was not, lines of at most 100 columns on that."""
        what = f"{self.layout}, {self.arch}" + (f", epoch {self.epoch}" if self.epoch is not None else "")
        text = f"{self.path} ({what}): loaded {len(self.used)} of the network's "
        text += f"{len(self.used) + len(self.fresh)} entries" + (f"; fresh: {few(self.fresh)}" if self.fresh else "")
        if self.ignored:
            named = {why: few(keys) if why == OTHERS else len(keys) for why, keys in self.ignored.items()}
            text += "\n" + fitted("not used: " + "; ".join(f"{why} ({what})" for why, what in named.items()))
        return text


def save_encoder(folder: str | Path, encoder_state: Mapping[str, Tensor], description: dict[str, Any]) -> None:
    """Write `encoder.safetensors` and `encoder.json`, each of which appears only when it is complete.

    Args:
        folder: Run folder.
        encoder_state: State dict of an encoder, or of a `Classifier` (`encoder.*`, `fc.*`).
        description: JSON-serialisable, with at least `arch` (name for `create_encoder`), `kwargs` (its other arguments,
            such as the width), `num_features`, `clip` (num_frames, stride, size, mean, std, channels) and `provenance`
            (stage, epoch, step, data fingerprint ...); `class_names` in the order of the logits, for a classifier.

    Raises:
        DiskError, ConfigError: If the folder cannot be written to.
        ValueError: If the description lacks one of these, or its `arch` is not that of the tensors.
    """
    entries = sort_entries(encoder_state)
    missing = [name for name in _DESCRIBED if name not in description]
    if missing or description["arch"] != entries.arch:
        raise ValueError(f"description lacks {missing} or its arch is not {entries.arch}: {description}")
    folder = Path(folder)
    weights, beside = folder / "encoder.safetensors", folder / "encoder.json"
    num_classes = encoder_state[entries.head["weight"]].shape[0] if entries.head else 0
    size = sum(value.nbytes for value in encoder_state.values())
    with needing(size), whole(beside) as new_beside, whole(weights) as new_weights:
        write_tensors(new_weights, encoder_state)
        facts = {"file": weights.name, **identity(new_weights)}
        text = json.dumps({"format": 1, **description, "num_classes": num_classes, "weights": facts}, indent=2)
        new_beside.write_text(text + "\n", encoding="utf-8")


def save_network(folder: str | Path, network: nn.Module, *, clips: dict[str, Any], provenance: dict[str, Any]) -> None:
    """Save a trained network by `save_encoder`, with its description.

    Args:
        folder: Run folder.
        network: An encoder, or a `Classifier`, whose `class_names` are written too.
        clips: The section `clips` of the training's options.
        provenance: As for `save_encoder`.

    Raises:
        DiskError, ConfigError: If the folder cannot be written to.
        ValueError: If the network is no encoder of rspnet and has none.
    """
    if (description := describe_network(network, clips)) is None:
        raise ValueError(f"{type(network).__name__} is no encoder of rspnet and has none")
    save_encoder(folder, network.state_dict(), description | {"provenance": provenance})


def describe_network(network: nn.Module, clips: dict[str, Any]) -> dict[str, Any] | None:
    """Return the description of a network for encoder.json: `arch`, `kwargs`, `num_features` and `clip`.

    A classifier also has `class_names`, a whole pretraining also `pretext`: `dim` and `queue_length`.

    Args:
        network: An encoder, or a module with one as its `encoder` or `query_encoder.encoder`; for others None is
            returned.
        clips: The section `clips` of the training's options.
    """
    from rspnet.encoders import VideoEncoder  # here, because it loads timm

    outer = getattr(network, "query_encoder", network)
    encoder = getattr(outer, "encoder", outer)
    if not isinstance(encoder, VideoEncoder):
        return None
    clip = {**clips, "mean": encoder.clip.mean, "std": encoder.clip.std, "channels": encoder.clip.channels}
    said = {"arch": encoder.spec.name, "kwargs": encoder.kwargs, "num_features": encoder.num_features, "clip": clip}
    if names := getattr(network, "class_names", None):
        said["class_names"] = names
    if queue := getattr(network, "queue", None):
        said["pretext"] = dict(zip(("dim", "queue_length"), queue.columns.shape))
    return said


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a safetensors file; they may be on any device, non-contiguous, or share memory.

    Args:
        path: The file.
        tensors: The tensors by name.
        metadata: Metadata of the file.

    Raises:
        OSError: If the disk refuses.
    """
    storages: set[int] = set()
    apart = {}
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        apart[name] = value.clone() if storage in storages else value  # the format does not allow shared memory
        storages.add(storage)
    # Not by safetensors' save_file, whose files only their owner may read.
    path.write_bytes(save(apart, metadata))


def load_encoder(path: str | Path, **overrides: Any) -> "VideoEncoder":
    """Build the encoder that a weight file holds, load it, and return it in eval mode.

    Its attribute `clip` describes the clips that it was trained on; `rspnet.read_clips` follows it. If the file does
    not say, `clip` describes those that the network is made for, and a line on stderr says so.

    Args:
        path: A run folder, a checkpoint in one, our .safetensors file, a published .pth.tar, or another state dict that
            torch saved. For an unfinished run the newest sound checkpoint is loaded, and a line on stderr names it.
        overrides: Arguments for `create_encoder`; `num_classes=K` gives a fresh classifier, never the trained one of a
            fine-tuned run, for which there is `load_classifier`; a warning says so if the file has one.

    Raises:
        CheckpointError: If the file cannot be used; the message says why and what to do.
    """
    from rspnet.encoders import create_encoder  # here, so that checkpoints alone do not load timm

    file = read_weights(settled(os.fspath(path)))
    if overrides.get("num_classes") and file.entries.head:
        warnings.warn(
            f"{file.path}: has a trained classifier of {_classes(file.num_classes)}, which is not loaded: "
            f"num_classes={overrides['num_classes']} makes a fresh one; rspnet.load_classifier gives the trained one",
            stacklevel=2,
        )
    encoder = create_encoder(file.arch, **{"width": file.width, **file.description.get("kwargs", {}), **overrides})
    load_weights(encoder, file)
    _say_clip(file)
    return encoder.eval()


def load_classifier(path: str | Path, class_names: Sequence[str] | None = None) -> "Classifier":
    """Build the trained classifier that a weight file holds, with its encoder, and return it in eval mode.

    Its `class_names` are in the order of the logits; `predict` classifies a video, read as in training.

    Args:
        path: A fine-tuned run folder, or another file with a classifier, as for `load_encoder`.
        class_names: Names for a file that does not hold them, such as a published one.

    Raises:
        CheckpointError: If the file cannot be used, has no classifier, or has one for another number of classes.
    """
    from rspnet.encoders import create_encoder
    from rspnet.method.classifier import Classifier

    file = read_weights(settled(os.fspath(path)))
    if not file.num_classes:
        raise CheckpointError(_no_classifier(file))
    names = file.description.get("class_names") if class_names is None else list(class_names)
    if names is not None and len(names) != file.num_classes:
        raise CheckpointError(f"{file.path}: its classifier is for {_classes(file.num_classes)}, not {len(names)}")
    encoder = create_encoder(file.arch, **{"width": file.width, **file.description.get("kwargs", {})})
    classifier = Classifier(encoder, file.num_classes, class_names=names)
    load_weights(classifier, file, head=True)
    _say_clip(file)
    return classifier.eval()


def _say_clip(file: WeightFile) -> None:
    """Print a line if a file does not say what clips its network was trained on."""
    if "clip" not in file.description or file.description.get("clip_unknown"):
        clip = clip_of(file)
        say(
            f"{file.path}: does not say what clips it was trained on; its `clip` is what {file.arch} is made for, "
            f"{clip.num_frames} frames of {clip.size} pixels"
        )


def clip_of(file: WeightFile) -> ClipSpec:
    """Return the clips that a file's description names or, for what it does not name, those the network is made for."""
    from rspnet.encoders import as_clip, encoder_spec

    return as_clip(file.description.get("clip", {}), encoder_spec(file.arch).clip)


def load_weights(module: nn.Module, source: str | Path | WeightFile, head: bool = False) -> Report:
    """Load a weight file into an encoder or a `Classifier`, and account for every entry of both.

    The encoder's `clip` is then `clip_of` the file.

    Args:
        module: Encoder, or module with an `encoder` and a linear `fc`.
        source: As for `load_encoder`, or the result of `read_weights`.
        head: Load the classifier too (to evaluate); otherwise it stays fresh (to fine-tune).

    Raises:
        CheckpointError: If the file cannot be read, holds another network or other shapes, lacks entries, or with
            `head` lacks a classifier of the module's number of classes. The module is then unchanged.
        ValueError: If the module is no encoder of rspnet, or `head` is true and it has no classifier.
    """
    file = source if isinstance(source, WeightFile) else read_weights(source)
    state = module.state_dict()
    target, entries = sort_entries(state), file.entries
    if target.arch is None or (head and not target.head):
        raise ValueError(f"{type(module).__name__} is no encoder of rspnet, or has no classifier to load")
    if target.arch != file.arch:
        raise CheckpointError(
            f"{file.path}: holds the network {file.arch}, not {target.arch}; leave the choice to the file, or give "
            "another one"
        )
    counters = "num_batches_tracked"  # used by no network here, and absent from the oldest files
    lacking = [name for name in target.encoder if name not in entries.encoder and not name.endswith(counters)]
    strange = [name for name in entries.encoder if name not in target.encoder]
    if lacking or strange:
        raise CheckpointError(
            f"{file.path}: its entries are not those of {file.arch}: {few(lacking) or 'none'} missing, "
            f"{few(strange) or 'none'} too many; give another file"
        )
    pairs = {target.encoder[name]: key for name, key in entries.encoder.items()}
    for ours, theirs in pairs.items():
        if file.tensors[theirs].shape != state[ours].shape:
            raise CheckpointError(
                _other_shape(file, theirs, ours=state[ours], signature=state[target.encoder[SIGNATURES[file.arch]]])
            )
    loaded = {ours: file.tensors[theirs] for ours, theirs in pairs.items()}
    if head:
        loaded |= _classifier(file, {name: (ours, state[ours]) for name, ours in target.head.items()})
        pairs |= {target.head[name]: theirs for name, theirs in entries.head.items()}
    module.load_state_dict(loaded, strict=False)
    getattr(module, "encoder", module).clip = clip_of(file)
    reasons = [*entries.others, *(why for why in file.unused if why not in entries.others)]
    ignored = {why: entries.others.get(why, []) + file.unused.get(why, []) for why in reasons}
    if entries.head and not head:
        ignored["its classifier, not asked for"] = list(entries.head.values())
    return Report(
        path=file.path,
        layout=file.layout,
        arch=file.arch,
        used=list(pairs.values()),
        ignored=ignored,
        fresh=[key for key in state if key not in pairs],
        epoch=file.epoch,
        description=file.description,
    )


def _other_shape(file: WeightFile, key: str, *, ours: Tensor, signature: Tensor) -> str:
    """Return the message for an entry of another shape, with the reason."""
    text = f"{file.path}: {key} is {tuple(file.tensors[key].shape)}, but the network has {tuple(ours.shape)}; "
    if file.width != signature.shape[0]:
        return text + f"the file's {file.arch} has width {file.width}, leave the choice to the file or give that width"
    return text + f"it is another variant of {file.arch}, give another file"


def _classifier(file: WeightFile, target: dict[str, tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return the file's classifier under the module's names; a 1x1x1 convolution serves as a linear layer."""
    if not file.num_classes:
        raise CheckpointError(_no_classifier(file))
    theirs = {name: file.tensors[key] for name, key in file.entries.head.items()}
    loaded = {}
    for name, (ours, like) in target.items():
        if len(theirs["weight"]) != len(like):
            raise CheckpointError(
                f"{file.path}: its classifier is for {_classes(file.num_classes)}, but "
                f"{some(like.shape[0], 'was', 'were')} asked for; give the data set it was trained on"
            )
        if theirs[name].flatten(1 if name == "weight" else 0).shape != like.flatten(1 if name == "weight" else 0).shape:
            raise CheckpointError(
                f"{file.path}: {file.entries.head[name]} is {tuple(theirs[name].shape)}, which does not fit a "
                f"classifier of {_classes(len(like))} on {file.arch}; give another file"
            )
        loaded[ours] = theirs[name].reshape(like.shape)
    return loaded


def _classes(number: int) -> str:
    return some(number, "class", "classes")


def _no_classifier(file: WeightFile) -> str:
    return f"{file.path}: has no classifier; fine-tune this encoder first, or give a fine-tuned one"
