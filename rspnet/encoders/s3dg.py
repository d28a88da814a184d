"""S3D-G, as the RSPNet authors use it.

Paper: Rethinking Spatiotemporal Feature Learning (arXiv:1712.04851). Unlike in the paper and torchvision's `s3d`, the
spatial part of the first convolution has stride 2 in time as well (its temporal part has none), and each separable
convolution ends in a gate. State-dict keys and shapes are those of the published checkpoints;
tests/encoders/test_encoders.py compares them, and the outputs for fixed weights, with the published network's.
"""

from collections import OrderedDict
from typing import Any

import torch
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from rspnet.encoders.encoder import EncoderSpec, VideoEncoder, build, scaled, stage

SPEC = EncoderSpec("s3dg", "S3D with gates (torchvision's s3d has none)", num_frames=16, size=224)
default_cfgs = generate_default_cfgs({"rspnet_s3dg": SPEC.timm_cfg("feature.sepConv1.sep_conv.0.conv3d", "fc")})

# Channels at width 64: branch 0; branch 1 before and after its 3x3x3 convolution; branch 2 likewise; branch 3 (paper,
# figure 3, and the table of Inception-v1).
_INCEPTION = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, ReLU.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel: Kernel size in time, height, width; padded so that stride 1 keeps the size.
        stride: Stride in all three dimensions, or in time, height, width.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        *,
        stride: int | tuple[int, int, int] = 1,
    ):
        super().__init__()
        padding = kernel[0] // 2, kernel[1] // 2, kernel[2] // 2
        self.conv3d = nn.Conv3d(in_channels, channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm3d(channels, eps=1e-3, momentum=1e-3)  # both as published
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, t, h, w) to (N, channels, t, h, w), smaller by the stride."""
        mapped: Tensor = self.activation(self.bn(self.conv3d(x)))
        return mapped


class GatedSeparableConv(nn.Module):
    """A spatial and a temporal convolution unit, and a gate per channel computed from the channel's mean over the map.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel: Temporal = spatial kernel size.
        stride: Stride of the spatial unit in time, height and width.
    """

    def __init__(self, in_channels: int, channels: int, kernel: int, *, stride: int = 1):
        super().__init__()
        self.sep_conv = nn.Sequential(
            ConvUnit(in_channels, channels, (1, kernel, kernel), stride=stride),
            ConvUnit(channels, channels, (kernel, 1, 1)),
        )
        self.excitation = nn.Conv3d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, t, h, w) to (N, channels, t, h, w), smaller by the stride."""
        x = self.sep_conv(x)
        return x * torch.sigmoid(self.excitation(x.mean(dim=(2, 3, 4), keepdim=True)))


class Inception(nn.Module):
    """Four branches, concatenated along the channels.

    Args:
        in_channels: Channels of the input.
        channels: A row of `_INCEPTION`, scaled.
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...]):
        super().__init__()
        straight, before1, after1, before2, after2, pooled = channels
        self.branch0 = ConvUnit(in_channels, straight)
        self.branch1 = nn.Sequential(ConvUnit(in_channels, before1), GatedSeparableConv(before1, after1, kernel=3))
        self.branch2 = nn.Sequential(ConvUnit(in_channels, before2), GatedSeparableConv(before2, after2, kernel=3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(kernel_size=3, stride=1, padding=1), ConvUnit(in_channels, pooled))
        self.channels = straight + after1 + after2 + pooled

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, t, h, w) to (N, channels, t, h, w)."""
        return torch.cat((self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)), dim=1)


class S3DG(VideoEncoder):
    """S3D-G: a clip (3, 16, 224, 224) becomes a map (1024, 2, 7, 7).

    Args:
        num_classes: Outputs of the classifier; 0 = none.
        width: Channels of the first convolution; all others grow in proportion.
    """

    def __init__(self, num_classes: int = 0, width: int = 64):
        super().__init__()
        stem, second = scaled(64, width), scaled(192, width)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            sepConv1=GatedSeparableConv(3, stem, kernel=7, stride=2),
            maxPool1=nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            basicConv3d=ConvUnit(stem, stem),
            sep_conv2=GatedSeparableConv(stem, second, kernel=3),
            maxPool2=nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        channels = second
        self.feature_info = [stage("feature.sepConv1", stem, 2), stage("feature.sep_conv2", second, 4)]
        ends = {"3c": 8, "4f": 16, "5c": 32}  # the last block of each stage, and its reduction
        for name, published in _INCEPTION.items():
            if name == "4b":
                layers["maxPool3"] = nn.MaxPool3d(kernel_size=3, stride=2, padding=1)
            if name == "5b":
                layers["maxPool4"] = nn.MaxPool3d(kernel_size=2)
            block = Inception(channels, tuple(scaled(count, width) for count in published))
            layers[f"sepInc_{name}"] = block
            channels = block.channels
            if name in ends:
                self.feature_info.append(stage(f"feature.sepInc_{name}", channels, ends[name]))
        self.feature = nn.Sequential(layers)
        self.num_features = channels
        self.reset_classifier(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        feature_map: Tensor = self.feature(clips)
        return feature_map


@register_model
def rspnet_s3dg(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """S3D-G of the RSPNet authors."""
    return build(S3DG, SPEC, pretrained, **kwargs)
