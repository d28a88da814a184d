"""What all encoders share: the clip they expect, average pooling, the classifier, timm's conventions.

Shapes: N clips, T frames, H and W pixels, D features; t, h, w are the positions of the last map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from timm.models import build_model_with_cfg
from torch import Tensor, nn

from rspnet.clipspec import ClipSpec
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
        """Return the cfg that timm keeps for the encoder: no weights to download, no classes.

        Args:
            first_conv: State-dict name of the first convolution.
            classifier: State-dict name of the classifier.
        """
        return {
            "url": "",
            "num_classes": 0,
            "input_size": (3, self.size, self.size),
            "interpolation": "bilinear",
            "mean": self.mean,
            "std": self.std,
            "first_conv": first_conv,
            "classifier": classifier,
        }


class VideoEncoder(nn.Module):
    """A 3-D convolutional network by timm's conventions; subclasses add the layers and `forward_features`.

    A subclass sets `num_features` and calls `reset_classifier` at the end of its `__init__`, so that the classifier
    comes last in the state dict, as it does in the published files.

    Attributes:
        spec: What kind of encoder it is; set where it is created, as the next two.
        kwargs: What it was created with beside its name: `width`, where that was said.
        clip: What to feed it with; also set by what its weights say, where they are loaded.
        classifier_name: Attribute (and state-dict) name of the classifier.
        num_features: D, length of a pooled feature.
        num_classes: Outputs of the classifier; 0 = none, `forward` returns the pooled features.
    """

    spec: EncoderSpec
    kwargs: dict[str, int]
    clip: ClipSpec
    classifier_name = "fc"
    num_features: int
    num_classes: int

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


def build(make: Callable[..., VideoEncoder], spec: EncoderSpec, pretrained: bool, **kwargs: Any) -> VideoEncoder:
    """Build an encoder the way timm does, for its registered entry point, and tell it its clip.

    Raises:
        ConfigError: If other than three input channels are asked for.
    """
    if kwargs.get("in_chans", 3) != 3:
        raise ConfigError(f"rspnet_{spec.name}: in_chans is {kwargs['in_chans']}; clips are RGB, leave it at 3")
    # timm adds in_chans itself, taken from input_size.
    encoder = build_model_with_cfg(make, f"rspnet_{spec.name}", pretrained, kwargs_filter=("in_chans",), **kwargs)
    encoder.spec, encoder.clip = spec, spec.clip
    encoder.kwargs = {"width": kwargs["width"]} if "width" in kwargs else {}
    return encoder


def scaled(channels: int, width: int) -> int:
    """Scale a published channel count (which goes with width 64) to another width, down to 1 at least.

    Raises:
        ConfigError: If the width is not positive.
    """
    if width < 1:
        raise ConfigError(f"encoder width {width} is not positive; the published networks have 64")
    return max(1, channels * width // 64)
