"""Writing text into pictures, in whatever fonts the machine has.

Pillow brings a font with the letters of English. For others the machine's fonts are searched; a character that none of
them has is written by its number (``<U+4E2D>``), so that it can still be identified.
"""

import itertools
from functools import cache
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from rspnet.terminal import visible

Pixels = npt.NDArray[np.uint8]
"""Pictures, in any number of dimensions."""

_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc"),
)
"""Fonts that are looked for where the system keeps its fonts; the first that has a letter is used."""
_NO_LETTER = "\U0010ffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write(picture: Pixels, text: str, *, place: tuple[int, int], width: int, size: int = 14) -> None:
    """Write a line in black into a picture (H, W, 3).

    Args:
        picture: changed in place.
        text: the line; control characters are escaped, and if it is too long, its middle is left out.
        place: left and top, in pixels.
        width: most pixels that it may take.
        size: size of the letters, in pixels.
    """
    text = _fitted(visible(text), size, width)
    image = Image.fromarray(picture)
    left, top = place
    for font, piece in _pieces(text, size):
        ImageDraw.Draw(image).text((left, top + size), piece, font=font, fill=(0, 0, 0), anchor="ls")
        left += round(font.getlength(piece))
    picture[:] = np.asarray(image)


def length(text: str, size: int) -> int:
    """Return the width of a text in pixels."""
    return sum(round(font.getlength(piece)) for font, piece in _pieces(text, size))


def _fitted(text: str, size: int, width: int) -> str:
    """Return the text, with as much of its middle replaced by ... as needed to fit `width`; empty if nothing fits."""
    if length(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept // 2]}...{text[len(text) - (kept + 1) // 2 :]}"
        if length(short, size) <= width:
            return short
    return ""


def _pieces(text: str, size: int) -> list[tuple[Font, str]]:
    """Split a text into pieces of one font each, with letters that no font has replaced by their numbers."""
    lettered = []
    for letter in text:
        font = next((font for font in _fonts(size) if _has(font, letter)), None)
        lettered.append((font or _fonts(size)[0], letter if font else f"<U+{ord(letter):04X}>"))
    groups = itertools.groupby(lettered, key=itemgetter(0))
    return [(font, "".join(letters for _, letters in group)) for font, group in groups]


@cache
def _fonts(size: int) -> list[Font]:
    """Return Pillow's own font, then those of `_FONTS` that the machine has."""
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
