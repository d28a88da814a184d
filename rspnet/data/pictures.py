"""Clips as a picture, to show a person what a network receives."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rspnet.clipspec import ClipSpec


def as_picture(views: Sequence[Tensor], clip: ClipSpec) -> npt.NDArray[np.uint8]:
    """Lay out the first video's clips: one row per view, its frames side by side, cut to the shortest view.

    Args:
        views: normalised clips (N, 3, T, H, W), T may differ between views.
        clip: mean, standard deviation and channel order of their normalisation.

    Returns:
        RGB (views * H, T * W, 3).
    """
    num_frames = min(view.shape[2] for view in views)
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (clip.mean, clip.std))
    rows = []
    for view in views:
        frames = (view[0, :, :num_frames].detach().float().cpu() * std + mean).clamp(0, 1).mul(255).round()
        frames = frames.flip(0) if clip.channels == "BGR" else frames
        rows.append(frames.permute(2, 1, 3, 0).flatten(1, 2))  # (H, T * W, 3)
    return torch.cat(rows).to(torch.uint8).numpy()
