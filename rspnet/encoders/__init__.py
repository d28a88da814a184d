"""The video encoders, by name: the four of the RSPNet authors and three of torchvision.

timm knows each as `rspnet_` + name once this package is imported. An encoder maps normalised clips (N, 3, T, H, W) to
pooled features (N, D); its `forward_features` gives the last map (N, D, t, h, w).
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
        ConfigError: If there is no such encoder; the message lists those there are.
    """
    if name not in _SPECS:
        known = "; ".join(f"{spec.name} ({spec.about})" for spec in _SPECS.values())
        raise ConfigError(f"encoder {name!r} is unknown; choose one of: {known}")
    return _SPECS[name]


def create_encoder(name: str, num_classes: int = 0, **kwargs: Any) -> VideoEncoder:
    """Create an encoder with fresh weights.

    Args:
        name: The encoder's: c3d, resnet18, r2plus1d, s3dg, r3d_18, r2plus1d_18 or s3d.
        num_classes: Outputs of a linear classifier; 0 = none, `encoder(clips)` then gives pooled features (N, D).
        kwargs: `width`: base channels, 64 as published (torchvision's networks have only that); None likewise.

    Raises:
        ConfigError: If there is no such encoder or width.
    """
    if kwargs.get("features_only"):
        raise ConfigError(
            f"features_only: gives a wrapper of timm's, no encoder; timm.create_model('rspnet_{name}', "
            "features_only=True) makes it"
        )
    encoder = timm.create_model(f"rspnet_{encoder_spec(name).name}", num_classes=num_classes, **kwargs)
    if not isinstance(encoder, VideoEncoder):
        raise TypeError(f"rspnet_{name}: another package has told timm of a network of this name")
    return encoder


class Network(Protocol):
    """A network as options name it."""

    @property
    def name(self) -> str:
        """`create_encoder`'s."""

    @property
    def width(self) -> int | None:
        """Base channels; None as published."""


class Clips(Protocol):
    """Clips as options name them."""

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""

    @property
    def size(self) -> int:
        """Its height and width, pixels."""


def check_clips(network: Network, clips: Clips, *, batch: int = 1, training: bool = False) -> None:
    """See that a network can take such clips, on torch's device without memory: a moment, and nothing is drawn.

    Args:
        network: Which.
        clips: Which.
        batch: Clips that share batch statistics.
        training: Whether they do: with one clip and one position left there is nothing to normalise by.

    Raises:
        ConfigError: It cannot, or the machine's memory could not hold them, or as for `create_encoder`.
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
        except (RuntimeError, ValueError):  # an output of no size; one value to normalise
            spec, several = encoder.spec, f", {batch} in a batch" if training else ""
            raise ConfigError(
                f"clips.num_frames: {clips.num_frames}, clips.size: {clips.size}{several}: too little for "
                f"{network.name}, which halves them layer by layer; it is made for {spec.num_frames} frames of "
                f"{spec.size} pixels"
            ) from None
