"""Two clips of a video with their similarity maps: as a film, and as a strip of frames.

Both show the clips' frames, and beside them (film) or below them (strip) the same frames overlaid with the map of each
head. Each map has its own scale, as published: from its smallest number, dark, to its largest, light; both are printed
beside it.

Clips have T frames of S x S pixels, maps t x h x w positions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from rspnet.console import figures
from rspnet.drawing.colours import Floats, Scale, bar, overlaid
from rspnet.drawing.text import Pixels, length, write

HEADS = {"motion": "motion (RSP)", "appearance": "appearance (A-VID)"}
"""Heads that have a map, and the labels of their maps."""
SIDE = 224
"""Side of a frame in a film, in pixels; in a strip it is half of this."""
_MARGIN, _LINE, _LETTERS = 8, 20, 14  # pixels
_BAR = 12


@dataclass(frozen=True)
class Clip:
    """A clip and its maps.

    Attributes:
        caption: a line on the clip.
        frames: frames (T, S, S, 3), as the network sees them.
        maps: map (t, h, w) of each of `HEADS`.
    """

    caption: str
    frames: Pixels
    maps: Mapping[str, Floats]

    def flat(self) -> list[str]:
        """Return the heads whose map is the same everywhere."""
        return [head for head in HEADS if Scale.of(self.maps[head]).is_flat]

    def ranges(self) -> list[str]:
        """Return the range of each head's map, in words."""
        scales = [Scale.of(self.maps[head]) for head in HEADS]
        return [
            f"{figures(scale.low)} everywhere" if scale.is_flat else f"{figures(scale.low)} to {figures(scale.high)}"
            for scale in scales
        ]

    def panels(self, side: int) -> list[Pixels]:
        """Return the clip's frames, and the frames overlaid with the map of each head, each (T, side, side, 3)."""
        frames = np.stack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_LINEAR) for frame in self.frames])
        found = [frames.astype(np.uint8)]
        for head in HEADS:
            positions = self.maps[head]
            levels = Scale.of(positions).levels(over_frames(positions, len(frames), side))
            found.append(overlaid(found[0], levels))
        return found


@dataclass(frozen=True)
class Pair:
    """Two clips of one video.

    Attributes:
        title: a line on the video.
        about: a line on the network that made the maps.
        clips: the two clips.
    """

    title: str
    about: str
    clips: tuple[Clip, Clip]


def over_frames(positions: Floats, num_frames: int, side: int) -> Floats:
    """Spread a map (t, h, w) over the frames and pixels that it was made from, (T, side, side).

    Each number is placed at the centre of its share of frames and pixels, with linear interpolation in between.
    """
    steps: Floats = positions.astype(np.float32)
    pictures = np.stack([cv2.resize(step, (side, side), interpolation=cv2.INTER_LINEAR) for step in steps])
    places = np.clip((np.arange(num_frames) + 0.5) * len(steps) / num_frames - 0.5, 0, len(steps) - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(steps) - 1)
    part = (places - before).astype(np.float32)[:, None, None]
    spread: Floats = pictures[before] * (1 - part) + pictures[after] * part
    return spread


def film(pair: Pair, side: int = SIDE) -> Iterator[Pixels]:
    """Yield the pictures of a film (H, W, 3), H and W even: a row for each clip, columns for its frames and each head.

    Args:
        pair: the clips to show.
        side: side of a frame in it, in pixels; even.
    """
    panels = [clip.panels(side) for clip in pair.clips]
    lefts = [_MARGIN + number * (side + _MARGIN) for number in range(len(panels[0]))]
    block = 3 * _LINE + side + _MARGIN
    tops = [_MARGIN + 2 * _LINE + number * block for number in range(len(panels))]
    page = _page(tops[-1] + block, lefts[-1] + side + _MARGIN, pair)
    for top, clip in zip(tops, pair.clips):
        _write(page, clip.caption, (_MARGIN, top))
        for left, *words in zip(lefts[1:], HEADS.values(), clip.ranges()):
            for line, text in enumerate(words, 1):
                write(page, text, place=(left, top + line * _LINE), width=side, size=_LETTERS)
    for number in range(len(panels[0][0])):
        picture = page.copy()
        for top, clip_panels in zip(tops, panels):
            down = top + 3 * _LINE
            for left, panel in zip(lefts, clip_panels):
                picture[down : down + side, left : left + side] = panel[number]
        yield picture


def strip(pair: Pair, side: int = SIDE // 2, columns: int = 8) -> Pixels:
    """Return a picture (H, W, 3) of frames evenly spaced over each clip, from its first to its last.

    Args:
        pair: the clips to show.
        side: side of a frame in it, in pixels.
        columns: most frames of each clip; fewer if it has fewer.
    """
    named = [text for clip in pair.clips for text in (*HEADS.values(), *clip.ranges())]
    label = max(length(text, _LETTERS) for text in named) + _MARGIN
    last = len(pair.clips[0].frames) - 1
    places = np.unique(np.rint(np.linspace(0, last, columns)).astype(int))
    row = side + 2
    block = _LINE + (len(HEADS) + 1) * row + _MARGIN
    tops = [_MARGIN + 2 * _LINE + number * block for number in range(len(pair.clips))]
    page = _page(tops[-1] + block, 2 * _MARGIN + label + max(len(places), 3) * row, pair)
    for top, clip in zip(tops, pair.clips):
        _write(page, clip.caption, (_MARGIN, top))
        words = [("", ""), *zip(HEADS.values(), clip.ranges(), strict=True)]
        for number, (names, panel) in enumerate(zip(words, clip.panels(side))):
            down = top + _LINE + number * row
            for line, text in enumerate(names):
                place = (_MARGIN, down + side // 2 + (line - 1) * _LINE)
                write(page, text, place=place, width=label, size=_LETTERS)
            for column, shown in enumerate(places):
                left = _MARGIN + label + column * row
                page[down : down + side, left : left + side] = panel[shown]
    return page


def _page(height: int, width: int, pair: Pair) -> Pixels:
    """Return an empty page with the title above and a colour bar below."""
    page = np.full((height + _BAR + _LINE + _MARGIN, width, 3), 255, np.uint8)
    _write(page, pair.title, (_MARGIN, _MARGIN))
    _write(page, pair.about, (_MARGIN, _MARGIN + _LINE))
    right = width - _MARGIN
    page[height : height + _BAR, _MARGIN:right] = bar(_BAR, right - _MARGIN)
    words = "least", "in each map", "most"
    for text, left in zip(
        words, (_MARGIN, (width - length(words[1], _LETTERS)) // 2, right - length(words[2], _LETTERS))
    ):
        _write(page, text, (left, height + _BAR))
    return page


def _write(page: Pixels, text: str, place: tuple[int, int]) -> None:
    """Write a line that may extend to the right margin of the page."""
    write(page, text, place=place, width=page.shape[1] - _MARGIN - place[0] + 1, size=_LETTERS)
