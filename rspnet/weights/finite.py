"""Whether tensors hold numbers: what is NaN or infinite is neither kept nor taken."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from rspnet.errors import CheckpointError


def not_finite(contents: object) -> str:
    """Name the tensors with a value that is no finite number; with a single wait for each device.

    Args:
        contents: Tensors, in dicts, lists and tuples in one another.

    Returns:
        The first names and how many more there are; empty if there is none.
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
    """See that weights are numbers: those of a training that came apart are not.

    Raises:
        CheckpointError: Some are NaN or infinite.
    """
    if bad := not_finite(tensors):
        raise CheckpointError(f"{path}: holds weights that are no numbers, NaN or infinite ({bad}); give another file")


def _floats(contents: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a kind that could hold something else, by the names that lead to it, with dots."""
    if isinstance(contents, Tensor):
        if (contents.is_floating_point() or contents.is_complex()) and contents.layout is torch.strided:
            # Of those of one byte torch does not say it.
            yield name, contents.float() if contents.element_size() == 1 else contents
    elif isinstance(contents, dict):
        for key, value in contents.items():
            yield from _floats(value, f"{name}.{key}" if name else str(key))
    elif isinstance(contents, list | tuple):
        for number, value in enumerate(contents):
            yield from _floats(value, f"{name}.{number}" if name else str(number))
