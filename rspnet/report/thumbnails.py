"""Small moving pictures of videos, as animated WebP inside the page; each is stored once, however often it is shown.

A picture is a CSS variable of a class, and elements of that class show it: moving, or still if the reader has asked for
less motion.
"""

import time
from base64 import b64encode
from collections import Counter
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from rspnet.console import some
from rspnet.data.fetched import fetched, is_at_hand
from rspnet.data.remote import path_of
from rspnet.data.rows import USABLE
from rspnet.data.sampling import centre_square_crop
from rspnet.errors import RSPNetError, VideoError
from rspnet.terminal import visible
from rspnet.video.reader import Video

SIDE = 72
"""Pixels."""
_FRAMES, _SECONDS, _FPS = 8, 2.0, 25.0  # frames and seconds from the middle of a video; frame rate if it has none
_QUALITY = 40
_TIME_LIMIT = 10.0  # seconds that reading one video may take
_FINER = 4  # frames are read at up to this many times SIDE, then averaged down

_BYTES = 3_300_000
"""Characters that all pictures of a page may take, about 400 of them, so that a page stays under 5 MB."""
_PATIENCE = 90.0
"""Seconds that all pictures of a page may take."""
BRIEFLY = 5.0
"""The same for the page that a run leaves at its end, which has few pictures: mostly they take one or two."""


class Thumbnails:
    """The pictures of a page.

    Args:
        max_bytes: Most bytes that they may take in the page together.
        patience: Most seconds that they may take to make.

    Attributes:
        seconds: Rows of the videos that were read, each with the seconds that this took.
    """

    def __init__(self, max_bytes: int = _BYTES, patience: float = _PATIENCE) -> None:
        self.seconds: list[tuple[dict[str, Any], float]] = []
        self._left, self._patience = max_bytes, patience
        self._known: dict[str, str] = {}  # path -> class, empty: no picture
        self._rules: list[str] = []
        self._without: Counter[str] = Counter()

    def name(self, row: dict[str, Any], *, is_made: bool = False) -> str:
        """Return the CSS class that has a video's picture as `--moving` and `--still`; empty if there is none.

        Args:
            row: The video's row of an index.
            is_made: Use a picture that exists already, and make none.
        """
        path = path_of(row["root"], row["video"])
        if is_made:
            return self._known.get(path, "")
        if path not in self._known:
            self._known[path] = self._make(row)
        return self._known[path]

    def picture(self, row: dict[str, Any] | None, name: str) -> Markup:
        """Return an element that shows a video.

        Args:
            row: The video's row of an index; None if it is not in one.
            name: The video's name, for screen readers.
        """
        shown = "" if row is None else self.name(row)
        words = visible(name) if shown else f"{visible(name)}, without a picture"
        return Markup('<span class="thumb {}" role="img" aria-label="{}"></span>').format(shown or "blank", words)

    def style(self) -> Markup:
        """Return the pictures themselves, as a style sheet of the page; empty if there are none."""
        return Markup("\n".join(self._rules))  # safe: only class numbers and base64, no text from outside

    def left_out(self) -> str:
        """Say how many videos are shown without a picture, and why; empty if there are none."""
        if not self._without:
            return ""
        reasons = ", ".join(f"{some(number, 'video')} {reason}" for reason, number in self._without.most_common())
        return f"Shown without a picture: {reasons}."

    def _make(self, row: dict[str, Any]) -> str:
        """Make a video's picture within the limits, and return its class; empty if it cannot be made."""
        if self._left <= 0:
            return self._lacking("so that the page stays small")
        if self._patience <= 0:
            return self._lacking("because it takes too long to read them all")
        if not is_at_hand(row):
            return self._lacking("on a server")
        began = time.monotonic()
        try:
            moving, still = thumbnail(row)
        except RSPNetError:
            return self._lacking("not there any more, or damaged")
        finally:
            took = time.monotonic() - began
            self._patience -= took
            self.seconds.append((row, took))
        rule = f".t{len(self._rules)}{{--moving:url({moving});--still:url({still})}}"
        self._left -= len(rule)
        if self._left < 0:
            self._left = 0
            return self._lacking("so that the page stays small")
        self._rules.append(rule)
        return f"t{len(self._rules) - 1}"

    def _lacking(self, why: str) -> str:
        self._without[why] += 1
        return ""


def thumbnail(row: dict[str, Any]) -> tuple[str, str]:
    """Make a moving and a still picture of a video: eight frames of two seconds in its middle, the central square.

    Args:
        row: The video's row of an index.

    Returns:
        Data URIs of WebP files; the moving one is mostly of 3 to 8 KB.

    Raises:
        VideoError: The video cannot be read within ten seconds, or its row says that it is damaged.
    """
    if row["status"] not in USABLE:
        raise VideoError(f"{row['video']}: is {row['status']} by its index")
    count, plan = row.get("num_frames"), row.get("plan")
    with fetched(row) as path, Video(path, count, _TIME_LIMIT, plan=plan) as video:
        rate = video.fps or _FPS
        chosen = _middle(video.num_frames, rate)
        crop = centre_square_crop(video.height, video.width)
        finer = min(_FINER, max(1, crop[2] // SIDE))
        frames = video.read(chosen, crop, SIDE * finer)
    small = [cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in frames]
    pictures = [Image.fromarray(np.asarray(frame, np.uint8)) for frame in small]
    step = int(np.diff(chosen).mean() / rate * 1000) if len(chosen) > 1 else 1000
    return _uri(pictures, min(1000, max(40, step))), _uri(pictures[len(pictures) // 2 :][:1])


def _middle(num_frames: int, rate: float) -> npt.NDArray[np.int64]:
    """Return the numbers of `_FRAMES` frames, evenly spaced over `_SECONDS` in the middle of a video."""
    if num_frames < 1:
        raise VideoError("holds no frames")
    span = int(min(num_frames, max(_FRAMES, round(_SECONDS * rate))))
    places = (np.arange(_FRAMES) + 0.5) * span / _FRAMES
    return np.unique((num_frames - span) // 2 + places.astype(np.int64))


def _uri(pictures: list[Image.Image], milliseconds: int = 0) -> str:
    file = BytesIO()
    more = {"save_all": True, "append_images": pictures[1:], "duration": milliseconds, "loop": 0}
    pictures[0].save(file, "WEBP", quality=_QUALITY, method=4, **(more if len(pictures) > 1 else {}))
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
