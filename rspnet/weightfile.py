"""Reading a weight file of any known layout, with every entry in it accounted for.

The layouts: our safetensors with a JSON file beside it, the published code's pretraining and fine-tuning checkpoints,
and a plain state dict such as torchvision's. Nothing in a file is ever executed.
"""

import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rspnet.disk import identity
from rspnet.errors import CheckpointError

# For each network an entry that no other one has; its first dimension is the network's width.
SIGNATURES = {
    "c3d": "conv1.bias",
    "resnet18": "layer1.0.conv1.weight",
    "r2plus1d": "conv2.block1.bn1.bias",
    "s3dg": "feature.basicConv3d.bn.bias",
    "r3d_18": "layer1.0.conv1.0.weight",
    "r2plus1d_18": "stem.4.bias",
    "s3d": "features.2.1.bias",
}
# What the published files' `arch` says -> our name.
PUBLISHED_NAMES = {"c3d": "c3d", "resnet18": "resnet18", "r2plus1d-vcop": "r2plus1d", "s3dg": "s3dg"}

_ENCODER, _HEAD = "the encoder", "the classifier"
_DUMMY = "the network's own 1-class classifier, never trained or used"
# Layout -> how its entries begin, and (pattern of an entry, what it is for) with the entry's name there as group 1.
# The first layout and the first pattern that fit count; an entry that fits no pattern is an error.
_LAYOUTS = {
    "pretraining checkpoint": (
        "encoder_q.encoder.",
        (
            (r"encoder_q\.encoder\.(?:fc|linear)\.(weight|bias)", _DUMMY),
            (r"encoder_q\.encoder\.(.+)", _ENCODER),
            (r"encoder_q\.(fc1\..+)", "the A-VID head, for pretraining only"),
            (r"encoder_q\.(fc2\..+)", "the RSP head, for pretraining only"),
            (r"encoder_k\.((?:encoder|fc1|fc2)\..+)", "the key encoder, for pretraining only"),
            (r"(queue|queue_ptr)", "the queue, for pretraining only"),
        ),
    ),
    "fine-tuned classifier": (
        "encoder.",
        (
            (r"encoder\.(?:fc|linear)\.(weight|bias)", _DUMMY),
            (r"encoder\.(.+)", _ENCODER),
            (r"fc\.(weight|bias)", _HEAD),
        ),
    ),
    "encoder": (
        "",
        (
            (r"(?:fc|linear|classifier\.1)\.(weight|bias)", _HEAD),
            (r"(.+)", _ENCODER),
        ),
    ),
}
# What a published file holds beside the tensors.
_TRAINING_STATE = ("epoch", "best_loss", "best_acc1", "optimizer", "scheduler")


@dataclass(frozen=True)
class Entries:
    """A state dict, sorted.

    Attributes:
        layout: How the entries are named.
        arch: The network, by our name; None if they are no known network's.
        encoder: The network's name of an entry -> its name in the state dict.
        head: `weight` and `bias` of the classifier -> names in the state dict; empty without one.
        others: What entries are for -> their names in the state dict.
        unexpected: Names that the layout does not have.
    """

    layout: str
    arch: str | None
    encoder: dict[str, str]
    head: dict[str, str]
    others: dict[str, list[str]]
    unexpected: list[str]


@dataclass(frozen=True)
class WeightFile:
    """The contents of a weight file.

    Attributes:
        path: The file that holds the tensors.
        layout: What kind of file it is, in words.
        arch: The network, a name for `create_encoder`.
        tensors: All of them, on the CPU, by their names in the file.
        entries: What they are.
        unused: What the file holds beside tensors, and why nothing of it is needed.
        description: Contents of our JSON file; of a published file, its epoch.
        contents: The whole file as it was read: of ours, the tensors again.
    """

    path: Path
    layout: str
    arch: str
    tensors: dict[str, Tensor]
    entries: Entries
    unused: dict[str, list[str]]
    description: dict[str, Any]
    contents: Any

    @property
    def width(self) -> int:
        """Base channels of the network."""
        return self.tensors[self.entries.encoder[SIGNATURES[self.arch]]].shape[0]

    @property
    def epoch(self) -> int | None:
        """Epochs of training behind the weights, if the file says."""
        said = self.description.get("epoch", self.description.get("provenance", {}).get("epoch"))
        return said if isinstance(said, int) else None


def sort_entries(keys: Iterable[str]) -> Entries:
    """Find out the layout and network of a state dict's keys, and what each entry is for."""
    keys = list(keys)
    layout = next(name for name, (start, _) in _LAYOUTS.items() if any(key.startswith(start) for key in keys))
    encoder: dict[str, str] = {}
    head: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    unexpected = []
    for key in keys:
        for pattern, purpose in _LAYOUTS[layout][1]:
            if found := re.fullmatch(pattern, key):
                if purpose in (_ENCODER, _HEAD):
                    (encoder if purpose == _ENCODER else head)[found[1]] = key
                else:
                    others.setdefault(purpose, []).append(key)
                break
        else:
            unexpected.append(key)
    arch = next((name for name, signature in SIGNATURES.items() if signature in encoder), None)
    return Entries(layout, arch, encoder, head, others, unexpected)


def read_weights(path: str | Path) -> WeightFile:
    """Read a weight file.

    Args:
        path: A run folder (its encoder.safetensors), our .safetensors file, a published .pth.tar, or a state dict
            saved by torch.

    Raises:
        CheckpointError: If there is nothing to read, or something else than weights, or weights of no known network,
            or an entry whose purpose is unknown.
    """
    path = find(path)
    start = _first_bytes(path)
    description: dict[str, Any] = {}
    unused: dict[str, list[str]] = {}
    origin, said = "", None
    if path.suffix == ".safetensors":
        description = _describe(path)
        contents = model = _load(path, start)
        origin, said = "rspnet ", description.get("arch")
    else:
        contents = model = _load(path, start)
        if isinstance(contents, dict) and isinstance(contents.get("model"), dict):
            beside = {key: value for key, value in contents.items() if key not in ("model", "arch")}
            unknown = sorted(map(str, set(beside) - set(_TRAINING_STATE)))
            if unknown:
                raise CheckpointError(
                    f"{path}: has entries that no published file has: {few(unknown)}; save them apart"
                )
            unused = {"the state of training, only to go on with it": sorted(beside)} if beside else {}
            description = {"epoch": beside["epoch"]} if "epoch" in beside else {}
            origin, said = "published ", contents.get("arch")
            model = contents["model"]
    named = isinstance(model, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in model.items())
    if not named or not model:
        raise CheckpointError(
            f"{path}: holds no state dict (names and tensors); give a run folder, an encoder.safetensors, a published "
            ".pth.tar or a saved state dict"
        )
    entries = sort_entries(model)
    arch = _agreed(path, said, entries)
    if entries.unexpected:
        raise CheckpointError(
            f"{path}: has entries that a {entries.layout} of {arch} does not have: {few(entries.unexpected)}; "
            "it was not written by the published code or by rspnet"
        )
    return WeightFile(path, origin + entries.layout, arch, model, entries, unused, description, contents)


def find(path: str | Path) -> Path:
    """Return the weight file that a path means: itself, or a run folder's encoder.safetensors.

    Raises:
        CheckpointError: If there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder; give a run folder or a weight file")
    inside = path / "encoder.safetensors"
    if inside.is_file():
        return inside
    if (path / "checkpoints").is_dir():
        raise CheckpointError(f"{path}: this run has not written its encoder yet; start it again to let it finish")
    raise CheckpointError(f"{path}: no encoder.safetensors in this folder; give a run folder or a weight file")


def _agreed(path: Path, said: Any, entries: Entries) -> str:
    """Return the network that the file names and its entries belong to."""
    if entries.arch is None:
        names = few([*entries.encoder.values(), *entries.unexpected])
        raise CheckpointError(
            f"{path}: its entries ({names}) are of no network known here ({', '.join(SIGNATURES)}); give another file"
        )
    named = PUBLISHED_NAMES.get(said, said) if isinstance(said, str) else said
    if named not in (None, entries.arch):
        raise CheckpointError(
            f"{path}: says it holds {said!r}, but its entries are those of {entries.arch}; do not use it"
        )
    return entries.arch


def _describe(path: Path) -> dict[str, Any]:
    """Read the JSON file beside our safetensors, and check that it is about this file."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise CheckpointError(f"{path}: {beside.name} is missing beside it; copy it from where the weights came from")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
        weights = description["weights"]
        same = {name: weights[name] for name in ("bytes", "sha256")} == identity(path)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{beside}: is no description of weights ({error!r}); copy both files again") from error
    if not same:
        raise CheckpointError(f"{path}: is damaged, or {beside.name} belongs to other weights; copy both files again")
    return description


def _first_bytes(path: Path) -> bytes:
    """Return how the file begins, if that may be weights."""
    try:
        with open(path, "rb") as file:
            start = file.read(256)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror}); see to its permissions") from error
    # A safetensors file begins with a length, which may look like a blank and a bracket, but then has zeros.
    if start.lstrip().startswith(b"<") and b"\0" not in start:
        raise CheckpointError(
            f"{path}: is an HTML page, not weights (a login or quota page saved under this name); download it again"
        )
    return start


def _load(path: Path, start: bytes) -> Any:
    """Read the file without executing anything in it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # readers raise all sorts on a damaged file: EOFError, IndexError, OSError, RuntimeError
        if isinstance(error, UnpicklingError) and (start[:1] == b"\x80" or "GLOBAL" in str(error)):
            raise CheckpointError(
                f"{path}: holds Python objects beside tensors, which are never run; save its state dict and give that"
            ) from error
        raise CheckpointError(f"{path}: is damaged, cut short or no weight file; download or copy it again") from error


def few(names: list[str]) -> str:
    """Return the first three names and the number of the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
