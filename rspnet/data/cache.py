"""A cache of tables as Arrow files, which all processes of a machine memory-map, so that rows are in memory once.

A file's name ends in the SHA-256 of its bytes, so a file damaged by a failing disk or a killed process is noticed and
made again.
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
"""Number of files that the cache keeps; more stay if they were used during the last day."""

_DAY = 24 * 3600.0

_log = logging.getLogger(__name__)


def cached(key: str, folder: str | os.PathLike[str] | None) -> "Dataset | None":
    """Return the table stored under a key, or None if there is none or it is damaged.

    Args:
        key: hexadecimal digits.
        folder: of the cache; None takes ``rspnet`` in the Hugging Face datasets cache.
    """
    from datasets import Dataset

    for path in cache_folder(folder).glob(f"{key}-*.arrow"):
        with suppress(OSError, pa.ArrowInvalid):  # no permission to read it, or to remove it
            if path.stem == f"{key}-{sha256(path)}":
                dataset = Dataset.from_file(str(path))
                with suppress(OSError):
                    os.utime(path)
                return dataset
            path.unlink()
    return None


def keep(table: pa.Table, key: str | None, folder: str | os.PathLike[str] | None) -> "Dataset":
    """Write a table to the cache and memory-map it; if several processes do so at once, the last one wins.

    If the cache cannot be written to, warn and return the table in memory.

    Args:
        table: in the schema of a Dataset.
        key: as for `cached`; None names the file only after its content.
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
    except RSPNetError as error:  # only a cache: go on without it
        said = str(error).rpartition(";")[0]
        _log.warning("the index stays in memory: %s; choose another place with HF_DATASETS_CACHE or HF_HOME", said)
        return Dataset(table)


def _bound(folder: Path) -> None:
    """Remove the files unused for longest; a process that has mapped one can still read it."""
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
    """Return the folder of the cache; None stands for ``rspnet`` in the Hugging Face datasets cache."""
    from datasets import config

    return Path(folder or Path(config.HF_DATASETS_CACHE) / "rspnet")
