"""What a run's folder says of the run, read again: its options and its result. Without torch."""

import json
from pathlib import Path
from typing import Any

import yaml

from rspnet.errors import CheckpointError
from rspnet.running.results import summary


def read_text(path: Path, remedy: str) -> str:
    """Return the text of a file that a run wrote.

    Args:
        path: the file.
        remedy: what to do if it cannot be used, for the message.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CheckpointError(f"{path}: cannot be read ({said}); {remedy}") from error


def read_options(path: Path, remedy: str) -> dict[str, Any]:
    """Return a run's options by section, as its config.yaml has them.

    Args:
        path: the file.
        remedy: as for `read_text`.

    Raises:
        CheckpointError: it cannot be read, or holds no options.
    """
    try:
        options = yaml.safe_load(read_text(path, remedy))
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise CheckpointError(f"{path}: does not tell the run's options ({said}); {remedy}") from error
    if not isinstance(options, dict):
        found = "nothing" if options is None else repr(options)[:60]
        raise CheckpointError(f"{path}: does not tell the run's options (found {found}); {remedy}")
    return options


def read_result(path: Path) -> dict[str, Any]:
    """Return the result of a run that is done.

    Args:
        path: its result.json.

    Raises:
        CheckpointError: it cannot be read, or holds no result.
    """
    remedy = "remove the file, and the same command makes it again"
    try:
        result: dict[str, Any] = json.loads(read_text(path, remedy))
        summary(result)  # said to the user, and no result if it cannot be
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: is no result of a run ({error!r}); {remedy}") from error
    return result
