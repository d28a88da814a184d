"""One video -> what a network is fed in evaluation: for notebooks, and for whoever wants features of a file.

V clips of the video, T frames each, S pixels; D features.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from rspnet.data.augment import normaliser
from rspnet.data.clip_dataset import Picker
from rspnet.data.picked import read_picked
from rspnet.video.reader import Video


def read_clips(path: str | Path, encoder: nn.Module, views: int | None = None) -> Tensor:
    """Read the clips of a video that stages/evaluate.py feeds this network with.

    The same frames (evenly spaced clips, looped where the video is shorter than one), crop, size, frame rate and
    normalisation, so that ``encoder(clips).mean(0)`` is the video's feature there, but for rounding (1e-5 of it), since
    several videos go through the network together there.

    Args:
        path: A video file.
        encoder: As `rspnet.load_encoder`, `load_classifier` or `create_encoder` returned it: its `clip` says how.
        views: V; as many as the training's test takes unless given.

    Returns:
        (V, 3, T, S, S) float32, normalised, on the encoder's device.

    Raises:
        VideoError: If the file cannot be read.
        ValueError: If the network is none of rspnet's, or `views` is less than 1.
    """
    clip = getattr(getattr(encoder, "encoder", encoder), "clip", None)
    if clip is None:
        raise ValueError(f"{type(encoder).__name__} does not say what it is fed with; give an encoder of rspnet")
    picker = Picker(clip.num_frames, clip.stride, clip.sampling, clip.views if views is None else views)
    clips = torch.empty((picker.views, clip.num_frames, clip.size, clip.size, 3), dtype=torch.uint8)
    with Video(path, time_limit=60.0) as video:  # as long as data.time_limit is, unless given
        out = [each.numpy() for each in clips]
        read_picked(video, partial(picker, None), clip.size, out=out, frame_rate=clip.frame_rate)
    clips = clips.to(next(encoder.parameters()).device)
    return normaliser(clip)(clips)
