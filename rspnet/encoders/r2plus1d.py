"""R(2+1)D with four blocks, as the RSPNet authors use it. It is not torchvision's 18-layer `r2plus1d_18`.

Paper: A Closer Look at Spatiotemporal Convolutions for Action Recognition (arXiv:1711.11248); the variant is the one
of video clip order prediction (VCOP, CVPR 2019), hence `r2plus1d-vcop` in published files: one residual block per
layer, and each convolution, including the shortcut's, split into a spatial and a temporal one. State-dict keys and
shapes are those of the published checkpoints; tests/encoders/test_encoders.py compares them, and the outputs for fixed
weights, with the published network's.
"""

from collections import OrderedDict
from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from rspnet.encoders.encoder import EncoderSpec, VideoEncoder, build, scaled, stage

SPEC = EncoderSpec(
    "r2plus1d", "R(2+1)D with 4 blocks, as published (torchvision's 18 layers: r2plus1d_18)", num_frames=16, size=112
)
default_cfgs = generate_default_cfgs({"rspnet_r2plus1d": SPEC.timm_cfg("conv1.spatial_conv", "linear")})


class FactoredConv(nn.Module):
    """A 3-D convolution factored into a spatial one, batch normalisation and ReLU, and a temporal one.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        kernel: Temporal and spatial kernel size.
        stride: Temporal and spatial stride.
    """

    def __init__(self, in_channels: int, channels: int, *, kernel: tuple[int, int], stride: tuple[int, int]):
        super().__init__()
        (kt, ks), (st, ss) = kernel, stride
        # The number of channels between the two that keeps the parameter count of the full convolution (section 3.5).
        middle = kt * ks * ks * in_channels * channels // (ks * ks * in_channels + kt * channels)
        self.spatial_conv = nn.Conv3d(
            in_channels, middle, (1, ks, ks), stride=(1, ss, ss), padding=(0, ks // 2, ks // 2), bias=False
        )
        self.bn = nn.BatchNorm3d(middle)
        self.relu = nn.ReLU(inplace=True)
        self.temporal_conv = nn.Conv3d(
            middle, channels, (kt, 1, 1), stride=(st, 1, 1), padding=(kt // 2, 0, 0), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, t, h, w) to (N, channels, t / st, h / ss, w / ss)."""
        mapped: Tensor = self.temporal_conv(self.relu(self.bn(self.spatial_conv(x))))
        return mapped


class Block(nn.Module):
    """Two factored 3x3x3 convolutions and a shortcut, which is a factored convolution if it halves time and space.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        downsample: Whether to halve time, height and width.
    """

    def __init__(self, in_channels: int, channels: int, downsample: bool):
        super().__init__()
        stride = (2, 2) if downsample else (1, 1)
        self.downsample = downsample
        if downsample:  # before the others, so that the parameters have the published order
            self.downsampleconv = FactoredConv(in_channels, channels, kernel=(1, 1), stride=stride)
            self.downsamplebn = nn.BatchNorm3d(channels)
        self.conv1 = FactoredConv(in_channels, channels, kernel=(3, 3), stride=stride)
        self.bn1 = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = FactoredConv(channels, channels, kernel=(3, 3), stride=(1, 1))
        self.bn2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, t, h, w) to (N, channels, t / stride, h / stride, w / stride)."""
        residual: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample:
            x = self.downsamplebn(self.downsampleconv(x))
        mapped: Tensor = self.relu(x + residual)
        return mapped


class R2Plus1D(VideoEncoder):
    """R(2+1)D with four blocks: a clip (3, 16, 112, 112) becomes a map (512, 2, 7, 7).

    Args:
        num_classes: Outputs of the classifier; 0 = none.
        width: Channels of the stem; the four blocks have 1, 2, 4 and 8 times as many.
    """

    classifier_name = "linear"
    conv2: nn.Module
    conv3: nn.Module
    conv4: nn.Module
    conv5: nn.Module

    def __init__(self, num_classes: int = 0, width: int = 64):
        super().__init__()
        channels = scaled(64, width)
        self.conv1 = FactoredConv(3, channels, kernel=(3, 7), stride=(1, 2))
        self.bn1 = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.feature_info = [stage("relu", channels, 2)]
        for layer in (2, 3, 4, 5):
            out = scaled(64 << (layer - 2), width)
            block = Block(channels, out, downsample=layer > 2)
            self.add_module(f"conv{layer}", nn.Sequential(OrderedDict(block1=block)))
            self.feature_info.append(stage(f"conv{layer}", out, 1 << (layer - 1)))
            channels = out
        self.num_features = channels
        self.reset_classifier(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        x: Tensor = self.relu(self.bn1(self.conv1(clips)))
        for layer in (self.conv2, self.conv3, self.conv4, self.conv5):
            x = layer(x)
        return x


@register_model
def rspnet_r2plus1d(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """R(2+1)D with four blocks, of the RSPNet authors."""
    return build(R2Plus1D, SPEC, pretrained, **kwargs)
