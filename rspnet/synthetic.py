"""A small set of real video files whose classes are motions: the demo's data, and something to try the stages on.

    python -m rspnet.synthetic DST [--groups 10] [--clips 4] [--seed 0]

One textured shape moves over a textured background, filmed by an unsteady camera. The class is how it moves; no single
picture tells it, and neither does a mirror image turn one class into another. Shape, colours, size, place, tempo and
background vary, so that they tell nothing. The files lie as UCF101's do: CLASS/v_CLASS_gGG_cCC.mp4, official lists with
three folds; clips of one group share shape and background, and never straddle training and test.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rspnet.encode import encode

FPS = 25.0

Path2D = tuple[np.ndarray, np.ndarray, np.ndarray]
"""x and y of the shape's centre (in units of the picture's side, from its middle) and its relative size, per frame."""


def _there_and_back(u: np.ndarray, ease: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """From -1 to 1 and back in one period of u, each way along `ease`."""
    leg, way = np.modf(2 * u)
    return np.where(way % 2 == 0, 2 * ease(leg) - 1, 1 - 2 * ease(leg))


# Each takes the phase u (periods gone by, per frame) and a sign drawn per video.
MOTIONS: dict[str, Callable[[np.ndarray, float], Path2D]] = {
    "Accelerate": lambda u, s: (0.3 * s * _there_and_back(u, lambda leg: leg**3), 0 * u, 1 + 0 * u),
    "Bounce": lambda u, s: (0 * u, 0.3 - 0.6 * np.abs(np.sin(np.pi * u)), 1 + 0 * u),
    "Brake": lambda u, s: (0.3 * s * _there_and_back(u, lambda leg: 1 - (1 - leg) ** 3), 0 * u, 1 + 0 * u),
    "Circle": lambda u, s: (0.25 * np.cos(2 * np.pi * u), 0.25 * s * np.sin(2 * np.pi * u), 1 + 0 * u),
    "Fall": lambda u, s: (0 * u, 1.3 * (u % 1) - 0.65, 1 + 0 * u),
    "Grow": lambda u, s: (0 * u, 0 * u, 0.5 + 1.3 * (u % 1)),
    "Pulse": lambda u, s: (0 * u, 0 * u, 1.15 + 0.65 * np.sin(2 * np.pi * u)),
    "Rise": lambda u, s: (0 * u, 0.65 - 1.3 * (u % 1), 1 + 0 * u),
    "Shrink": lambda u, s: (0 * u, 0 * u, 1.8 - 1.3 * (u % 1)),
    "Slide": lambda u, s: (s * (1.3 * (u % 1) - 0.65), 0 * u, 1 + 0 * u),
    "Swing": lambda u, s: (0.3 * s * np.sin(2 * np.pi * u), 0 * u, 1 + 0 * u),
    "Tremble": lambda u, s: (0.07 * np.sin(6 * np.pi * u), 0.07 * np.sin(10 * np.pi * u + s), 1 + 0 * u),
}
PERIODS = {"Accelerate": 1.4, "Bounce": 0.8, "Brake": 1.4, "Grow": 1.2, "Shrink": 1.2, "Swing": 1.1}
"""Length of a period relative to the others', so that the typical shift per frame is alike."""


def render(
    motion: str, looks: np.random.Generator, moves: np.random.Generator, num_frames: int, side: int
) -> np.ndarray:
    """Film one shape.

    Args:
        motion: one of `MOTIONS`.
        looks: draws shape, texture and background.
        moves: draws tempo, phase, place, size, camera.
        num_frames: length, frames.
        side: height and width, pixels.

    Returns:
        uint8 (num_frames, side, side, 3).
    """
    t = np.arange(num_frames)
    period = PERIODS.get(motion, 1.0) * moves.uniform(20, 32)
    x, y, size = MOTIONS[motion](t / period + moves.random(), moves.choice([-1.0, 1.0]))
    place = moves.uniform(-0.1, 0.1, 2)
    # The camera drifts, as a slow random walk does.
    camera = np.cumsum(moves.normal(0, 0.0025, (num_frames, 2)), axis=0)
    radius = moves.uniform(0.11, 0.16) * size * side
    centre_x = (0.5 + x + place[0] * (motion not in ("Slide",)) + camera[:, 0]) * side
    centre_y = (0.5 + y + place[1] * (motion not in ("Rise", "Fall")) + camera[:, 1]) * side

    rows, columns = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5, indexing="ij")
    world = np.stack([rows - camera[:, 1, None, None] * side, columns - camera[:, 0, None, None] * side]) / side
    picture = _texture(looks, world, contrast=looks.uniform(0.15, 0.35))
    down, right = rows - centre_y[:, None, None], columns - centre_x[:, None, None]
    outline = _outline(looks, np.arctan2(down, right) + looks.uniform(0, 2 * np.pi))
    distance = radius[:, None, None] * outline - np.hypot(down, right)
    alpha = np.clip(distance + 0.5, 0, 1)[..., None]  # one pixel of softness instead of stairs
    if looks.random() < 0.3:  # a ring
        alpha *= np.clip(0.5 - distance + 0.55 * radius[:, None, None], 0, 1)[..., None]
    inside = np.stack([down, right]) / radius[:, None, None]
    shape = _texture(looks, 0.35 * inside, contrast=looks.uniform(0.1, 0.4))
    light = moves.uniform(0.85, 1.1)
    return (255 * np.clip(light * (alpha * shape + (1 - alpha) * picture), 0, 1)).astype(np.uint8)


def _texture(rng: np.random.Generator, place: np.ndarray, contrast: float) -> np.ndarray:
    """A colour with a few waves of another across it; place (2, ...) to (..., 3)."""
    waves = 0
    for _ in range(3):
        angle, frequency = rng.uniform(0, 2 * np.pi), rng.uniform(2, 22)
        waves = waves + np.sin(
            frequency * (np.cos(angle) * place[0] + np.sin(angle) * place[1]) + rng.uniform(0, 2 * np.pi)
        )
    return rng.uniform(0.1, 0.9, 3) + contrast * (waves / 2)[..., None] * rng.uniform(-1, 1, 3)


def _outline(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    """Distance of the border from the centre by direction: a disc, polygon or star."""
    kind, corners = rng.integers(3), int(rng.integers(3, 6))
    if kind == 0:
        return np.ones_like(angle)
    if kind == 1:
        sector = 2 * np.pi / corners
        return 1.1 * np.cos(sector / 2) / np.cos(angle % sector - sector / 2)
    return 1 + 0.35 * np.cos(corners * angle)


def make_dataset(
    dst: Path, groups: int = 10, clips: int = 4, seed: int = 0, num_frames: int = 48, side: int = 64
) -> list[Path]:
    """Write the videos and the lists; the same arguments give the same files.

    Args:
        dst: folder to make.
        groups: appearances per class; every third or so is for testing, a different third in each fold.
        clips: videos per class and group.
        seed: of every draw.
        num_frames: length of a video, frames (at 25 a second).
        side: height and width, pixels.

    Returns:
        The video files.
    """
    lists = dst / "ucfTrainTestlist"
    lists.mkdir(parents=True, exist_ok=True)
    written, splits = [], {(fold, kind): [] for fold in (1, 2, 3) for kind in ("train", "test")}
    for number, motion in enumerate(MOTIONS, 1):
        (dst / "UCF-101" / motion).mkdir(parents=True, exist_ok=True)
        for group in range(1, groups + 1):
            for clip in range(1, clips + 1):
                video = f"{motion}/v_{motion}_g{group:02d}_c{clip:02d}"
                for fold in (1, 2, 3):
                    testing = group % 3 == fold % 3
                    line = f"{video}.avi" if testing else f"{video}.avi {number}"
                    splits[fold, "test" if testing else "train"].append(line)
                path = dst / "UCF-101" / f"{video}.mp4"
                written.append(path)
                if not path.exists():
                    looks = np.random.default_rng([seed, number, group])
                    moves = np.random.default_rng([seed, number, group, clip])
                    encode(path, render(motion, looks, moves, num_frames, side), FPS, preset="veryfast")
    (lists / "classInd.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(MOTIONS, 1)))
    for (fold, kind), lines in splits.items():
        (lists / f"{kind}list{fold:02d}.txt").write_text("".join(line + "\n" for line in lines))
    return written


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dst", type=Path, help="folder to make")
    parser.add_argument("--groups", type=int, default=10, help="appearances per class (default 10)")
    parser.add_argument("--clips", type=int, default=4, help="videos per class and appearance (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default 0)")
    options = parser.parse_args()
    videos = make_dataset(options.dst, options.groups, options.clips, options.seed)
    print(f"{options.dst}: {len(videos)} videos of {len(MOTIONS)} motions")


if __name__ == "__main__":
    main()
