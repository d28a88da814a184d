"""The video encoders, by name: the four of the RSPNet authors and three of torchvision.

Importing this package registers each with timm as `rspnet_` + name. An encoder maps normalised clips (N, 3, T, H, W) to
pooled features (N, D); its `forward_features` returns the last feature map (N, D, t, h, w).
"""

from typing import Any, Protocol

import timm
import torch

from rspnet.encoders import c3d, r2plus1d, resnet, s3dg, torchvision
from rspnet.encoders.encoder import EncoderSpec, VideoEncoder, as_clip
from rspnet.errors import ConfigError
from rspnet.shortage import check_fits

__all__ = ["EncoderSpec", "VideoEncoder", "as_clip", "create_encoder", "encoder_spec"]

_SPECS = {spec.name: spec for spec in (c3d.SPEC, resnet.SPEC, r2plus1d.SPEC, s3dg.SPEC, *torchvision.SPECS)}


def encoder_spec(name: str) -> EncoderSpec:
    """Return the clip (frames, pixels, normalisation) that the named encoder is made for.

    Raises:
        ConfigError: If there is no such encoder; the message lists the known ones.
    """
    if name not in _SPECS:
        known = "; ".join(f"{spec.name} ({spec.about})" for spec in _SPECS.values())
        raise ConfigError(f"encoder {name!r} is unknown; choose one of: {known}")
    return _SPECS[name]


def create_encoder(name: str, num_classes: int = 0, **kwargs: Any) -> VideoEncoder:
    """Create an encoder with fresh weights.

    Args:
        name: c3d, resnet18, r2plus1d, s3dg, r3d_18, r2plus1d_18 or s3d.
        num_classes: Outputs of a linear classifier; with 0 (none) `encoder(clips)` returns pooled features (N, D).
        kwargs: `width`: base channels, default (and None) 64 as published; torchvision's networks allow only 64.

    Raises:
        ConfigError: If there is no such encoder or width.
    """
    if kwargs.get("features_only"):
        raise ConfigError(
            "features_only: this makes a wrapper of timm's, not an encoder; use timm.create_model("
            f"'rspnet_{name}', features_only=True)"
        )
    encoder = timm.create_model(f"rspnet_{encoder_spec(name).name}", num_classes=num_classes, **kwargs)
    if not isinstance(encoder, VideoEncoder):
        raise TypeError(f"rspnet_{name}: another package has registered a network of this name with timm")
    return encoder


class Network(Protocol):
    """Options that describe a network."""

    @property
    def name(self) -> str:
        """A name for `create_encoder`."""

    @property
    def width(self) -> int | None:
        """Base channels; None: 64, as published."""


class Clips(Protocol):
    """Options that describe clips."""

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""

    @property
    def size(self) -> int:
        """Height and width of a clip, pixels."""


def check_clips(network: Network, clips: Clips, *, batch: int = 1, training: bool = False) -> None:
    """Check that a network can take such clips. It runs on torch's meta device: fast, without changing random state.

    Args:
        network: Options of the network.
        clips: Options of the clips.
        batch: Clips that share batch statistics.
        training: Check training mode, in which batch norm fails if a batch has a single value per channel left.

    Raises:
        ConfigError: If the clips are too small, if network or clips do not fit into the machine's memory, or as for
            `create_encoder`.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        encoder = create_encoder(network.name, width=network.width).train(training)
        weights = sum(weight.nbytes for weight in encoder.parameters())
        check_fits(weights, f"encoder.width: {network.width}; the network's weights alone take")
        clips_bytes = 4 * batch * 3 * clips.num_frames * clips.size**2
        named = f"clips.num_frames: {clips.num_frames}, clips.size: {clips.size}, {batch} in a batch; these alone take"
        check_fits(clips_bytes, named)
        try:
            encoder(torch.empty(batch, 3, clips.num_frames, clips.size, clips.size))
        except (RuntimeError, ValueError):  # an output of size 0; batch norm of a single value per channel
            spec, several = encoder.spec, f", {batch} in a batch" if training else ""
            raise ConfigError(
                f"clips.num_frames: {clips.num_frames}, clips.size: {clips.size}{several}: too little for "
                f"{network.name}, which halves them several times; it is made for {spec.num_frames} frames of "
                f"{spec.size} pixels"
            ) from None
