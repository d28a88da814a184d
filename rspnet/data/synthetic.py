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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rspnet import console, disk
from rspnet.errors import ConfigError
from rspnet.lock import locked
from rspnet.video.orientation import Pixels
from rspnet.video.writer import encode

NUM_FRAMES = 48
FPS = 25
SIDES = (64, 72, 80)  # pixels
_MARK = "synthetic.json"
_FOLDS = [*itertools.product(("train", "test"), (1, 2, 3))]
_MOST = 100_000  # videos of a class: fifteen gigabytes

Floats = npt.NDArray[np.floating[Any]]
Track = tuple[Floats, Floats, Floats]
"""x, y, radius of the object over time, each (T,), pixels."""

Motion = Callable[[np.random.Generator, int, int], Track]
"""How something moves: by a generator of random numbers, in a picture of a height and a width."""


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
        if not any(dst.iterdir()):
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
    for folder in ("ucfTrainTestlist", *(f"UCF-101/{name}" for name in names)):
        disk.make_folder(dst / folder, "remove what is there, or choose another folder")
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


def draw(motion: str, scene: np.random.Generator, course: np.random.Generator) -> Pixels:
    """One video, uint8 (T, H, W, 3).

    Args:
        motion: a key of `MOTIONS`.
        scene: draws the appearance.
        course: draws the course of the motion, and the camera's.
    """
    height, width = (int(side) for side in scene.choice(SIDES, 2))
    ground = _background(scene, height, width)
    paint = _painter(scene)
    x, y, radius = MOTIONS[motion](course, height, width)
    drift = course.uniform(-3, 3, 2)[:, None] * np.linspace(-0.5, 0.5, NUM_FRAMES)
    shake = _shake(course)

    frames = np.stack([
        ground[_MARGIN + dy : _MARGIN + dy + height, _MARGIN + dx : _MARGIN + dx + width] for dx, dy in -shake.T
    ])  # fmt: skip
    if scene.random() < 0.5:  # something that only stands there
        radius_there = scene.uniform(0.06, 0.1) * min(height, width)
        there = scene.uniform(0.15, 0.85, (2, 1)) * [[width], [height]] + shake
        _painter(scene)(frames, (*there, np.full(NUM_FRAMES, radius_there)))
    paint(frames, (x + drift[0] + shake[0], y + drift[1] + shake[1], radius))
    frames += scene.normal(0, 3, frames.shape[1:]).astype(np.float32)
    pictures: Pixels = np.clip(frames, 0, 255).round().astype(np.uint8)
    return 255 - pictures if scene.random() < 0.5 else pictures  # the negative: something dark on a brighter background


# How things move: along a path, at a pace. The random sizes, ways and places of the classes overlap on purpose.

_STILL = np.zeros(NUM_FRAMES)


def _track(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    x: Floats = _STILL,
    y: Floats = _STILL,
    grow: Floats = _STILL,
) -> Track:
    """Put a path of deviations (in shorter sides; growth as a logarithm) at a random place where it fits."""
    side = min(height, width)
    radius = side * 0.22 * np.exp(rng.uniform(-0.4, 0.4) + grow - (grow.max() + grow.min()) / 2)
    centred = []
    for path, length in ((x, width), (y, height)):
        path = side * (path - path.mean())  # the mean: a class that lingers at one end is not told by its place
        reach = min(np.abs(path).max() + radius.max() + 2, length / 2)
        centred.append(rng.uniform(reach, length - reach) + path)
    return *centred, radius


def _way(rng: np.random.Generator) -> float:
    """How far a motion along a line goes, in shorter sides."""
    return rng.uniform(0.55, 0.75)


def _either(rng: np.random.Generator) -> int:
    return int(rng.choice([-1, 1]))


def _bounce(rng: np.random.Generator, cycles: Floats, *, height: int, width: int) -> Track:
    return _track(rng, height, width, y=-rng.uniform(0.35, 0.5) * 4 * (cycles % 1) * (1 - cycles % 1))


def _circle(rng: np.random.Generator, cycles: Floats, *, height: int, width: int) -> Track:
    angle = _either(rng) * 2 * np.pi * cycles
    radius = rng.uniform(0.17, 0.28)
    return _track(rng, height, width, x=radius * np.cos(angle), y=radius * np.sin(angle))


def _pulse(rng: np.random.Generator, cycles: Floats, *, height: int, width: int) -> Track:
    return _track(rng, height, width, grow=rng.uniform(0.3, 0.45) * np.sin(2 * np.pi * cycles))


def _rise(rng: np.random.Generator, cycles: Floats, *, height: int, width: int) -> Track:
    return _track(rng, height, width, y=-_way(rng) * (cycles % 1))


def _slide(rng: np.random.Generator, cycles: Floats, *, height: int, width: int) -> Track:
    return _track(rng, height, width, x=_either(rng) * _way(rng) * (cycles % 1))


def _at_pace(path: Callable[..., Track], frames: tuple[float, float]) -> Motion:
    """Follow a path over and over, from a random moment of it, in so many frames a time."""

    def motion(rng: np.random.Generator, height: int, width: int) -> Track:
        cycles = np.arange(NUM_FRAMES) / rng.uniform(*frames) + rng.random()
        return path(rng, cycles, height=height, width=width)

    return motion


_PATHS = {"Bounce": _bounce, "Circle": _circle, "Pulse": _pulse, "Rise": _rise, "Slide": _slide}
_PACES = {"Fast": (12, 17), "Slow": (28, 40)}  # frames from the beginning to the beginning again

MOTIONS: dict[str, Motion] = {
    f"{pace}{name}": _at_pace(path, frames)
    for pace, frames in _PACES.items()
    for name, path in _PATHS.items()
}  # fmt: skip
"""Class -> how it moves: a function of a generator, height and width."""


# How things look.


def _shake(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The camera's unrest, whole pixels (2, T): x, y."""
    steps = rng.normal(0, 0.25, (2, NUM_FRAMES + 8)).cumsum(axis=1)
    smooth = steps[:, 8:] - (steps[:, 8:] + steps[:, :-8]) / 2
    whole: npt.NDArray[np.int64] = np.clip(smooth.round(), -_MARGIN, _MARGIN).astype(int)
    return whole


_MARGIN = 4  # pixels of background beyond the frame, for the shaking


def _background(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A picture (H + 2 margins, W + 2 margins, 3), float, 0 to 255."""
    y, x = np.mgrid[: height + 2 * _MARGIN, : width + 2 * _MARGIN].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x * np.cos(angle) + y * np.sin(angle)) / max(height, width)
    kind = rng.integers(3)
    if kind == 0:
        pattern = slope - slope.min()
    elif kind == 1:
        pattern = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(3, 8) * slope)
    else:
        pattern = _cloud(rng, *y.shape)
    low, high = sorted(rng.uniform(0.05, 0.4, 2))
    mixed: Floats = _colour(rng, low) + pattern[..., None] * (_colour(rng, high) - _colour(rng, low))
    return mixed.astype(np.float32)


def _cloud(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Smooth noise from 0 to 1: random points on a coarse grid with straight lines between."""
    cells = rng.integers(4, 9)
    grid = rng.random((cells, cells))
    rows, columns = np.linspace(0, cells - 1, height), np.linspace(0, cells - 1, width)
    lines = np.stack([np.interp(columns, range(cells), line) for line in grid])
    return np.stack([np.interp(rows, range(cells), line) for line in lines.T], axis=1)


def _colour(rng: np.random.Generator, brightness: float) -> Floats:
    """A random hue of about this brightness (0 to 1), RGB from 0 to 255."""
    colour: Floats = 255 * np.clip(brightness + rng.uniform(-0.2, 0.2, 3), 0, 1)
    return colour.astype(np.float32)


# Distance to the edge of a shape of radius 1, inside less than 0.
_SHAPES: tuple[Callable[[Floats, Floats], Floats], ...] = (
    lambda x, y: np.hypot(x, y) - 1,  # a disc
    lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.25,  # a ring
    lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85,  # a square
    lambda x, y: np.maximum(0.866 * np.abs(x) + 0.5 * y, -y) - 0.6,  # a triangle
    lambda x, y: np.maximum(np.maximum(np.abs(x), np.abs(y)) - 1, np.minimum(np.abs(x), np.abs(y)) - 0.35),  # a cross
    lambda x, y: 0.8 * (np.hypot(x, y) - 0.75 - 0.3 * np.cos(5 * np.arctan2(y, x))),  # a star
)


def _painter(rng: np.random.Generator) -> Callable[[Floats, Track], None]:
    """A random object; the function paints it, anti-aliased, into frames (T, H, W, 3) along a track."""
    shape = _SHAPES[rng.integers(len(_SHAPES))]
    turn = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    stripes = np.float32(rng.choice([0.0, 2.5, 4.0]))  # radians per radius; 0 is plain
    level = rng.uniform(0.7, 0.95)
    first, second = _colour(rng, level), _colour(rng, level)

    def paint(frames: Floats, track: Track) -> None:
        x, y, radius = track
        reach = radius.max() + 2
        rows = slice(max(0, int(y.min() - reach)), int(y.max() + reach) + 1)
        columns = slice(max(0, int(x.min() - reach)), int(x.max() + reach) + 1)
        part = frames[:, rows, columns]
        x, y, size = (track.astype(np.float32)[:, None, None] for track in (x - columns.start, y - rows.start, radius))
        dx = (np.arange(part.shape[2], dtype=np.float32) - x) / size
        dy = (np.arange(part.shape[1], dtype=np.float32)[:, None] - y) / size
        u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
        cover = np.clip(0.5 - shape(u, v) * size, 0, 1)[..., None]
        mix = np.clip(0.5 + 2 * np.sin(stripes * u), 0, 1)[..., None]
        part += cover * (first + mix * (second - first) - part)

    return paint
