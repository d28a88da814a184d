"""Check that tensors are finite: weights with NaN or infinite values are neither saved nor loaded."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from rspnet.errors import CheckpointError


def not_finite(contents: object) -> str:
    """Name the tensors with NaN or infinite values, or on the meta device, without any; each device is waited for once.

    Args:
        contents: Tensors in nested dicts, lists and tuples.

    Returns:
        The first two names and the number of the others; empty if there are none.
    """
    named = list(_floats(contents, ""))
    bad_places = list[int]()
    for device in {value.device for _, value in named}:
        places = [place for place, (_, value) in enumerate(named) if value.device == device]
        if device.type == "meta":  # shapes without values
            bad_places += places
            continue
        good = torch.stack([named[place][1].detach().isfinite().all() for place in places]).tolist()
        bad_places += [place for place, fine in zip(places, good, strict=True) if not fine]
    bad = [named[place][0] for place in sorted(bad_places)]
    return ", ".join(bad[:2]) + (f" and {len(bad) - 2} more" if len(bad) > 2 else "")


def check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    """Check that weights are finite, which those of a diverged training are not.

    Raises:
        CheckpointError: If some are NaN or infinite.
    """
    if bad := not_finite(tensors):
        raise CheckpointError(
            f"{path}: holds weights that are NaN, infinite or without values ({bad}); give another file"
        )


def _floats(contents: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a type that can be NaN or infinite, with its keys joined by dots."""
    if isinstance(contents, Tensor):
        if (contents.is_floating_point() or contents.is_complex()) and contents.layout is torch.strided:
            # torch has no isfinite for one-byte floating point.
            yield name, contents.float() if contents.element_size() == 1 else contents
    elif isinstance(contents, dict):
        for key, value in contents.items():
            yield from _floats(value, f"{name}.{key}" if name else str(key))
    elif isinstance(contents, list | tuple):
        for number, value in enumerate(contents):
            yield from _floats(value, f"{name}.{number}" if name else str(number))
