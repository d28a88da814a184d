"""Checks against weight files that are silently damaged, or that would take far more memory than they hold.

torch verifies no checksums, decompresses what it is given, and keeps views, so that a few bytes can stand for any
number of values.
"""

import zipfile
from pathlib import Path

import torch
from torch import Tensor

from rspnet.errors import CheckpointError

_TIMES = 16
"""Tensors may take this many times the size of their file: they may share memory, as both encoders of a pretraining."""

_SMALL = 2e9
"""Bytes that tensors may take whatever the size of their file."""

_NUMBERS = 500
"""A network of width W has more values than this times W squared; s3d, the smallest, has 1900 times that."""

_USUAL = 128
"""Up to this width a network is small enough to be built without that check."""


def check_archive(path: Path) -> None:
    """Check a file that torch saved against the checksums in it, and that it is neither a program nor compressed.

    Files older than torch's zip format have no checksums, and some writers leave them out.

    Raises:
        CheckpointError: If it is TorchScript, or if a part is damaged, or compressed, which torch does to code alone.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(f"{path}: is a TorchScript program; save its state dict and give that")
            for part in archive.infolist():
                if part.compress_type != zipfile.ZIP_STORED:
                    raise CheckpointError(f"{path}: is compressed inside, which torch never does; save it again")
                if part.CRC:
                    with archive.open(part) as file:
                        while file.read(1 << 20):
                            pass
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); download or copy it again") from None


def check_sizes(path: Path, tensors: dict[str, Tensor]) -> None:
    """Check that tensors are not much larger than the file that holds them.

    Raises:
        CheckpointError: If they are, because they are views that repeat a few values.
    """
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    if size > max(_SMALL, _TIMES * path.stat().st_size):
        raise CheckpointError(
            f"{path}: its tensors would take {size / 1e9:.3g} GB, far more than the file holds; save them in full, not "
            "as views that repeat a few values"
        )


def check_network(path: Path, entries: dict[str, Tensor], width: int) -> None:
    """Check that a network's entries are dense floating point, with as many values as a network of that width has.

    torch would copy integers, such as quantised weights, into the network as if they were the weights themselves.

    Raises:
        CheckpointError: If they are not.
    """
    for name, value in entries.items():
        if value.layout is not torch.strided or value.is_nested:
            raise CheckpointError(f"{path}: {name} is sparse; save it dense")
        if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"{path}: {name} is {kind}, not floating point; save the weights as floating point")
    if width > _USUAL and _NUMBERS * width**2 > sum(value.numel() for value in entries.values()):
        raise CheckpointError(f"{path}: its entries are of different widths ({width}, others less); give another file")
