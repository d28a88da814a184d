"""Load both encoders of a pretraining with their heads, for similarity maps and the pretext tasks.

They are in a published pretraining checkpoint, and in a checkpoint of a run. A lone encoder and a fine-tuned network
have no heads, because these are for pretraining only.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from rspnet.clipspec import ClipSpec
from rspnet.encoders import create_encoder
from rspnet.errors import CheckpointError
from rspnet.method.heads import Embedder
from rspnet.weights.description import settled
from rspnet.weights.entries import sort_entries
from rspnet.weights.finite import check_finite
from rspnet.weights.load import clip_of, load_weights
from rspnet.weights.pretraining import tensors_of
from rspnet.weights.read import WeightFile, few, read_weights

_HEADS = ("appearance.weight", "appearance.bias", "motion.weight", "motion.bias")


class Network(NamedTuple):
    """Name and width of a network, for `rspnet.encoders.check_clips`."""

    name: str
    width: int


@dataclass(frozen=True)
class Heads:
    """The encoders of a pretraining with their heads, in eval mode on the CPU.

    Attributes:
        file: The weight file that was read.
        query_encoder: The query encoder with its heads.
        key_encoder: The key encoder with its heads; the query encoder itself if the file has none.
    """

    file: WeightFile
    query_encoder: Embedder
    key_encoder: Embedder

    @property
    def network(self) -> Network:
        """The network as options name it."""
        return Network(self.file.arch, self.file.width)

    @property
    def clip(self) -> ClipSpec:
        """The clips that the encoders expect."""
        return clip_of(self.file)

    def summary(self) -> str:
        """Return a line that says what was loaded."""
        file, dim = self.file, self.query_encoder.motion.out_features
        epoch = "" if file.epoch is None else f", epoch {file.epoch}"
        has_keys = self.key_encoder is not self.query_encoder
        keys = "the key encoder" if has_keys else "no key encoder: the query encoder takes its place"
        return f"{file.path} ({file.layout}, {file.arch}{epoch}): loaded the encoder, two heads of {dim}, and {keys}"


def load_heads(path: str | Path) -> Heads:
    """Load the encoders of a pretraining and their heads.

    Args:
        path: A run folder, a checkpoint in one, a published file, or the folder that one was converted to.

    Raises:
        CheckpointError: If it cannot be read, has no heads, or has heads that are not single linear layers.
    """
    file = read_weights(settled(os.fspath(path), whole=True, aloud=False))
    tensors = tensors_of(file)
    query, key = (_below(tensors, f"{name}.") for name in ("query_encoder", "key_encoder"))
    if not any(not name.startswith("encoder.") for name in query):
        raise CheckpointError(_no_heads(file))
    first = _embedder(file, query)
    return Heads(file, first, _embedder(file, key) if key else first)


def _below(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


def _embedder(file: WeightFile, state: dict[str, Tensor]) -> Embedder:
    """Build an encoder with its heads, and load all of it."""
    heads = {name: value for name, value in state.items() if not name.startswith("encoder.")}
    shapes = {name.partition(".")[0]: value.shape for name, value in heads.items() if name.endswith("weight")}
    if heads.keys() != set(_HEADS) or any(len(shape) != 2 for shape in shapes.values()):
        raise CheckpointError(
            f"{file.path}: its heads are not single linear layers ({few(sorted(heads))}); maps exist only for these"
        )
    check_finite(file.path, state)
    encoder = create_encoder(file.arch, **{"width": file.width, **file.description.get("kwargs", {})})
    dim = shapes["motion"][0]
    biases = {value.shape for name, value in heads.items() if name.endswith("bias")}
    if set(shapes.values()) != {(dim, encoder.num_features)} or biases != {(dim,)}:
        raise CheckpointError(
            f"{file.path}: its heads are {' and '.join(str(tuple(shape)) for shape in shapes.values())}; {file.arch} "
            f"has {encoder.num_features} features, and both heads must give embeddings of one length"
        )
    embedder = Embedder(encoder, dim)
    load_weights(embedder, dataclasses.replace(file, tensors=state, entries=sort_entries(state)))
    embedder.load_state_dict(heads, strict=False)
    return embedder.eval()


def _no_heads(file: WeightFile) -> str:
    """Return the message for a file without heads, with what to give instead."""
    what = "a fine-tuned network" if file.entries.head else "an encoder alone"
    give = (
        "give the run folder of a pretraining, with its checkpoints, or a published pretraining checkpoint (.pth.tar)"
    )
    if not file.entries.head and (file.path.parent / "checkpoints").is_dir():
        give = f"give the run folder {file.path.parent}, with its checkpoints"
    return f"{file.path}: is {what}, without the two heads of pretraining; {give}"
