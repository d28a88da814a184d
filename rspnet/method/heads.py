"""The two projection heads on one encoder."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(Protocol):
    """What an encoder has beside being a module.

    Attributes:
        num_features: length of a pooled feature.
    """

    num_features: int

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to pooled features (N, `num_features`)."""
        ...

    def forward_features(self, clips: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) to the last map (N, `num_features`, t, h, w), whose mean the features are."""
        ...

    def reset_classifier(self, num_classes: int) -> None:
        """Put a fresh classifier in place; 0 takes it away."""
        ...

    def requires_grad_(self, requires_grad: bool = True) -> nn.Module:
        """Of `torch.nn.Module`."""
        ...

    def eval(self) -> nn.Module:
        """Of `torch.nn.Module`."""
        ...


class Embedder(nn.Module):
    """Encoder, and one linear head for each task; what RSPNet trains (paper fig. 2).

    Args:
        encoder: maps clips (N, 3, T, H, W) to pooled features (N, `encoder.num_features`).
        dim: embedding dimension D; the published code uses 128.
    """

    def __init__(self, encoder: Encoder, dim: int = 128) -> None:
        super().__init__()
        self.encoder = encoder
        self.appearance = nn.Linear(encoder.num_features, dim)
        self.motion = nn.Linear(encoder.num_features, dim)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Clips (N, 3, T, H, W) to unit-norm appearance and motion embeddings, each (N, D)."""
        features = self.encoder(clips)
        return F.normalize(self.appearance(features), dim=1), F.normalize(self.motion(features), dim=1)
