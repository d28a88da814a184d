"""What all encoders share: the clip they are made for, average pooling, the classifier, timm's conventions.

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
    """The clip that an encoder is made for; kept apart from timm's own cfg, which has no place for numbers of frames.

    Attributes:
        name: Name for `rspnet.create_encoder`; timm's name is `rspnet_` + name.
        about: One line that distinguishes it from networks of similar names.
        num_frames: Frames of a clip.
        size: Height and width of a clip, pixels.
        mean: Mean to subtract per RGB channel, of pixels scaled to 0-1.
        std: Standard deviation to divide by, per RGB channel.
    """

    name: str
    about: str
    num_frames: int
    size: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, as in the published code
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def clip(self) -> ClipSpec:
        """The clip that a network of this kind is fed with, unless its weights were trained with another."""
        return ClipSpec(self.num_frames, self.size, self.mean, self.std)

    def timm_cfg(self, first_conv: str, classifier: str) -> dict[str, Any]:
        """Return timm's cfg of the encoder: its clip, no weights to download, no classes.

        Args:
            first_conv: State-dict name of the first convolution.
            classifier: State-dict name of the classifier.
        """
        return {
            "url": "",
            "num_classes": 0,
            "interpolation": "bilinear",
            "crop_pct": 1.0,  # the whole central square
            "first_conv": first_conv,
            "classifier": classifier,
            **pretrained_cfg(self.clip),
        }


def pretrained_cfg(clip: ClipSpec) -> dict[str, Any]:
    """Return a clip as entries of timm's `pretrained_cfg`; what an image does not have goes into its notes."""
    return {
        "input_size": (3, clip.size, clip.size),
        "mean": clip.mean,
        "std": clip.std,
        "notes": tuple(f"{name}={getattr(clip, name)}" for name in _IN_NOTES),
    }


# timm refuses unknown keys, hence the notes.
_IN_NOTES = ("num_frames", "stride", "frame_rate", "sampling", "channels")


class VideoEncoder(nn.Module):
    """A 3-D convolutional network by timm's conventions; subclasses add the layers and `forward_features`.

    A subclass sets `num_features` and calls `reset_classifier` at the end of its `__init__`, so that the classifier
    comes last in the state dict, as it does in the published files.

    Attributes:
        spec: Its kind of encoder; set by `build`.
        kwargs: Keywords it was created with: `width`, if given; set by `build`.
        feature_info: Its five stages in the form that timm's `features_only` needs: the module whose output is the
            stage's map, the map's channels, and its reduction in height and width.
        classifier_name: Attribute (and state-dict) name of the classifier.
        num_features: D, length of a pooled feature.
        num_classes: Outputs of the classifier; with 0 (none) `forward` returns the pooled features.
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
        """The clip to feed it with: that of the loaded weights' training, or else the one it is made for."""
        return self._clip

    @clip.setter
    def clip(self, clip: ClipSpec) -> None:
        self._clip = clip
        self.pretrained_cfg.update(pretrained_cfg(clip))

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        raise NotImplementedError

    def forward_head(self, feature_map: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool a map (N, D, t, h, w) to features (N, D), and classify them unless `pre_logits` or without classes."""
        features = feature_map.mean(dim=(2, 3, 4))
        return features if pre_logits else self.get_classifier()(features)

    def forward(self, clips: Tensor) -> Tensor:
        """Return pooled features (N, D), or logits (N, num_classes) if there is a classifier."""
        return self.forward_head(self.forward_features(clips))

    def get_classifier(self) -> nn.Module:
        """Return the classifier, or `nn.Identity` without classes."""
        classifier: nn.Module = getattr(self, self.classifier_name)
        return classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new linear one on the encoder's device; 0 removes it."""
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
    """Build an encoder for its entry point in timm's registry, and set its clip.

    With `features_only` it is timm's wrapper of an encoder, which returns the maps of `out_indices`.

    Args:
        make: Builds the network.
        spec: Its kind of encoder.
        pretrained: As in timm.
        kwargs: Keywords of `make` and of timm, and `clip`: values by field of `ClipSpec` that differ from the clip
            that it is made for; exported folders contain them.

    Raises:
        ConfigError: If `in_chans` is not 3.
    """
    clip = as_clip(kwargs.pop("clip", {}), spec.clip)
    if kwargs.get("in_chans", 3) != 3:
        raise ConfigError(f"rspnet_{spec.name}: in_chans is {kwargs['in_chans']}; clips are RGB, leave it at 3")
    # timm itself adds in_chans, from input_size; the networks do not take it.
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
    encoder.pretrained_cfg.update(pretrained_cfg(clip))  # again, for timm's wrapper, which has no `clip` setter
    encoder.kwargs = {"width": kwargs["width"]} if "width" in kwargs else {}
    return encoder


def as_clip(said: Mapping[str, Any], usual: ClipSpec) -> ClipSpec:
    """Return the clip that a file describes.

    Args:
        said: Values by field of `ClipSpec`; other keys are ignored.
        usual: Supplies the fields that are missing.
    """
    known = {field.name for field in dataclasses.fields(usual)} & said.keys()
    values: dict[str, Any] = {name: tuple(said[name]) if name in ("mean", "std") else said[name] for name in known}
    return dataclasses.replace(usual, **values)


def scaled(channels: int, width: int) -> int:
    """Scale a published channel count (which is for width 64) to another width; at least 1.

    Raises:
        ConfigError: If the width is not positive.
    """
    if width < 1:
        raise ConfigError(f"encoder width {width} is not positive; the published networks have 64")
    return max(1, channels * width // 64)
