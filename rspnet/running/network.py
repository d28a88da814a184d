"""Build the network that a run starts with, from its options and seed, and load the weights that it is given."""

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
    """The sections that `begin_network` reads, of the options of any stage that runs a network."""

    @property
    def encoder(self) -> options.Encoder:
        """Which network it is."""
        ...

    @property
    def clips(self) -> options.Clips:
        """Which clips it is fed."""
        ...

    @property
    def run(self) -> options.Run:
        """The seed, among others."""
        ...


def begin_network(
    config: Config,
    build: "Callable[[VideoEncoder], Network]",
    *,
    weights: "WeightFile | None" = None,
    trained: bool = False,
    load: "Callable[[Network, WeightFile], list[str]] | None" = None,
) -> "tuple[Network, ClipSpec]":
    """Build the network, load the weights, and print what was loaded and how the clips differ from the weights' own.

    Args:
        config: the stage's options.
        build: wraps a fresh encoder in the module that is trained or tested.
        weights: of an encoder or a classifier; None keeps the random initialisation.
        trained: whether the network is tested as a classifier, so that the weights must include its last layer.
        load: loads weights into another kind of network, and returns lines that describe what was loaded.

    Returns:
        The network, and the specification of the clips that it is fed.

    Raises:
        CheckpointError: the weights do not fit the network.
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
