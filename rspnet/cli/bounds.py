"""How large a number in an option may be: what no disk, memory or life would hold is refused before anything begins.

Each bound is far beyond every use; below them it is seen later, by what there is, whether a machine can do it.
"""

import math
from collections.abc import Sequence

from rspnet.errors import ConfigError

PROCESSES = 4096
"""That work side by side on a machine."""
SECONDS = 10_000_000
"""That one video may take: four months."""
STEPS = 1_000_000_000
"""Of training from one event to the next; also frames, and whatever is only counted."""
EPOCHS = 1_000_000
"""Of a training."""
VIDEOS = 1_000_000
"""In a batch."""
FRAMES, STRIDE, SIDE, VIEWS = 10_000, 100_000, 8192, 10_000
"""Of a clip, between its frames, pixels of its height, clips of a video."""
SPEED = 1000
"""Rate of playback."""
CHANNELS = 10_000
"""Of a network's first layer."""
DIMENSIONS, NEGATIVES = 100_000, 100_000_000
"""Of an embedding, and embeddings in a queue."""
FACTOR = 1_000_000
"""Of a loss, a gradient, a similarity."""
PIXELS = 2**30
"""Of a picture in a video."""
GIGABYTES = 10_000_000
"""On a disk."""
SYNTHETIC = 100_000
"""Synthetic videos of a class: fifteen gigabytes."""
SEED = 2**63 - 1
"""What random generators take."""


def within(section: object, low: float, high: float, *names: str) -> None:
    """Refuse a number, or a list with a number, outside of low to high; None is no number.

    Args:
        section: the options.
        low: smallest number.
        high: largest number.
        names: the options that are looked at.

    Raises:
        ConfigError: one is outside.
    """
    for name in names:
        value = getattr(section, name)
        for number in value if isinstance(value, Sequence) else () if value is None else (value,):
            if not low <= number <= high or number == math.inf:
                raise ConfigError(f"{_prefix(section)}{name}: {value}; it must be between {low} and {high}")


def positive(section: object, high: float, *names: str) -> None:
    """Refuse a number that is not more than 0, or beyond `high`; None is no number.

    Raises:
        ConfigError: one is.
    """
    for name in names:
        value = getattr(section, name)
        if value is not None and not 0 < value <= high:
            raise ConfigError(f"{_prefix(section)}{name}: {value}; it must be more than 0 and at most {high}")


def _prefix(section: object) -> str:
    """As the stages' options call it; a section that adds to another keeps its name, those of a stage have none."""
    name = type(section).__mro__[-2].__name__.lower()
    return "" if name == "config" else f"{name}."
