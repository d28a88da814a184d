"""C3D with batch normalisation, as the RSPNet authors use it.

Paper: Learning Spatiotemporal Features with 3D Convolutional Networks (arXiv:1412.0767). Unlike in the paper, batch
normalisation follows each convolution, which keeps its bias; there is no fifth pooling and there are no fully connected
layers: the last map is average-pooled. State-dict keys and shapes are those of the published checkpoints;
tests/encoders/test_encoders.py compares them, and the outputs for fixed weights, with the published network's.
"""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

from rspnet.encoders.encoder import EncoderSpec, VideoEncoder, build, scaled, stage

SPEC = EncoderSpec("c3d", "C3D with batch normalisation, 8 convolutions", num_frames=16, size=112)
default_cfgs = generate_default_cfgs({"rspnet_c3d": SPEC.timm_cfg("conv1", "linear")})

# Name of the convolution, its channels at width 64, kernel (= stride) of the max-pooling after it.
_LAYERS = (
    ("1", 64, (1, 2, 2)),
    ("2", 128, (2, 2, 2)),
    ("3a", 256, None),
    ("3b", 256, (2, 2, 2)),
    ("4a", 512, None),
    ("4b", 512, (2, 2, 2)),
    ("5a", 512, None),
    ("5b", 512, None),
)


class C3D(VideoEncoder):
    """C3D: a clip (3, 16, 112, 112) becomes a map (512, 2, 7, 7).

    Args:
        num_classes: Outputs of the classifier; 0 = none.
        width: Channels of the first convolution; all others grow in proportion.
    """

    classifier_name = "linear"

    def __init__(self, num_classes: int = 0, width: int = 64):
        super().__init__()
        channels = 3
        for name, published, _ in _LAYERS:
            out = scaled(published, width)
            self.add_module(f"conv{name}", nn.Conv3d(channels, out, kernel_size=3, padding=1))
            self.add_module(f"bn{name}", nn.BatchNorm3d(out))
            channels = out
        maps = (("bn1", 64), ("bn2", 128), ("bn3b", 256), ("bn4b", 512), ("bn5b", 512))
        # The ReLU after a normalisation works in place, so that the map hooked here is its output.
        self.feature_info = [stage(name, scaled(out, width), 2**i) for i, (name, out) in enumerate(maps)]
        self.num_features = channels
        self.reset_classifier(num_classes)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map (N, D, t, h, w) of normalised clips (N, 3, T, H, W)."""
        x = clips
        for name, _, pool in _LAYERS:
            x = F.relu(getattr(self, f"bn{name}")(getattr(self, f"conv{name}")(x)), inplace=True)
            if pool:
                x = F.max_pool3d(x, kernel_size=pool)
        return x


@register_model
def rspnet_c3d(pretrained: bool = False, **kwargs: Any) -> VideoEncoder:
    """C3D of the RSPNet authors."""
    return build(C3D, SPEC, pretrained, **kwargs)
