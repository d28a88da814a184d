"""Bounds of the numbers in options: values that no machine could ever handle are refused before anything begins.

Each bound is far beyond any use. Whether this machine can handle a value below its bound shows later, when it is used.
"""

import math
from collections.abc import Sequence

from rspnet.errors import ConfigError

PROCESSES = 4096
"""Processes on a machine."""
SECONDS = 10_000_000
"""Seconds for one video: four months."""
STEPS = 1_000_000_000
"""Training steps from one event to the next; also frames, and whatever is only counted."""
EPOCHS = 1_000_000
"""Epochs of a training."""
VIDEOS = 1_000_000
"""Videos in a batch."""
FRAMES, STRIDE, SIDE, VIEWS = 10_000, 100_000, 8192, 10_000
"""Frames of a clip, frames from one of them to the next, pixels of its height, and clips of a video."""
SPEED = 1000
"""Playback rate."""
CHANNELS = 10_000
"""Channels of a network's first layer."""
DIMENSIONS, NEGATIVES = 100_000, 100_000_000
"""Dimensions of an embedding, and embeddings in a queue."""
FACTOR = 1_000_000
"""Factor of a loss, a gradient or a similarity."""
PIXELS = 2**30
"""Pixels of a picture in a video."""
GIGABYTES = 10_000_000
"""Gigabytes on a disk."""
SYNTHETIC = 100_000
"""Synthetic videos of a class: fifteen gigabytes."""
SEED = 2**63 - 1
"""Largest seed that random generators accept."""


def within(section: object, low: float, high: float, *names: str) -> None:
    """Refuse options that are not between `low` and `high`; of a list each number is checked, None is allowed.

    Args:
        section: a section of options, or a stage's own.
        low: smallest allowed number.
        high: largest allowed number; infinity itself is never allowed.
        names: names of the options to check.

    Raises:
        ConfigError: a number is outside.
    """
    for name in names:
        value = getattr(section, name)
        for number in value if isinstance(value, Sequence) else () if value is None else (value,):
            if not low <= number <= high or number == math.inf:
                raise ConfigError(f"{_prefix(section)}{name}: {value}; it must be between {low} and {high}")


def positive(section: object, high: float, *names: str) -> None:
    """Refuse options that are not more than 0, or are beyond `high`; None is allowed.

    Raises:
        ConfigError: a number is outside.
    """
    for name in names:
        value = getattr(section, name)
        if value is not None and not 0 < value <= high:
            raise ConfigError(f"{_prefix(section)}{name}: {value}; it must be more than 0 and at most {high}")


def _prefix(section: object) -> str:
    """Return the prefix of a section's options: its base class's name, because subclasses keep it; none for a stage."""
    name = type(section).__mro__[-2].__name__.lower()
    return "" if name == "config" else f"{name}."
