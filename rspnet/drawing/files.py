"""Where pictures of videos go: a folder with the videos' own names in it."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from rspnet.disk import created, whole
from rspnet.drawing.text import Pixels
from rspnet.errors import ConfigError

_LONGEST = 200
"""Bytes of a file's name, which leaves room for an ending; file systems take 255."""


def names(videos: Sequence[tuple[str, str]]) -> list[str]:
    """A name for what is made of each video, another one for each: its own, with its folders and its ending.

    Args:
        videos: root and path below it.
    """
    times = Counter(video for _, video in videos)
    return [_short(video if times[video] == 1 else f"{video}.{_digest(root)}") for root, video in videos]


def _short(video: str) -> str:
    """A name that file systems take."""
    folder, name = os.path.split(video)
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{os.fsencode(name)[: _LONGEST - 10].decode(errors='ignore')}.{_digest(name)}"
    return os.path.join(folder, name)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def check_outside(out: str, sources: Iterable[str]) -> None:
    """See that what is made does not go where videos are looked for, to be taken for one the next time.

    Raises:
        ConfigError: it would.
    """
    real = os.path.realpath(out)
    for source in sources:
        folder = os.path.realpath(source)
        if os.path.isdir(source) and os.path.commonpath([folder, real]) == folder:
            raise ConfigError(f"out: {out}: lies in {source}, whose videos are shown; name a folder outside of it")


def save(path: Path, picture: Pixels) -> None:
    """Write a picture (H, W, 3), as .png or .webp by its name, whole or not at all; one of this name is replaced.

    Raises:
        DiskError, ConfigError: see `rspnet.disk.whole`.
    """
    with whole(path) as temporary, created(temporary) as file:
        Image.fromarray(picture).save(file, format=path.suffix[1:], quality=85)
