"""Two clips of a video under their similarity maps: as a film, and as a strip of frames.

Both have the clips' own frames, and beside them (film) or below (strip) the frames under the map of each head. Each map
has a scale of its own, as published: from its least number, dark, to its largest, light, which stand beside it.

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
SIDE = 224
"""Of a frame in a film, pixels; in a strip half of it."""
_MARGIN, _LINE, _LETTERS = 8, 20, 14  # pixels
_BAR = 12


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

    def flat(self) -> list[str]:
        """The heads whose map is the same everywhere."""
        return [head for head in HEADS if Scale.of(self.maps[head]).is_flat]

    def ranges(self) -> list[str]:
        """Of each head's map from which number to which it goes."""
        scales = [Scale.of(self.maps[head]) for head in HEADS]
        return [
            f"{figures(scale.low)} everywhere" if scale.is_flat else f"{figures(scale.low)} to {figures(scale.high)}"
            for scale in scales
        ]

    def panels(self, side: int) -> list[Pixels]:
        """The clip's frames, and the same under the map of each head, each (T, side, side, 3)."""
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
        about: a line on what made the maps.
        clips: both.
    """

    title: str
    about: str
    clips: tuple[Clip, Clip]


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


def film(pair: Pair, side: int = SIDE) -> Iterator[Pixels]:
    """The pictures of a film (H, W, 3), H and W even: a row for each clip, a column for its frames and for each head.

    Args:
        pair: what is shown.
        side: of a frame in it, pixels, even.
    """
    panels = [clip.panels(side) for clip in pair.clips]
    lefts = [_MARGIN + number * (side + _MARGIN) for number in range(len(panels[0]))]
    block = 2 * _LINE + side + _MARGIN
    tops = [_MARGIN + 2 * _LINE + number * block for number in range(len(panels))]
    page = _page(tops[-1] + block, lefts[-1] + side + _MARGIN, pair)
    for top, clip in zip(tops, pair.clips):
        _write(page, clip.caption, (_MARGIN, top))
        for left, name, told in zip(lefts[1:], HEADS.values(), clip.ranges()):
            write(page, f"{name}: {told}", place=(left, top + _LINE), width=side, size=_LETTERS)
    for number in range(len(panels[0][0])):
        picture = page.copy()
        for top, clip_panels in zip(tops, panels):
            down = top + 2 * _LINE
            for left, panel in zip(lefts, clip_panels):
                picture[down : down + side, left : left + side] = panel[number]
        yield picture


def strip(pair: Pair, side: int = SIDE // 2, columns: int = 8) -> Pixels:
    """A picture (H, W, 3) of frames evenly spaced over each clip, from its first to its last.

    Args:
        pair: what is shown.
        side: of a frame in it, pixels.
        columns: frames of a clip, at most as many as it has.
    """
    label = max(length(name, _LETTERS) for name in HEADS.values()) + _MARGIN
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
    """An empty page, with what it is about above and a scale of the colours below."""
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
    """A line that may go on to the right end of the page."""
    write(page, text, place=place, width=page.shape[1] - _MARGIN - place[0] + 1, size=_LETTERS)
