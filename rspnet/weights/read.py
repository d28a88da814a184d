"""Read a weight file of any known layout, accounting for every entry in it.

The layouts are our safetensors with a JSON file beside it, the published code's pretraining and fine-tuning
checkpoints, a plain state dict such as torchvision's, and the variants of other trainers (rspnet/weights/entries.py).
No code in a file is ever executed.
"""

import argparse
import functools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from rspnet.disk import identity
from rspnet.errors import CheckpointError
from rspnet.terminal import visible
from rspnet.weights import exported
from rspnet.weights.bounds import check_archive, check_network, check_sizes
from rspnet.weights.description import find_weights, read_description
from rspnet.weights.entries import OTHERS, SIGNATURES, Entries, sort_entries, sort_out
from rspnet.weights.finite import check_finite
from rspnet.weights.manifest import STATE, fault

# `arch` in a published file -> our name.
PUBLISHED_NAMES = {"c3d": "c3d", "resnet18": "resnet18", "r2plus1d-vcop": "r2plus1d", "s3dg": "s3dg"}
# Keys of a published file beside the tensors.
_TRAINING_STATE = ("epoch", "best_loss", "best_acc1", "optimizer", "scheduler")
_OF_A_RUN = ("scaler", "run")  # further keys of our checkpoints
_EPOCHS = 2**31  # a larger number cannot be a count of epochs
_DEPTH = 3  # levels of nested dicts that are searched for a state dict


@dataclass(frozen=True)
class WeightFile:
    """The contents of a weight file.

    Attributes:
        path: The file that holds the tensors.
        layout: The kind of file and the place of the network in it, in words.
        arch: The network, a name for `create_encoder`.
        tensors: The whole state dict that holds it, on the CPU, under the names in the file.
        entries: These names, sorted by purpose.
        unused: Reason -> names of what the file holds beside this state dict, which is not needed.
        description: Contents of our JSON file; for another file, its epoch if it says.
        contents: The whole file as it was read; for a .safetensors file the same as `tensors`.
        known: Whether the layout is one that rspnet, the published code or torchvision writes.
    """

    path: Path
    layout: str
    arch: str
    tensors: dict[str, Tensor]
    entries: Entries
    unused: dict[str, list[str]]
    description: dict[str, Any]
    contents: Any
    known: bool

    @property
    def width(self) -> int:
        """Base channels of the network."""
        return self.tensors[self.entries.encoder[SIGNATURES[self.arch]]].shape[0]

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier in the file; 0 without one."""
        weight = self.tensors[self.entries.head["weight"]] if len(self.entries.head) == 2 else torch.empty(0)
        return weight.shape[0] if weight.ndim > 1 else 0

    @property
    def epoch(self) -> int | None:
        """Epochs of training behind the weights, if the file says."""
        said = self.description.get("epoch", self.description.get("provenance", {}).get("epoch"))
        return int(said) if isinstance(said, int | np.integer) and 0 <= said < _EPOCHS else None


def read_weights(path: str | Path) -> WeightFile:
    """Read a weight file.

    Args:
        path: A run folder (its encoder.safetensors, or the newest sound checkpoint if it is not finished), a checkpoint
            of a run, a .safetensors file, a published .pth.tar, or another file saved by torch that holds a state dict,
            at its top or inside.

    Raises:
        CheckpointError: If the file is missing, damaged or no weight file, or if its weights are of no known network,
            of more than one, or NaN or infinite.
    """
    path = find_weights(path)
    start = _first_bytes(path)
    said = _describe(path)
    contents = _load(path, start)
    keys, tensors, entries, arch = _network(path, contents)
    where = ".".join(keys)
    beside = _beside(contents, keys)
    unused = {}
    needed = (*_TRAINING_STATE, *(_OF_A_RUN if said else ()))
    if state := sorted(key for key in beside if key in needed):
        unused["the state of training, only to go on with it"] = state
    if rest := sorted(beside.keys() - {*needed, "arch"}):
        unused[OTHERS] = rest
    named = contents.get("arch") if where == "model" else None
    common = not entries.numbered and entries.prefix in ("", "encoder.", "encoder_q.encoder.")
    published = common and isinstance(named, str)
    if said or published:
        _check_arch(path, str(said.get("arch", named)), arch)
    used = {key: tensors[key] for key in (*entries.encoder.values(), *entries.head.values())}
    mark = entries.encoder[SIGNATURES[arch]]
    if not (width := next(iter(tensors[mark].shape), 0)):  # as in a shard of a training
        raise CheckpointError(f"{path}: {mark} is {tuple(tensors[mark].shape)}; save the state dict of all processes")
    check_sizes(path, tensors)
    check_network(path, used, width)
    check_finite(path, used)
    if said and said["kwargs"].get("width", width) not in (None, width):
        raise CheckpointError(
            f"{path}: says it has width {said['kwargs']['width']}, but its entries have {width}; do not use it"
        )
    origin = "rspnet " if said else "published " if published else ""
    return WeightFile(
        path=path,
        layout=origin + entries.layout + ("" if published or said else _place(where, entries)),
        arch=arch,
        tensors=tensors,
        entries=entries,
        unused=unused,
        description=said or ({"epoch": beside["epoch"]} if "epoch" in beside else {}),
        contents=contents,
        known=bool(said) or (common and (where == "model" or tensors is contents)),
    )


class _Network(NamedTuple):
    """A state dict that holds a network: the keys that lead to it (none at the top), its tensors, entries and arch."""

    keys: tuple[str, ...]
    tensors: dict[str, Tensor]
    entries: Entries
    arch: str


def _network(path: Path, contents: object) -> _Network:
    """Return the one network of a file."""
    states = list(_state_dicts(contents))
    if not states:
        raise CheckpointError(
            f"{path}: holds no state dict (names and tensors){_what(contents)}; give a run folder, an "
            "encoder.safetensors, a published .pth.tar or a saved state dict"
        )
    found = [(keys, state, sort_entries(state)) for keys, state in states]
    whole = [_Network(keys, state, entries, entries.arch) for keys, state, entries in found if entries.arch]
    if not whole:
        names = "; ".join(f"{f'in {_dotted(keys)} ' if keys else ''}{few(list(state))}" for keys, state in states[:3])
        raise CheckpointError(
            f"{path}: its entries ({names}) are of no network known here ({', '.join(SIGNATURES)}); give another file"
        )
    chosen, *rivals = sort_out(whole, [".".join(candidate.keys) for candidate in whole])
    others = [f"{rival.arch} in {_dotted(rival.keys)}" for rival in rivals] + list(chosen.entries.rivals)
    if others:
        first = f"{chosen.arch} {'in ' + _dotted(chosen.keys) if rivals else 'below ' + repr(chosen.entries.prefix)}"
        raise CheckpointError(
            f"{path}: holds more than one network ({first}, {few(others)}); save the state dict of the one you mean"
        )
    return chosen


def _dotted(keys: tuple[str, ...]) -> str:
    return repr(".".join(keys))


def _state_dicts(
    contents: object, keys: tuple[str, ...] = (), depth: int = _DEPTH
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield every dict of the file that holds tensors by name, with the keys that lead to it."""
    if not isinstance(contents, dict):
        return
    tensors = {key: value for key, value in contents.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield keys, contents if len(tensors) == len(contents) else tensors
    for key, value in contents.items():
        if depth and isinstance(key, str):
            yield from _state_dicts(value, (*keys, key), depth - 1)


def _beside(contents: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what the file holds outside the state dict to which these keys lead."""
    if not keys:
        return {str(key): value for key, value in contents.items() if not isinstance(value, Tensor)}
    here, *below = keys
    inside = _beside(contents[here], tuple(below)) if below else {}
    beside = {str(key): value for key, value in contents.items() if key != here}
    return beside | {f"{here}.{key}": value for key, value in inside.items()}


def _what(contents: object) -> str:
    if isinstance(contents, dict):
        return f" but {few(list(map(str, contents)))}" if contents else ", nor anything else"
    return f" but a {type(contents).__name__}"


def _place(where: str, entries: Entries) -> str:
    """Describe the place of the network in the file, if it is not the usual one of the layout."""
    text = f" in {where!r}" if where else ""
    start = {"pretraining checkpoint": "encoder_q.encoder.", "fine-tuned classifier": "encoder."}
    if entries.prefix != start.get(entries.layout, ""):
        text += f" below {entries.prefix!r}"
    return text + (", its parts numbered" if entries.numbered else "")


def _check_arch(path: Path, named: str, arch: str) -> None:
    """Check that the network that the file names is the one that its entries belong to."""
    if PUBLISHED_NAMES.get(named, named) != arch:
        raise CheckpointError(f"{path}: says it holds {named!r}, but its entries are those of {arch}; do not use it")


def _describe(path: Path) -> dict[str, Any]:
    """Read the JSON file beside one of our own files, and check that it belongs to it; empty for other files."""
    said = read_description(path)
    if said is None:
        return {}
    if path.name == STATE:
        if what := fault(path.parent):
            raise CheckpointError(f"{path.parent}: {what}; copy the run folder again, or name another checkpoint")
        return said
    if {name: said["weights"].get(name) for name in ("bytes", "sha256")} != identity(path):
        beside = exported.beside(path).name
        raise CheckpointError(f"{path}: is damaged, or {beside} belongs to other weights; copy both files again")
    return said


def _first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, after checking that it is no web page and no Git LFS pointer."""
    try:
        with open(path, "rb") as file:
            start = file.read(256)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    # A safetensors file begins with a length, which may look like white space and `<`, but then has zero bytes.
    if start.lstrip().startswith(b"<") and b"\0" not in start:
        raise CheckpointError(
            f"{path}: is an HTML page, not weights (a login or quota page saved under this name); download it again"
        )
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: is a Git LFS pointer, not the weights; fetch them with `git lfs pull`")
    return start


def _load(path: Path, start: bytes) -> Any:
    """Read the file without executing anything in it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        check_archive(path)
        return load_harmless(path)
    except (MemoryError, CheckpointError):
        raise
    except Exception as error:  # on a damaged file readers raise EOFError, IndexError, OSError, RuntimeError and others
        if isinstance(error, UnpicklingError) and (start[:1] == b"\x80" or "GLOBAL" in str(error)):
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            raise CheckpointError(
                f"{path}: holds Python objects beside tensors, which are never run{f' ({named[1]})' if named else ''}; "
                "save its state dict and give that"
            ) from error
        if path.suffix in (".json", ".yaml", ".jsonl", ".parquet", ".onnx", ".pt2"):
            raise CheckpointError(f"{path}: is no weight file; give the run folder or a weight file") from error
        raise CheckpointError(f"{path}: is damaged, cut short or no weight file; download or copy it again") from error


def load_harmless(path: Path) -> Any:
    """Return what torch saved, on the CPU, if it holds only harmless types; errors are torch's own."""
    with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless()):
        warnings.simplefilter("ignore")  # torch warns of files that it refuses, and that inspecting them may take long
        return torch.load(path, map_location="cpu", weights_only=True)


@functools.cache
def _harmless() -> list[Any]:
    """Return the harmless types that trainers save beside tensors: numpy's numbers and arrays, parsed options.

    Arrays of Python objects are not among them.
    """
    made = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(1).__reduce__()[0]}
    kinds = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?SU"}
    functions = [(made[name], f"{home}.multiarray.{name}") for home in ("numpy.core", "numpy._core") for name in made]
    return [*functions, np.ndarray, np.dtype, *kinds, argparse.Namespace]


def few(names: list[str]) -> str:
    """Return the first three names and the number of the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(visible, names[:3])) + more
