"""Read the options and the result of a run from its folder. Without torch."""

import json
from pathlib import Path
from typing import Any

import yaml

from rspnet.cli.strict_yaml import read_yaml
from rspnet.disk import in_words
from rspnet.errors import CheckpointError
from rspnet.running.results import summary

FREE = (
    "data.num_workers",
    "data.max_failures",
    "data.time_limit",
    "data.max_pixels",
    "data.cache_gb",
    "run.compile",
    "run.log_every",
    "run.checkpoint_every",
    "run.keep_epochs",
    "run.trackers",
    *("monitor.data", "monitor.every", "monitor.fold", "monitor.views", "monitor.batch"),
    "estimate",
    "run_dir",
)
"""Options that may differ when a run goes on: they do not change what it computes."""

FREE_IN_PRETRAINING = (*FREE, "run.micro_batches")
"""The same for a pretraining, where parts of a step are whole batch-norm groups; in fine-tuning each part is one."""


def read_text(path: Path, remedy: str) -> str:
    """Return the text of a file that a run wrote.

    Args:
        path: the file.
        remedy: what to do if it cannot be used, for the message.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            raise CheckpointError(f"{path}: is not a file; {remedy}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CheckpointError(f"{path}: cannot be read ({said}); {remedy}") from error


def read_options(path: Path, remedy: str) -> dict[str, Any]:
    """Return a run's options by section, as in its config.yaml.

    Args:
        path: the file.
        remedy: as for `read_text`.

    Raises:
        CheckpointError: it cannot be read, or holds no options.
    """
    try:
        options = read_yaml(read_text(path, remedy))
        if isinstance(options, dict):
            flat(options)
    except CheckpointError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # e.g. an impossible date; nested too deep
        said = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: does not tell the run's options ({said}); {remedy}") from error
    if not isinstance(options, dict):
        found = "nothing" if options is None else repr(options)[:60]
        raise CheckpointError(f"{path}: does not tell the run's options (found {found}); {remedy}")
    return options


def flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return options by their flat names, such as `clips.size`.

    Raises:
        RecursionError: they are nested too deep.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def stage_of(options: dict[str, Any]) -> str | None:
    """Return the stage of these options, nested or flat, by an option that only it has; None if it makes no runs."""
    names = flat(options)
    own = {"pretext.speeds": "pretrain", "frozen": "finetune", "protocol": "evaluate"}
    return next((stage for name, stage in own.items() if name in names), None)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def read_result(path: Path) -> dict[str, Any]:
    """Return the result of a finished run.

    Args:
        path: its result.json.

    Raises:
        CheckpointError: it cannot be read, or holds no result.
    """
    try:
        result: dict[str, Any] = json.loads(
            read_text(path, "it should hold the run's result"), parse_constant=_no_number
        )
        summary(result)  # shown to the user; what cannot be summarised is no result
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no result of a run ({in_words(error)})") from error
    return result
