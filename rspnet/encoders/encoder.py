"""What all encoders share: the clip they expect, average pooling, the classifier, timm's conventions.

Shapes: N clips, T frames, H and W pixels, D features; t, h, w are the positions of the last map.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from timm.models import build_model_with_cfg
from torch import Tensor, nn

from rspnet.clipspec import ClipSpec
from rspnet.encoders.mended import mend
from rspnet.errors import ConfigError


@dataclass(frozen=True)
class EncoderSpec:
    """The clip an encoder is made for; timm's own cfg has no room for frames, so it is kept beside it.

    Attributes:
        name: Name for `rspnet.create_encoder`; timm knows the encoder as `rspnet_` + name.
        about: One line that tells it from its namesakes.
        num_frames: Frames of a clip.
        size: Height and width of a clip, pixels.
        mean: Mean to subtract per RGB channel, of pixels scaled to 0-1.
        std: Standard deviation to divide by, likewise.
    """

    name: str
    about: str
    num_frames: int
    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, as in the published code
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def clip(self) -> ClipSpec:
        """The clip as a network of this kind is fed with it, unless its training says otherwise."""
        return ClipSpec(self.num_frames, self.size, self.mean, self.std)

    def timm_cfg(self, first_conv: str, classifier: str) -> dict[str, Any]:
        """Return the cfg that timm keeps for the encoder: its clip, no weights to download, no classes.

        Args:
            first_conv: State-dict name of the first convolution.
            classifier: State-dict name of the classifier.
        """
        return {
            "url": "",
            "num_classes": 0,
            "interpolation": "bilinear",
            "crop_pct": 1.0,  # the central square, whole
            "first_conv": first_conv,
            "classifier": classifier,
            **pretrained_cfg(self.clip),
        }


def pretrained_cfg(clip: ClipSpec) -> dict[str, Any]:
    """Return what timm's `pretrained_cfg` says of a clip: that of images, and in its notes what those do not have."""
    return {
        "input_size": (3, clip.size, clip.size),
        "mean": clip.mean,
        "std": clip.std,
        "notes": tuple(f"{name}={getattr(clip, name)}" for name in _IN_NOTES),
    }


# timm refuses keys that it does not know.
_IN_NOTES = ("num_frames", "stride", "frame_rate", "sampling", "channels")


class VideoEncoder(nn.Module):
    """A 3-D convolutional network by timm's conventions; subclasses add the layers and `forward_features`.

    A subclass sets `num_features` and calls `reset_classifier` at the end of its `__init__`, so that the classifier
    comes last in the state dict, as it does in the published files.

    Attributes:
        spec: What kind of encoder it is; set where it is created, as the next two.
        kwargs: What it was created with beside its name: `width`, where that was said.
        feature_info: Its five stages as timm's `features_only` wants them: the module that makes a stage's map, the
            map's channels, and how much smaller than a frame it is.
        classifier_name: Attribute (and state-dict) name of the classifier.
        num_features: D, length of a pooled feature.
        num_classes: Outputs of the classifier; 0 = none, `forward` returns the pooled features.
    """

    spec: EncoderSpec
    kwargs: dict[str, int]
    feature_info: list[dict[str, Any]]
    pretrained_cfg: dict[str, Any]
    _clip: ClipSpec
    classifier_name = "fc"
    num_features: int
    num_classes: int

    @property
    def clip(self) -> ClipSpec:
        """What to feed it with: what it is made for, or where weights are loaded, what they say."""
        return self._clip

    @clip.setter
    def clip(self, clip: ClipSpec) -> None:
        self._clip = clip
        self.pretrained_cfg.update(pretrained_cfg(clip))

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        raise NotImplementedError

    def forward_head(self, feature_map: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool a map (N, D, t, h, w) to features (N, D), then classify unless `pre_logits` or without classes."""
        features = feature_map.mean(dim=(2, 3, 4))
        return features if pre_logits else self.get_classifier()(features)

    def forward(self, clips: Tensor) -> Tensor:
        """Return pooled features (N, D), or logits (N, num_classes) where there is a classifier."""
        return self.forward_head(self.forward_features(clips))

    def get_classifier(self) -> nn.Module:
        """Return the classifier; `nn.Identity` without classes."""
        classifier: nn.Module = getattr(self, self.classifier_name)
        return classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Put a fresh linear classifier in place, on the encoder's device; 0 takes it away."""
        self.num_classes = num_classes
        layer: nn.Module = nn.Identity()
        if num_classes:
            like = next(self.parameters())
            layer = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        setattr(self, self.classifier_name, layer)


def stage(module: str, channels: int, reduction: int) -> dict[str, Any]:
    """Return an item of `VideoEncoder.feature_info`."""
    return {"module": module, "num_chs": channels, "reduction": reduction}


def build(make: Callable[..., VideoEncoder], spec: EncoderSpec, pretrained: bool, **kwargs: Any) -> VideoEncoder:
    """Build an encoder the way timm does, for its registered entry point, and tell it its clip.

    With `features_only` it is timm's wrapper of one, which gives the maps of `out_indices`.

    Args:
        make: Builds the network.
        spec: What kind it is.
        pretrained: As timm's.
        kwargs: `make`'s, timm's, and `clip`: what differs from the clip that it is made for, by `ClipSpec`'s names;
            exported folders say it.

    Raises:
        ConfigError: If other than three input channels are asked for.
    """
    clip = as_clip(kwargs.pop("clip", {}), spec.clip)
    if kwargs.get("in_chans", 3) != 3:
        raise ConfigError(f"rspnet_{spec.name}: in_chans is {kwargs['in_chans']}; clips are RGB, leave it at 3")
    # timm adds in_chans itself, taken from input_size.
    encoder = build_model_with_cfg(
        make,
        f"rspnet_{spec.name}",
        pretrained,
        kwargs_filter=("in_chans",),
        feature_cfg={"feature_cls": "hook"},
        **kwargs,
    )
    mend(encoder)
    encoder.spec, encoder.clip = spec, clip
    encoder.pretrained_cfg.update(pretrained_cfg(clip))  # timm's wrapper does not do that by itself
    encoder.kwargs = {"width": kwargs["width"]} if "width" in kwargs else {}
    return encoder


def as_clip(said: Mapping[str, Any], usual: ClipSpec) -> ClipSpec:
    """Return a clip as a file describes it.

    Args:
        said: By `ClipSpec`'s names; others are passed over.
        usual: For what is not said.
    """
    known = {field.name for field in dataclasses.fields(usual)} & said.keys()
    values: dict[str, Any] = {name: tuple(said[name]) if name in ("mean", "std") else said[name] for name in known}
    return dataclasses.replace(usual, **values)


def scaled(channels: int, width: int) -> int:
    """Scale a published channel count (which goes with width 64) to another width, down to 1 at least.

    Raises:
        ConfigError: If the width is not positive.
    """
    if width < 1:
        raise ConfigError(f"encoder width {width} is not positive; the published networks have 64")
    return max(1, channels * width // 64)
