"""The interface of an encoder, and the two projection heads on one encoder."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(Protocol):
    """The interface of an encoder f, an `nn.Module`.

    Attributes:
        num_features: length of a pooled feature.
    """

    num_features: int

    def __call__(self, clips: Tensor) -> Tensor:
        """Map clips (N, 3, T, H, W) to pooled features (N, `num_features`)."""
        ...

    def forward_features(self, clips: Tensor) -> Tensor:
        """Map clips (N, 3, T, H, W) to the last feature map (N, `num_features`, t, h, w), whose mean is the feature."""
        ...

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one with `num_classes` outputs; 0 removes it."""
        ...

    def requires_grad_(self, requires_grad: bool = True) -> nn.Module:
        """See `torch.nn.Module.requires_grad_`."""
        ...

    def eval(self) -> nn.Module:
        """See `torch.nn.Module.eval`."""
        ...


class Embedder(nn.Module):
    """The encoder f and a linear projection head for each task: g_a (A-VID) and g_m (RSP); paper, figure 2.

    Args:
        encoder: f, maps clips (N, 3, T, H, W) to pooled features (N, `encoder.num_features`).
        dim: embedding dimension D; the published code uses 128.

    Attributes:
        appearance: g_a, the head of appearance-focused video instance discrimination (A-VID).
        motion: g_m, the head of relative speed perception (RSP).
    """

    def __init__(self, encoder: Encoder, dim: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.appearance = nn.Linear(encoder.num_features, dim)
        self.motion = nn.Linear(encoder.num_features, dim)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Map clips (N, 3, T, H, W) to unit-norm appearance and motion embeddings, each (N, D)."""
        features = self.encoder(clips)
        return F.normalize(self.appearance(features), dim=1), F.normalize(self.motion(features), dim=1)
