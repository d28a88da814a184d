"""Encoder and linear classifier: fine-tuning, linear probing, and tests that average several views of a video.

Shapes: N videos, V views (clips) of each, K classes; a clip is (3, T, H, W).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rspnet.method.heads import Encoder

if TYPE_CHECKING:
    import numpy as np


class Classifier(nn.Module):
    """A linear layer on an encoder's pooled features; the loss is computed inside `forward`.

    State-dict keys are those of the published fine-tuned files: `encoder.*`, `fc.weight`, `fc.bias`.

    Args:
        encoder: Network with `num_features` that maps clips (N, 3, T, H, W) to features (N, num_features). Its own
            classifier, if any, is removed.
        num_classes: K.
        frozen: Train only the linear layer (linear probe): the encoder gets no gradients and stays in eval mode, so
            its running batch statistics do not change either.
        class_names: Names of the K classes, or None if they are unknown.
    """

    def __init__(
        self, encoder: Encoder, num_classes: int, *, frozen: bool = False, class_names: Sequence[str] | None = None
    ):
        super().__init__()
        encoder.reset_classifier(0)
        self.encoder = encoder
        self.fc = nn.Linear(encoder.num_features, num_classes)
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.frozen = frozen
        if frozen:
            encoder.requires_grad_(False)
            encoder.eval()

    @property
    def chance(self) -> dict[str, float]:
        """Accuracies by chance, in percent, by the name of the log term."""
        top1, top5 = (100 * min(k, self.num_classes) / self.num_classes for k in (1, 5))
        return {"train_top1": top1, "val_top1": top1, "val_top5": top5}

    def train(self, mode: bool = True) -> "Classifier":
        """Set training mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, clips: Tensor, labels: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Return the logits (N, K) or, if labels are given, a dict of `loss`, `logits` and `top1` (accuracy, percent).

        Args:
            clips: Normalised clips (N, 3, T, H, W), or views (N, V, 3, T, H, W) whose logits are averaged: without a
                softmax, as in the published code, and in float32 even in half precision, where averages often tie.
            labels: Class indices (N,).
        """
        views = clips.shape[1] if clips.ndim == 6 else 1
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.encoder(clips.flatten(0, 1) if clips.ndim == 6 else clips)
        logits: Tensor = self.fc(features)
        precision = torch.promote_types(logits.dtype, torch.float32)
        logits = logits.unflatten(0, (-1, views)).mean(dim=1, dtype=precision)
        if labels is None:
            return logits
        hits = (logits.argmax(1) == labels).float()
        return {"loss": F.cross_entropy(logits, labels), "top1": 100 * hits.mean(), "logits": logits}

    @torch.no_grad()
    def predict(self, video: "str | Path | Tensor | np.ndarray[Any, Any]", k: int = 5) -> list[tuple[str, float]]:
        """Classify a video as the final test of fine-tuning does.

        Args:
            video: A file, its frames in the form that `rspnet.read_clips` takes, or the clips (V, 3, T, H, W) that it
                returns.
            k: Maximum number of classes to return.

        Returns:
            The likeliest classes and their probabilities, best first; class indices in place of unknown names.

        Raises:
            VideoError: If the file cannot be read.
            ValueError: If an array is neither frames nor clips.
        """
        from rspnet.data.one_video import read_clips  # imported here because training does not need it

        clips = video if isinstance(video, Tensor) and video.is_floating_point() else read_clips(video, self)
        if clips.ndim != 5 or clips.shape[1] != 3 or not len(clips):
            raise ValueError(
                f"clips are {clips.dtype} {tuple(clips.shape)}; give what rspnet.read_clips returns (clips, 3, frames, "
                "height, width), or a file, or its frames as uint8 (frames, height, width, 3)"
            )
        training = self.training
        self.eval()
        try:
            probabilities = self(clips[None])[0].softmax(0)
        finally:
            self.train(training)
        best = probabilities.argsort(descending=True, stable=True)[:k].tolist()
        names = self.class_names or list(map(str, range(self.num_classes)))
        return [(names[number], probabilities[number].item()) for number in best]
