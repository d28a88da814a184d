"""Find videos that were cut from the same film, from their names."""

import os
import re
from collections.abc import Sequence

_UCF = re.compile(r"v_(\w+?_g\d+)_c\d+")
_HMDB = re.compile(r"[a-z]_[a-z]{2}_np\d_[a-z]{2}_[a-z]{3}_\d+")


def film_of(video: str, label: str | None) -> str | None:
    """Return a name for the film that a video was cut from.

    UCF101 numbers the films of each class as groups (``v_Archery_g08_c02``). In HMDB51 and J-HMDB, names begin with
    that of the film, followed by the class (``April_09_brush_hair_u_nm_np1_ba_goo_0``).

    Args:
        video: Its path.
        label: The name of its class.

    Returns:
        The film's name; None if the video's name has neither form.
    """
    name = os.path.splitext(os.path.basename(video))[0]
    if match := _UCF.fullmatch(name):
        return match[1]
    if label is not None:
        film, found, rest = name.rpartition(f"_{label}_")
        if found and _HMDB.fullmatch(rest):
            return film
    return None


def films_of(videos: Sequence[str], labels: Sequence[str | None]) -> list[str] | None:
    """Return the film of each video; None if that of any is unknown, or if each video is from a different film.

    Args:
        videos: Their paths.
        labels: The names of their classes.
    """
    films = [film for video, label in zip(videos, labels, strict=True) if (film := film_of(video, label)) is not None]
    return films if len(films) == len(videos) > len(set(films)) else None
