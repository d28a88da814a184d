"""What weight files could do to their reader: pass damage on in silence, or ask for memory that they do not fill.

torch compares no checksums, inflates what it is given, and keeps views: a few bytes stand for any number of values.
"""

import zipfile
from pathlib import Path

import torch
from torch import Tensor

from rspnet.errors import CheckpointError

_TIMES = 16
"""How often a file's tensors may share what it holds: both encoders of a pretraining may be one."""

_SMALL = 2e9
"""Bytes that any process which reads weights can take."""

_NUMBERS = 500
"""A network of width W has more than this times W squared; s3d, the smallest, has 1900."""

_USUAL = 128
"""Widths up to this one take no memory that matters."""


def check_archive(path: Path) -> None:
    """See that what torch saved is as it was written, by the checksums in it, and is stored as it is.

    Files older than the zip format have no checksums, and some writers leave them out.

    Raises:
        CheckpointError: A part is damaged, or compressed, as torch never does it.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                if part.compress_type != zipfile.ZIP_STORED:
                    raise CheckpointError(f"{path}: is compressed inside, as torch saves nothing; save it anew")
                if part.CRC:
                    with archive.open(part) as file:
                        while file.read(1 << 20):
                            pass
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); download or copy it again") from None


def check_sizes(path: Path, tensors: dict[str, Tensor]) -> None:
    """See that tensors are not much larger than the file that holds them.

    Raises:
        CheckpointError: They are views that repeat what is there.
    """
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    if size > max(_SMALL, _TIMES * path.stat().st_size):
        raise CheckpointError(
            f"{path}: its tensors would take {size / 1e9:.3g} GB, and it has not so much in it; save them as they are, "
            "not as views that repeat a few values"
        )


def check_network(path: Path, entries: dict[str, Tensor], width: int) -> None:
    """See that a network's entries are numbers as it computes with, and as many as a network of that width has.

    torch would copy whole numbers, as quantised weights are, into the network as if they were the weights themselves.

    Raises:
        CheckpointError: They are not.
    """
    for name, value in entries.items():
        if value.layout is not torch.strided or value.is_nested:
            raise CheckpointError(f"{path}: {name} is sparse; save it dense")
        if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"{path}: {name} is {kind}, no real numbers; save the weights as floating point")
    if width > _USUAL and _NUMBERS * width**2 > sum(value.numel() for value in entries.values()):
        raise CheckpointError(f"{path}: its entries are of different widths ({width}, others less); give another file")
