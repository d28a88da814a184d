"""The network that a run begins with: as its options say, drawn from its seed, with the weights that it is given."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import nn

from rspnet.cli import implied, options
from rspnet.console import say
from rspnet.encoders import create_encoder
from rspnet.running.layout import lay_out
from rspnet.weights.load import load_weights

if TYPE_CHECKING:
    from rspnet.clipspec import ClipSpec
    from rspnet.encoders import VideoEncoder
    from rspnet.weights.read import WeightFile

Network = TypeVar("Network", bound=nn.Module)


class Config(Protocol):
    """The options of a stage that runs a network; all that count here."""

    @property
    def encoder(self) -> options.Encoder:
        """Which one it is."""
        ...

    @property
    def clips(self) -> options.Clips:
        """What it is fed with."""
        ...

    @property
    def run(self) -> options.Run:
        """Where its seed is."""
        ...


def begin_network(
    config: Config,
    build: "Callable[[VideoEncoder], Network]",
    *,
    weights: "WeightFile | None" = None,
    trained: bool = False,
    load: "Callable[[Network, WeightFile], list[str]] | None" = None,
) -> "tuple[Network, ClipSpec]":
    """Make the network, and say what is loaded into it and what is to be known of that.

    Args:
        config: the stage's.
        build: puts a fresh encoder into what is trained or tested.
        weights: of an encoder or a classifier; None: it stays as it was drawn.
        trained: whether it is tested as a classifier, so that the weights must bring theirs.
        load: puts weights into another kind of network than an encoder or a classifier, and says what it found.

    Returns:
        The network, and what it is to be fed with.

    Raises:
        CheckpointError: the weights are not those of such a network.
    """
    torch.manual_seed(config.run.seed)
    encoder = create_encoder(**vars(config.encoder))
    network = build(encoder)
    if weights is not None:
        if load is None:
            lines = load_weights(network, weights, head=trained).summary().splitlines()
        else:
            lines = load(network, weights)
        say(*lines, *implied.remarks(config.clips, weights, trained=trained))
    lay_out(network)
    return network, dataclasses.replace(encoder.clip, **vars(config.clips))
