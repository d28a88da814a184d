"""Writing into pictures, in whatever letters the machine has.

Pillow brings a font with the letters of English. For others the machine's fonts are asked; what none of them has is
written by its number (``<U+4E2D>``), so that it can still be told what is meant.
"""

import itertools
from functools import cache
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from rspnet.terminal import visible

Pixels = npt.NDArray[np.uint8]
"""Of pictures, in any number of dimensions."""

_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc"),
)
"""Looked for where the system keeps its fonts; the first that has a letter is taken."""
_NO_LETTER = "\U0010ffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write(picture: Pixels, text: str, *, place: tuple[int, int], width: int, size: int = 14) -> None:
    """Write a line in black into a picture (H, W, 3).

    Args:
        picture: is changed.
        text: what a terminal would obey is escaped; if it is too long, its middle is left out.
        place: left and top, pixels.
        width: that it may take, pixels.
        size: of the letters, pixels.
    """
    text = _fitted(visible(text), size, width)
    image = Image.fromarray(picture)
    left, top = place
    for font, piece in _pieces(text, size):
        ImageDraw.Draw(image).text((left, top + size), piece, font=font, fill=(0, 0, 0), anchor="ls")
        left += round(font.getlength(piece))
    picture[:] = np.asarray(image)


def length(text: str, size: int) -> int:
    """How wide a text is, pixels."""
    return sum(round(font.getlength(piece)) for font, piece in _pieces(text, size))


def _fitted(text: str, size: int, width: int) -> str:
    """The text, without so much of its middle that it is no longer than `width`."""
    if length(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept // 2]}...{text[len(text) - (kept + 1) // 2 :]}"
        if length(short, size) <= width:
            return short
    return ""


def _pieces(text: str, size: int) -> list[tuple[Font, str]]:
    """A text in pieces of one font each, with the numbers of letters that no font has."""
    lettered = []
    for letter in text:
        font = next((font for font in _fonts(size) if _has(font, letter)), None)
        lettered.append((font or _fonts(size)[0], letter if font else f"<U+{ord(letter):04X}>"))
    groups = itertools.groupby(lettered, key=itemgetter(0))
    return [(font, "".join(letters for _, letters in group)) for font, group in groups]


@cache
def _fonts(size: int) -> list[Font]:
    """Pillow's own, then those of the machine."""
    found: list[Font] = [ImageFont.load_default(size)]
    for name in _FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # there is none of that name
            continue
    return found


@cache
def _has(font: Font, letter: str) -> bool:
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))
