"""A small set of real video files whose classes differ only in motion, for the demo and the tests.

It is laid out as UCF101: UCF-101/CLASS/v_CLASS_gXX_cYY.mp4 and ucfTrainTestlist/ with three folds. One object moves on
a background, brighter or darker than it; the class is the path, and whether the object repeats it fast or slowly. Size,
place, distance and the shaking of the camera vary in all classes in overlapping ranges, so that a single frame does not
give away the class, and no class turns into another when mirrored. As in UCF101, the clips of a group (gXX) share a
scene (background, a still distractor, the object's shape, texture and colours), and no group is in both train and test.
Here every scene occurs in all classes, so that its clips can be distinguished by motion alone.
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
_MOST = 100_000  # videos per class: fifteen gigabytes


def num_videos(videos_per_class: int) -> int:
    """Return how many videos `make_dataset` makes."""
    return len(MOTIONS) * videos_per_class


def make_dataset(dst: str | Path, videos_per_class: int, seed: int) -> bool:
    """Write the videos and the lists. The same arguments give the same pixels; a complete set is left alone.

    Args:
        dst: a new or empty folder, or one that this function wrote to before with the same arguments.
        videos_per_class: 4 to 100,000.
        seed: of all draws, at least 0.

    Returns:
        Whether the set was made; False if it was complete already.

    Raises:
        ConfigError: `videos_per_class` or `seed` is out of range, or the folder is in use or holds something else.
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
    """Make the folder if it is new, and lock it against other processes."""
    if os.path.lexists(dst) and not os.path.isdir(dst):
        raise ConfigError(f"{dst}: is not a folder; choose a new one")
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
    """Return whether the set is complete and unchanged; False if the folder is empty, or files are missing or damaged.

    Raises:
        ConfigError: the folder holds something else, or a set made with other settings.
    """
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
        raise ConfigError(f"{mark}: does not describe a synthetic set; choose another folder, or remove this one first")
    if any(found[name] != value for name, value in settings.items()):
        made_with = f"{found['videos_per_class']} videos per class and seed {found['seed']}"
        raise ConfigError(f"{dst}: holds a set made with {made_with}; remove it, or choose another folder")
    return found["sha256"] is not None and found["sha256"] == _digest(dst, settings["videos_per_class"])


def _names(videos_per_class: int) -> Iterator[tuple[str, str, int, int]]:
    """Yield the class, path below UCF-101, group and clip of each video."""
    num_groups = min(25, max(4, videos_per_class // 2))
    for name, number in itertools.product(sorted(MOTIONS), range(videos_per_class)):
        group, clip = number % num_groups + 1, number // num_groups + 1
        yield name, f"{name}/v_{name}_g{group:02d}_c{clip:02d}.mp4", group, clip


def _digest(dst: Path, videos_per_class: int) -> str | None:
    """Return the SHA-256 over the set's files, None if one is missing."""
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
    """Write the lists in UCF101's official formats. In each fold about a quarter of the groups is the test set."""
    lines = {"classInd": [f"{label} {name}" for label, name in enumerate(names, 1)]}
    for fold in (1, 2, 3):
        lines[f"trainlist{fold:02d}"] = [f"{path} {label + 1}" for path, label, group in videos if group % 4 != fold]
        lines[f"testlist{fold:02d}"] = [path for path, _, group in videos if group % 4 == fold]
    for name, content in lines.items():
        disk.write_text(folder / f"{name}.txt", "\n".join(content) + "\n")
