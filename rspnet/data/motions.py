"""Frames of one moving object, from which the videos of a synthetic set are made; each class is a motion.

Motion and appearance are drawn from separate random generators; the pixels depend on nothing else.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rspnet.video.orientation import Pixels

NUM_FRAMES = 48
SIDES = (64, 72, 80)  # pixels

Floats = npt.NDArray[np.floating[Any]]
Track = tuple[Floats, Floats, Floats]
"""x, y, radius of the object over time, each (T,), pixels."""

Motion = Callable[[np.random.Generator, int, int], Track]
"""Draws a track, given a random generator and the frame's height and width in pixels."""


def draw(motion: str, scene: np.random.Generator, course: np.random.Generator) -> Pixels:
    """Return one video, uint8 (T, H, W, 3).

    Args:
        motion: a key of `MOTIONS`.
        scene: draws the appearance.
        course: draws the course of the motion and of the camera.
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
    if scene.random() < 0.5:  # a still distractor
        radius_there = scene.uniform(0.06, 0.1) * min(height, width)
        there = scene.uniform(0.15, 0.85, (2, 1)) * [[width], [height]] + shake
        _painter(scene)(frames, (*there, np.full(NUM_FRAMES, radius_there)))
    paint(frames, (x + drift[0] + shake[0], y + drift[1] + shake[1], radius))
    frames += scene.normal(0, 3, frames.shape[1:]).astype(np.float32)
    pictures: Pixels = np.clip(frames, 0, 255).round().astype(np.uint8)
    return 255 - pictures if scene.random() < 0.5 else pictures  # the negative: a dark object on a brighter background


# Motion: along a path, at a pace. The random sizes, distances and places of the classes overlap on purpose.

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
    """Place a path of deviations (in units of the shorter side; growth as a logarithm) at random where it fits."""
    side = min(height, width)
    radius = side * 0.22 * np.exp(rng.uniform(-0.4, 0.4) + grow - (grow.max() + grow.min()) / 2)
    centred = []
    for path, length in ((x, width), (y, height)):
        path = side * (path - path.mean())  # its mean, so that the place does not give away a class that lingers
        reach = min(np.abs(path).max() + radius.max() + 2, length / 2)
        centred.append(rng.uniform(reach, length - reach) + path)
    return *centred, radius


def _way(rng: np.random.Generator) -> float:
    """Draw the distance of a motion along a line, in units of the shorter side."""
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
    """Repeat a path from a random phase, with a period drawn from this range of frames."""

    def motion(rng: np.random.Generator, height: int, width: int) -> Track:
        cycles = np.arange(NUM_FRAMES) / rng.uniform(*frames) + rng.random()
        return path(rng, cycles, height=height, width=width)

    return motion


_PATHS = {"Bounce": _bounce, "Circle": _circle, "Pulse": _pulse, "Rise": _rise, "Slide": _slide}
_PACES = {"Fast": (12, 17), "Slow": (28, 40)}  # range of the period, frames

MOTIONS: dict[str, Motion] = {
    f"{pace}{name}": _at_pace(path, frames)
    for pace, frames in _PACES.items()
    for name, path in _PATHS.items()
}  # fmt: skip
"""Class -> its motion."""


# Appearance.


def _shake(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the shaking of the camera, whole pixels (2, T): x, y."""
    steps = rng.normal(0, 0.25, (2, NUM_FRAMES + 8)).cumsum(axis=1)
    smooth = steps[:, 8:] - (steps[:, 8:] + steps[:, :-8]) / 2
    whole: npt.NDArray[np.int64] = np.clip(smooth.round(), -_MARGIN, _MARGIN).astype(int)
    return whole


_MARGIN = 4  # pixels of background beyond the frame, for the shaking


def _background(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Draw a background (H + 2 margins, W + 2 margins, 3), float32, mostly from 0 to 255."""
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
    """Draw smooth noise from 0 to 1 (H, W): random values on a coarse grid, interpolated linearly."""
    cells = rng.integers(4, 9)
    grid = rng.random((cells, cells))
    rows, columns = np.linspace(0, cells - 1, height), np.linspace(0, cells - 1, width)
    lines = np.stack([np.interp(columns, range(cells), line) for line in grid])
    return np.stack([np.interp(rows, range(cells), line) for line in lines.T], axis=1)


def _colour(rng: np.random.Generator, brightness: float) -> Floats:
    """Draw a random hue of about this brightness (0 to 1), RGB from 0 to 255."""
    colour: Floats = 255 * np.clip(brightness + rng.uniform(-0.2, 0.2, 3), 0, 1)
    return colour.astype(np.float32)


# Distance to the edge of a shape of radius 1, negative inside.
_SHAPES: tuple[Callable[[Floats, Floats], Floats], ...] = (
    lambda x, y: np.hypot(x, y) - 1,  # a disc
    lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.25,  # a ring
    lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85,  # a square
    lambda x, y: np.maximum(0.866 * np.abs(x) + 0.5 * y, -y) - 0.6,  # a triangle
    lambda x, y: np.maximum(np.maximum(np.abs(x), np.abs(y)) - 1, np.minimum(np.abs(x), np.abs(y)) - 0.35),  # a cross
    lambda x, y: 0.8 * (np.hypot(x, y) - 0.75 - 0.3 * np.cos(5 * np.arctan2(y, x))),  # a star
)


def _painter(rng: np.random.Generator) -> Callable[[Floats, Track], None]:
    """Draw a random object; return a function that paints it, anti-aliased, into frames (T, H, W, 3) along a track."""
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
