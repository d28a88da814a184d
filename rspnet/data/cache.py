"""Tables as files that all processes of a machine map, so that their rows are in memory once.

A file's name ends in the SHA-256 of its bytes: one that a failing disk or an abrupt end changed is not believed, and is
made anew.
"""

import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from rspnet.disk import sha256, whole
from rspnet.errors import RSPNetError
from rspnet.temporary import sweep

if TYPE_CHECKING:
    from datasets import Dataset

MOST = 32
"""Files that the cache keeps, beside those of the last day."""

_DAY = 24 * 3600.0

_log = logging.getLogger(__name__)


def cached(key: str, folder: str | os.PathLike[str] | None) -> "Dataset | None":
    """The table that was kept under a key; None if there is none, or a damaged one.

    Args:
        key: hexadecimal digits.
        folder: of the cache; ``rspnet`` in the Hugging Face datasets cache when None.
    """
    from datasets import Dataset

    for path in cache_folder(folder).glob(f"{key}-*.arrow"):
        with suppress(OSError, pa.ArrowInvalid):  # not for us to read, or not to write
            if path.stem == f"{key}-{sha256(path)}":
                dataset = Dataset.from_file(str(path))
                with suppress(OSError):
                    os.utime(path)
                return dataset
            path.unlink()
    return None


def keep(table: pa.Table, key: str | None, folder: str | os.PathLike[str] | None) -> "Dataset":
    """Write a table to the cache, and map it; processes may race, the last one wins.

    Args:
        table: in the schema of a Dataset.
        key: as for `cached`; None: its content.
        folder: as for `cached`.
    """
    from datasets import Dataset

    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, table.schema) as writer:
        writer.write_table(table)
    buffer = content.getvalue()
    digest = hashlib.sha256(buffer).hexdigest()
    place = cache_folder(folder)
    path = place / f"{key or 'rows'}-{digest}.arrow"
    try:
        with whole(path) as part:
            part.write_bytes(buffer)
        _bound(place)
        return Dataset.from_file(str(path))
    except RSPNetError as error:  # it is only a cache
        said = str(error).rpartition(";")[0]
        _log.warning("the index stays in memory: %s; HF_DATASETS_CACHE or HF_HOME names another place", said)
        return Dataset(table)


def _bound(folder: Path) -> None:
    """Remove what nobody has used for long; who has mapped a file keeps it all the same."""
    sweep(folder)
    files = []
    for path in folder.glob("*.arrow"):
        with suppress(OSError):
            files.append((path.stat().st_mtime, path))
    for used, path in sorted(files, reverse=True)[MOST:]:
        if time.time() - used > _DAY:
            with suppress(OSError):
                path.unlink()


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the cache, ``rspnet`` in the Hugging Face datasets cache when None."""
    from datasets import config

    return Path(folder or Path(config.HF_DATASETS_CACHE) / "rspnet")
