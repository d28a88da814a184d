"""ResNet-18 with 3-D convolutions, as the RSPNet authors use it.

Paper: Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet? (arXiv:1711.09577), shortcut type B.
Unlike torchvision's r3d_18 it has a 7x7x7 stem, and a max-pooling that halves time as well as space. State-dict keys
and shapes are those of the published checkpoints; tests/encoders/test_encoders.py compares them, and the outputs for
fixed weights, with the published network's.
"""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from rspnet.encoders.encoder import EncoderSpec, VideoEncoder, build, scaled, stage

SPEC = EncoderSpec("resnet18", "3-D ResNet-18 with a 7x7x7 stem (torchvision's is r3d_18)", num_frames=16, size=112)
default_cfgs = generate_default_cfgs({"rspnet_resnet18": SPEC.timm_cfg("conv1", "fc")})


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Stride of the first convolution in time, height and width.
    """

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, t, h, w) to (N, channels, t / stride, h / stride, w / stride)."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        mapped: Tensor = self.relu(residual + self.downsample(x))
        return mapped


class ResNet18(VideoEncoder):
    """3-D ResNet-18: a clip (3, 16, 112, 112) becomes a map (512, 1, 4, 4).

    Args:
        num_classes: Outputs of the classifier; 0 = none.
        width: Channels of the stem; the four layers have 1, 2, 4 and 8 times as many.
    """

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, num_classes: int = 0, width: int = 64):
        super().__init__()
        channels = scaled(64, width)
        self.conv1 = nn.Conv3d(3, channels, kernel_size=7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(kernel_size=3, stride=2, padding=1)
        self.feature_info = [stage("relu", channels, 2)]
        for layer in (1, 2, 3, 4):
            out, stride = scaled(64 << (layer - 1), width), 1 if layer == 1 else 2
            blocks = nn.Sequential(BasicBlock(channels, out, stride), BasicBlock(out, out, stride=1))
            self.add_module(f"layer{layer}", blocks)
            self.feature_info.append(stage(f"layer{layer}", out, 2 << layer))
            channels = out
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv3d):  # the published code; the other three networks keep torch's default
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        self.reset_classifier(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        x: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(clips))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x


@register_model
def rspnet_resnet18(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """3-D ResNet-18 of the RSPNet authors."""
    return build(ResNet18, SPEC, pretrained, **kwargs)
