"""One video -> the clips that a network receives in evaluation: for notebooks, and for features of single files.

V clips of the video, T frames each, S pixels.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from rspnet.data.augment import normaliser
from rspnet.data.picked import read_picked
from rspnet.data.picker import Picker
from rspnet.video.orientation import Pixels
from rspnet.video.reader import Video


def read_clips(video: str | Path | Tensor | Pixels, encoder: nn.Module, views: int | None = None) -> Tensor:
    """Read the clips of a video as stages/evaluate.py reads them for this network.

    Frames (evenly spaced clips, looped if the video is shorter than one), crop, size, frame rate and normalisation are
    the same, so ``encoder(clips).mean(0)`` equals the video's feature there up to rounding (1e-5 of it), because there
    several videos go through the network together. Given frames instead of a file, it is close to that (about 1e-2):
    frames are resized as RGB, a file's pictures before they are converted to RGB.

    Args:
        video: A file; or its frames, uint8 (frames, H, W, 3), RGB, at the network's frame rate.
        encoder: From `rspnet.load_encoder`, `load_classifier` or `create_encoder`; its `clip` defines the clips.
        views: V; by default as many as in the test of the network's training.

    Returns:
        (V, 3, T, S, S) float32, normalised, on the encoder's device.

    Raises:
        VideoError: If the file cannot be read.
        ValueError: If the frames are not such an array, the network is not rspnet's, or `views` is less than 1.
    """
    clip = getattr(getattr(encoder, "encoder", encoder), "clip", None)
    if clip is None:
        raise ValueError(f"{type(encoder).__name__} has no `clip` that defines its input; give an encoder of rspnet")
    picker = Picker(clip.num_frames, clip.stride, clip.sampling, clip.views if views is None else views)
    if picker.views < 1:
        raise ValueError(f"views: {views}; it must be at least 1")
    clips = torch.empty((picker.views, clip.num_frames, clip.size, clip.size, 3), dtype=torch.uint8)
    out = [each.numpy() for each in clips]
    if isinstance(video, str | Path):
        with Video(video, time_limit=60.0) as opened:  # the default of data.time_limit
            read_picked(opened, partial(picker, None), clip.size, out=out, frame_rate=clip.frame_rate)
    else:
        _cut(np.asarray(video), picker, out)
    clips = clips.to(next(encoder.parameters()).device)
    return normaliser(clip)(clips).contiguous()


def _cut(frames: Pixels, picker: Picker, out: list[Pixels]) -> None:
    """Cut the clips out of a video's frames."""
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(
            f"frames are {frames.dtype} {frames.shape}; give a file, or uint8 (frames, height, width, 3) in RGB"
        )
    for clip, (indices, (top, left, height, width)) in zip(out, picker(None, len(frames), frames.shape[1:3])):
        for place, index in enumerate(indices.tolist()):
            part = frames[index, top : top + height, left : left + width]
            cv2.resize(part, clip.shape[1:3], clip[place], interpolation=cv2.INTER_LINEAR)
