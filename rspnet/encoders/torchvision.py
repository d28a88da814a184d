"""torchvision's video networks as encoders: r3d_18, r2plus1d_18 (18 layers) and s3d (no gates).

Layers, initialisation and state-dict keys are torchvision's own, so its weight files (Kinetics-400) fit unchanged;
tests/encoders/test_encoders.py compares keys and outputs with torchvision's models.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import video
from torchvision.models.video.resnet import VideoResNet

from rspnet.encoders.encoder import EncoderSpec, VideoEncoder, build, stage
from rspnet.errors import ConfigError

# Clip lengths and normalisation: the documentation and transforms of torchvision's KINETICS400_V1 weights.
_KINETICS = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
SPECS = (
    EncoderSpec("r3d_18", "torchvision's 3-D ResNet-18, 3x7x7 stem", num_frames=16, size=112, **_KINETICS),
    EncoderSpec("r2plus1d_18", "torchvision's R(2+1)D with 18 layers", num_frames=16, size=112, **_KINETICS),
    EncoderSpec("s3d", "torchvision's S3D, no gates", num_frames=128, size=224, **_KINETICS),
)
_FIRST_AND_LAST = {"s3d": ("features.0.0.0", "classifier.1")}
default_cfgs = generate_default_cfgs(
    {f"rspnet_{spec.name}": spec.timm_cfg(*_FIRST_AND_LAST.get(spec.name, ("stem.0", "fc"))) for spec in SPECS}
)


def _refuse_width(name: str, width: int) -> None:
    if width != 64:
        raise ConfigError(f"encoder {name}: width {width} is not possible, torchvision has only 64; leave width at 64")


class TorchvisionResNet(VideoEncoder):
    """r3d_18 or r2plus1d_18: a clip (3, 16, 112, 112) becomes a map (512, 2, 7, 7).

    Args:
        make: torchvision's function that builds the network.
        num_classes: Outputs of the classifier; 0 = none.
        width: Must be 64.
    """

    def __init__(self, make: Callable[..., VideoResNet], num_classes: int = 0, width: int = 64):
        super().__init__()
        _refuse_width(make.__name__, width)
        theirs = make(weights=None)
        self.stem = theirs.stem
        self.layer1, self.layer2, self.layer3, self.layer4 = theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4
        maps = (("stem", 64, 2), ("layer1", 64, 2), ("layer2", 128, 4), ("layer3", 256, 8), ("layer4", 512, 16))
        self.feature_info = [stage(*each) for each in maps]
        self.num_features = theirs.fc.in_features
        self.reset_classifier(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        x = clips
        for layer in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x


class TorchvisionS3D(VideoEncoder):
    """s3d: a clip (3, 128, 224, 224) becomes a map (1024, 16, 7, 7).

    Its classifier is dropout and a 1x1x1 convolution, `classifier.1`.

    Args:
        num_classes: Outputs of the classifier; 0 = none.
        width: Must be 64.
    """

    classifier_name = "classifier"

    def __init__(self, num_classes: int = 0, width: int = 64):
        super().__init__()
        _refuse_width("s3d", width)
        theirs = video.s3d(weights=None)
        self.features = theirs.features
        self.window = theirs.avgpool.kernel_size
        self.dropout = theirs.classifier[0].p
        maps = ((0, 64, 2), (3, 192, 4), (6, 480, 8), (12, 832, 16), (15, 1024, 32))
        self.feature_info = [stage(f"features.{number}", *map_) for number, *map_ in maps]
        self.num_features = theirs.classifier[1].in_channels
        self.reset_classifier(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        feature_map: Tensor = self.features(clips)
        return feature_map

    def forward_head(self, feature_map: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool a map (N, D, t, h, w) to features (N, D), and classify them unless `pre_logits` or without classes.

        torchvision averages over sliding windows of 2x7x7 positions, classifies, and averages the windows, so that the
        middle of a long clip counts more. Here the windows are averaged before the classifier, which is linear. A map
        smaller than a window, which torchvision refuses, is averaged whole.
        """
        window = [min(most, size) for most, size in zip(self.window, feature_map.shape[2:], strict=True)]
        features = F.avg_pool3d(feature_map, window, stride=1).mean(dim=(2, 3, 4), keepdim=True)
        return (features if pre_logits else self.classifier(features)).flatten(1)

    def get_classifier(self) -> nn.Module:
        """Return the convolution that classifies, or `nn.Identity` without classes."""
        return self.classifier[1] if isinstance(self.classifier, nn.Sequential) else self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by new dropout and 1x1x1 convolution on the encoder's device; 0 removes both."""
        self.num_classes = num_classes
        self.classifier: nn.Module = nn.Identity()
        if num_classes:
            like = next(self.parameters())
            layer = nn.Conv3d(self.num_features, num_classes, kernel_size=1, device=like.device, dtype=like.dtype)
            self.classifier = nn.Sequential(nn.Dropout(self.dropout), layer)


@register_model
def rspnet_r3d_18(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """3-D ResNet-18 of torchvision."""
    return build(partial(TorchvisionResNet, video.r3d_18), SPECS[0], pretrained, **kwargs)


@register_model
def rspnet_r2plus1d_18(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """R(2+1)D with 18 layers, of torchvision."""
    return build(partial(TorchvisionResNet, video.r2plus1d_18), SPECS[1], pretrained, **kwargs)


@register_model
def rspnet_s3d(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """S3D of torchvision."""
    return build(TorchvisionS3D, SPECS[2], pretrained, **kwargs)
