"""Two clips of a video under their similarity maps: as a film, and as a strip of frames.

Both have the clips' own frames, and beside them (film) or below (strip) the frames under the map of each head. One
scale of colours serves both clips, since their maps have the same mean; it stands below.

T frames of S x S pixels; t, h, w are the positions of a map.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from rspnet.console import figures
from rspnet.drawing.colours import Floats, Scale, bar, overlaid
from rspnet.drawing.text import Pixels, length, write

HEADS = {"motion": "motion (RSP)", "appearance": "appearance (A-VID)"}
"""The maps of a clip, and what is written beside them."""

_MARGIN, _LINE, _LETTERS = 8, 20, 14  # pixels


@dataclass(frozen=True)
class Clip:
    """A clip and its maps.

    Attributes:
        caption: a line on it.
        frames: (T, S, S, 3), as the network sees them.
        maps: of each of `HEADS`, (t, h, w).
    """

    caption: str
    frames: Pixels
    maps: Mapping[str, Floats]


@dataclass(frozen=True)
class Pair:
    """Two clips of one video.

    Attributes:
        title: a line on the video.
        about: a line on what made the maps.
        clips: both.
    """

    title: str
    about: str
    clips: tuple[Clip, Clip]

    def scale(self, head: str) -> Scale:
        """Of the colours of a head's maps."""
        return Scale.of(clip.maps[head] for clip in self.clips)


def over_frames(positions: Floats, num_frames: int, side: int) -> Floats:
    """Spread a map (t, h, w) over the frames and pixels that it was made of, (T, side, side).

    Each of its numbers stands in the middle of its share of frames and pixels; between them it goes straight.
    """
    steps: Floats = positions.astype(np.float32)
    pictures = np.stack([cv2.resize(step, (side, side), interpolation=cv2.INTER_LINEAR) for step in steps])
    places = np.clip((np.arange(num_frames) + 0.5) * len(steps) / num_frames - 0.5, 0, len(steps) - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(steps) - 1)
    part = (places - before).astype(np.float32)[:, None, None]
    spread: Floats = pictures[before] * (1 - part) + pictures[after] * part
    return spread


def film(pair: Pair, side: int) -> Iterator[Pixels]:
    """The pictures of a film (H, W, 3), H and W even: a row for each clip, a column for its frames and for each head.

    Args:
        pair: what is shown.
        side: of a frame in it, pixels, even.
    """
    panels = [_panels(clip, pair, side) for clip in pair.clips]
    columns = len(HEADS) + 1
    width = columns * (side + _MARGIN) + _MARGIN
    rows = [_MARGIN + 3 * _LINE + number * (side + _LINE + _MARGIN) + _LINE for number in range(len(panels))]
    page = np.full((rows[-1] + side + 3 * _LINE + _MARGIN, width, 3), 255, np.uint8)
    lefts = [_MARGIN + number * (side + _MARGIN) for number in range(columns)]
    _write_head(page, pair)
    for left, text in zip(lefts, ("the clip", *HEADS.values())):
        write(page, text, place=(left, _MARGIN + 2 * _LINE), width=side, size=_LETTERS)
    for top, clip in zip(rows, pair.clips):
        write(page, clip.caption, place=(_MARGIN, top - _LINE), width=width - 2 * _MARGIN, size=_LETTERS)
    for left, head in zip(lefts[1:], HEADS):
        _write_scale(page, pair.scale(head), "", place=(left, rows[-1] + side + _MARGIN), width=side)
    for number in range(len(pair.clips[0].frames)):
        picture = page.copy()
        for top, clip_panels in zip(rows, panels):
            for left, panel in zip(lefts, clip_panels):
                picture[top : top + side, left : left + side] = panel[number]
        yield picture


def strip(pair: Pair, side: int, columns: int = 8) -> Pixels:
    """A picture (H, W, 3) of frames evenly spaced over each clip, from its first to its last.

    Args:
        pair: what is shown.
        side: of a frame in it, pixels.
        columns: frames of a clip, at most as many as it has.
    """
    names = ("the clip", *HEADS.values())
    label = max(length(name, _LETTERS) for name in names) + _MARGIN
    places = np.rint(np.linspace(0, len(pair.clips[0].frames) - 1, columns)).astype(int)
    places = np.unique(places)
    block = _LINE + len(names) * (side + 2) + _MARGIN
    width = 2 * _MARGIN + label + max(len(places) * (side + 2), 3 * side)
    top = _MARGIN + 2 * _LINE
    page = np.full((top + len(pair.clips) * block + 3 * _LINE, width, 3), 255, np.uint8)
    _write_head(page, pair)
    for clip in pair.clips:
        write(page, clip.caption, place=(_MARGIN, top), width=width - 2 * _MARGIN, size=_LETTERS)
        for row, (name, panel) in enumerate(zip(names, _panels(clip, pair, side))):
            down = top + _LINE + row * (side + 2)
            write(page, name, place=(_MARGIN, down + (side - _LINE) // 2), width=label, size=_LETTERS)
            for column, place in enumerate(places):
                left = _MARGIN + label + column * (side + 2)
                page[down : down + side, left : left + side] = panel[place]
        top += block
    half = (width - 3 * _MARGIN) // len(HEADS)
    for number, (head, name) in enumerate(HEADS.items()):
        place = (_MARGIN + number * (half + _MARGIN), top)
        _write_scale(page, pair.scale(head), name, place=place, width=half)
    return page


def _panels(clip: Clip, pair: Pair, side: int) -> list[Pixels]:
    """The clip's frames, and the same under the map of each head, each (T, side, side, 3)."""
    frames = np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_LINEAR) for frame in clip.frames])
    panels = [frames.astype(np.uint8)]
    for head in HEADS:
        levels = pair.scale(head).levels(over_frames(clip.maps[head], len(frames), side))
        panels.append(overlaid(panels[0], levels))
    return panels


def _write_head(page: Pixels, pair: Pair) -> None:
    for number, text in enumerate((pair.title, pair.about)):
        place = (_MARGIN, _MARGIN + number * _LINE)
        write(page, text, place=place, width=page.shape[1] - 2 * _MARGIN, size=_LETTERS)


def _write_scale(page: Pixels, scale: Scale, name: str, *, place: tuple[int, int], width: int) -> None:
    """Draw the colours, and below them what they stand for."""
    left, top = place
    page[top : top + 12, left : left + width] = bar(12, width)
    if scale.is_flat:
        text = f"the same everywhere: {figures(scale.low)}"
    else:
        text = f"{figures(scale.low)} (dark) to {figures(scale.high)} (light)"
    words = f"{name}: {text}" if name else text
    write(page, words, place=(left, top + 14), width=width, size=_LETTERS)
