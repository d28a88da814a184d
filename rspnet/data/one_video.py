"""One video -> what a network is fed in evaluation: for notebooks, and for whoever wants features of a file.

V clips of the video, T frames each, S pixels; D features.
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
    """Read the clips of a video that stages/evaluate.py feeds this network with.

    The same frames (evenly spaced clips, looped where the video is shorter than one), crop, size, frame rate and
    normalisation, so that ``encoder(clips).mean(0)`` is the video's feature there, but for rounding (1e-5 of it), since
    several videos go through the network together there. Of frames it is near to that (about 1e-2): they are resized as
    RGB, a file's before they become RGB.

    Args:
        video: A file; or its frames, uint8 (frames, H, W, 3), RGB, at the frame rate that the network is fed with.
        encoder: As `rspnet.load_encoder`, `load_classifier` or `create_encoder` returned it: its `clip` says how.
        views: V; as many as the training's test takes unless given.

    Returns:
        (V, 3, T, S, S) float32, normalised, on the encoder's device.

    Raises:
        VideoError: If the file cannot be read.
        ValueError: If the frames are no such array, the network is none of rspnet's, or `views` is less than 1.
    """
    clip = getattr(getattr(encoder, "encoder", encoder), "clip", None)
    if clip is None:
        raise ValueError(f"{type(encoder).__name__} does not say what it is fed with; give an encoder of rspnet")
    picker = Picker(clip.num_frames, clip.stride, clip.sampling, clip.views if views is None else views)
    if picker.views < 1:
        raise ValueError(f"views: {views}; a video is seen in one clip at least")
    clips = torch.empty((picker.views, clip.num_frames, clip.size, clip.size, 3), dtype=torch.uint8)
    out = [each.numpy() for each in clips]
    if isinstance(video, str | Path):
        with Video(video, time_limit=60.0) as opened:  # as long as data.time_limit is, unless given
            read_picked(opened, partial(picker, None), clip.size, out=out, frame_rate=clip.frame_rate)
    else:
        _cut(np.asarray(video), picker, out)
    clips = clips.to(next(encoder.parameters()).device)
    return normaliser(clip)(clips).contiguous()


def _cut(frames: Pixels, picker: Picker, out: list[Pixels]) -> None:
    """Fill in the clips of frames that are there."""
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(
            f"frames are {frames.dtype} {frames.shape}; give a file, or uint8 (frames, height, width, 3) in RGB"
        )
    for clip, (indices, (top, left, height, width)) in zip(out, picker(None, len(frames), frames.shape[1:3])):
        for place, index in enumerate(indices.tolist()):
            part = frames[index, top : top + height, left : left + width]
            cv2.resize(part, clip.shape[1:3], clip[place], interpolation=cv2.INTER_LINEAR)
