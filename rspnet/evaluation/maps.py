"""Compute the similarity maps of two clips of a video, ready to be drawn."""

from collections.abc import Sequence

import numpy as np
import torch

from rspnet.clipspec import ClipSpec
from rspnet.data.augment import normaliser
from rspnet.data.speed_pairs import ReadClip
from rspnet.drawing.similarity import HEADS, Clip, Pair
from rspnet.method.heads import Embedder
from rspnet.method.similarity_map import similarity_maps


class Mapper:
    """Computes the similarity maps of pairs of clips.

    Args:
        first: embeds the first clip of a pair; moved to the device and put into eval mode.
        second: embeds the second clip, likewise.
        clip: the clips that the networks are fed with.
        device: device of the networks.
    """

    def __init__(self, first: Embedder, second: Embedder, clip: ClipSpec, *, device: torch.device) -> None:
        self.first, self.second = (each.to(device).eval() for each in (first, second))
        self.clip = clip
        self.device = device
        self._normalise = normaliser(clip)

    def __call__(self, read: Sequence[ReadClip], *, title: str, about: str) -> Pair:
        """Return two clips with their maps.

        Args:
            read: the two clips.
            title: a line about the video.
            about: a line about the network.

        Raises:
            FloatingPointError: the maps are not finite.
        """
        clips = [self._normalise(torch.from_numpy(each.pixels)[None].to(self.device)) for each in read]
        maps = similarity_maps(self.first, self.second, clips=clips[0], other_clips=clips[1])
        drawn = []
        for each, found in zip(read, maps, strict=True):
            arrays = {head: getattr(found, head)[0].float().cpu().numpy() for head in HEADS}
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise FloatingPointError(f"{title}: its maps are NaN or infinite; give other weights")
            drawn.append(Clip(self._caption(each), each.pixels, arrays))
        return Pair(title, about, (drawn[0], drawn[1]))

    def _caption(self, each: ReadClip) -> str:
        """Describe a clip by its speed and its frames."""
        step = each.speed * self.clip.stride
        text = f"speed {each.speed}: frames {each.frames.min()} to {each.frames.max()}"
        if step > 1 and self.clip.sampling == "clip" and self.clip.frame_rate is None:
            text += f", one of every {step}"
        return text + (", looped: the video is shorter than the clip" if each.is_looped else "")
