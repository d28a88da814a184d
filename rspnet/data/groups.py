"""Which videos come from one film, where their names say so."""

import os
import re
from collections.abc import Sequence

_UCF = re.compile(r"v_(\w+?_g\d+)_c\d+")
_HMDB = re.compile(r"[a-z]_[a-z]{2}_np\d_[a-z]{2}_[a-z]{3}_\d+")


def film_of(video: str, label: str | None) -> str | None:
    """Return what names the film that a video was cut from.

    UCF101 numbers the groups of each class (``v_Archery_g08_c02``), HMDB51 and J-HMDB begin with the film's name, then
    the class (``April_09_brush_hair_u_nm_np1_ba_goo_0``).

    Args:
        video: Its path.
        label: The name of its class.

    Returns:
        None where its name is of neither form.
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
    """Return the film of each video; None if one is not known, or each video is of its own.

    Args:
        videos: Their paths.
        labels: The names of their classes.
    """
    films = [film for video, label in zip(videos, labels, strict=True) if (film := film_of(video, label)) is not None]
    return films if len(films) == len(videos) > len(set(films)) else None
