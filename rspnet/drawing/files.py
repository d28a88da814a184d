"""Files of pictures made of videos, in a folder under the videos' own names."""

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
"""Most bytes of a file's name, which leaves room for a suffix: file systems allow 255."""


def names(videos: Sequence[tuple[str, str]]) -> list[str]:
    """Return a unique name for what is made of each video: its path, with a hash if several videos share it.

    Args:
        videos: root and path below it.
    """
    times = Counter(video for _, video in videos)
    return [_short(video if times[video] == 1 else f"{video}.{_digest(root)}") for root, video in videos]


def _short(video: str) -> str:
    """Return a path whose file name is short enough for file systems, cut and given a hash if need be."""
    folder, name = os.path.split(video)
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{os.fsencode(name)[: _LONGEST - 10].decode(errors='ignore')}.{_digest(name)}"
    return os.path.join(folder, name)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def check_outside(out: str, sources: Iterable[str]) -> None:
    """Check that what is made is not written where videos are looked for: the next time it would be taken for one.

    Raises:
        ConfigError: `out` lies in one of the folders `sources`.
    """
    real = os.path.realpath(out)
    for source in sources:
        folder = os.path.realpath(source)
        if os.path.isdir(source) and os.path.commonpath([folder, real]) == folder:
            raise ConfigError(f"out: {out}: lies in {source}, whose videos are shown; name a folder outside of it")


def save(path: Path, picture: Pixels) -> None:
    """Write a picture (H, W, 3) as .png or .webp by its name, completely or not at all; an existing file is replaced.

    Raises:
        DiskError, ConfigError: see `rspnet.disk.whole`.
    """
    with whole(path) as temporary, created(temporary) as file:
        Image.fromarray(picture).save(file, format=path.suffix[1:], quality=85)
