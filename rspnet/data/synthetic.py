"""A small set of real video files that only motion tells apart, for the demo and the tests.

It is laid out as UCF101: UCF-101/CLASS/v_CLASS_gXX_cYY.mp4 and ucfTrainTestlist/ with three folds. One object moves on
a background, brighter than it or darker; the class is the path it takes, and whether it goes there over and over fast
or slowly. Size, place, the length of the way and the shaking camera are drawn alike for all classes, so a single frame
does not tell the class, and no class becomes another one in the mirror. As in UCF101, the clips of a group (gXX) share
a scene (background, a still distractor, the object's shape, texture and colours), and no group is in both train and
test; here every scene is there for all classes, so that clips of it can be told apart by their motion alone.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from rspnet import console, disk
from rspnet.data.motions import MOTIONS, draw
from rspnet.errors import ConfigError
from rspnet.lock import locked
from rspnet.temporary import names_in, sweep
from rspnet.video.writer import encode

FPS = 25
_MARK = "synthetic.json"
_FOLDS = [*itertools.product(("train", "test"), (1, 2, 3))]
_MOST = 100_000  # videos of a class: fifteen gigabytes


def num_videos(videos_per_class: int) -> int:
    """How many videos `make_dataset` makes."""
    return len(MOTIONS) * videos_per_class


def make_dataset(dst: str | Path, videos_per_class: int, seed: int) -> bool:
    """Write the videos and the lists. The same arguments give the same pixels; complete, it is left alone.

    Args:
        dst: a new or empty folder, or one this function was at before with the same arguments.
        videos_per_class: at least 4.
        seed: of all draws, at least 0.

    Returns:
        Whether there was something left to make.

    Raises:
        ConfigError: too few videos, no such seed, or a folder with something else in it.
    """
    if not 4 <= videos_per_class <= _MOST:
        raise ConfigError(
            f"videos_per_class: {videos_per_class}; three folds need at least 4, at most {_MOST} are made"
        )
    if seed < 0:
        raise ConfigError(f"seed: {seed}; it must be at least 0")
    dst = Path(dst)
    settings = {"videos_per_class": videos_per_class, "seed": seed}
    with _held(dst):
        if _is_made(dst, settings):
            return False
        sweep(dst)
        disk.write_json(dst / _MARK, settings | {"sha256": None})
        _write_set(dst, videos_per_class, seed)
        disk.write_json(dst / _MARK, settings | {"sha256": _digest(dst, videos_per_class)})
    return True


@contextmanager
def _held(dst: Path) -> Iterator[None]:
    """Make the folder, if it is new, and keep other processes out of it."""
    if os.path.lexists(dst) and not os.path.isdir(dst):
        raise ConfigError(f"{dst}: is no folder; choose a new one")
    disk.make_folder(dst, "choose another folder")
    with disk.writing_to(dst), ExitStack() as stack:
        try:
            stack.enter_context(locked(dst))
        except BlockingIOError:
            raise ConfigError(
                f"{dst}: another process is making a set there; wait for it, or choose another folder"
            ) from None
        yield


def _is_made(dst: Path, settings: dict[str, int]) -> bool:
    """Whether the set is there, as it was made; False: the folder is empty, or holds a part of it, or damaged files."""
    mark = dst / _MARK
    with disk.reading(dst):
        if not names_in(dst):
            return False
    if not disk.is_there(mark):
        raise ConfigError(f"{dst}: not empty; choose a new folder")
    try:
        with disk.reading(mark):
            found = json.loads(mark.read_text(encoding="utf-8"))
    except ConfigError:
        raise
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.keys() != {*settings, "sha256"}:
        raise ConfigError(
            f"{mark}: does not tell what set it belongs to; choose another folder, or remove this one first"
        )
    if any(found[name] != value for name, value in settings.items()):
        made_with = f"{found['videos_per_class']} videos per class and seed {found['seed']}"
        raise ConfigError(f"{dst}: holds a set made with {made_with}; remove it, or choose another folder")
    return found["sha256"] is not None and found["sha256"] == _digest(dst, settings["videos_per_class"])


def _names(videos_per_class: int) -> Iterator[tuple[str, str, int, int]]:
    """Class, path below UCF-101, group and clip of each video."""
    num_groups = min(25, max(4, videos_per_class // 2))
    for name, number in itertools.product(sorted(MOTIONS), range(videos_per_class)):
        group, clip = number % num_groups + 1, number // num_groups + 1
        yield name, f"{name}/v_{name}_g{group:02d}_c{clip:02d}.mp4", group, clip


def _digest(dst: Path, videos_per_class: int) -> str | None:
    """The SHA-256 of the set's files; None if one is missing."""
    whole = hashlib.sha256()
    videos = (f"UCF-101/{path}" for _, path, _, _ in _names(videos_per_class))
    lists = (f"ucfTrainTestlist/{name}.txt" for name in ("classInd", *itertools.starmap("{}list{:02d}".format, _FOLDS)))
    for path in (dst / name for name in (*videos, *lists)):
        if not disk.is_there(path):
            return None
        with disk.reading(path):
            whole.update(disk.sha256(path).encode())
    return whole.hexdigest()


def _write_set(dst: Path, videos_per_class: int, seed: int) -> None:
    """Write the videos and the lists."""
    names = sorted(MOTIONS)
    for folder in (dst / each for each in ("ucfTrainTestlist", *(f"UCF-101/{name}" for name in names))):
        disk.make_folder(folder, "remove what is there, or choose another folder")
        sweep(folder)
    videos = []  # path, label, group
    todo = _names(videos_per_class)
    for name, path, group, clip in console.progress(
        todo, num_videos(videos_per_class), desc="synthetic", unit="videos"
    ):
        label = names.index(name)
        scene, course = np.random.default_rng([seed, group]), np.random.default_rng([seed, group, label, clip])
        frames = draw(name, scene, course)
        encode(dst / "UCF-101" / path, frames, FPS, x264_preset="veryfast")
        videos.append((path, label, group))
    _write_lists(dst / "ucfTrainTestlist", names, sorted(videos))


def _write_lists(folder: Path, names: list[str], videos: list[tuple[str, int, int]]) -> None:
    """The official formats of UCF101. A quarter of the groups is the test set of each fold."""
    lines = {"classInd": [f"{label} {name}" for label, name in enumerate(names, 1)]}
    for fold in (1, 2, 3):
        lines[f"trainlist{fold:02d}"] = [f"{path} {label + 1}" for path, label, group in videos if group % 4 != fold]
        lines[f"testlist{fold:02d}"] = [path for path, _, group in videos if group % 4 == fold]
    for name, content in lines.items():
        disk.write_text(folder / f"{name}.txt", "\n".join(content) + "\n")
