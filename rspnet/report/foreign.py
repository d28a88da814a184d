"""Checks that features given by --features belong to the run under whose name they are shown."""

from os.path import basename
from typing import TYPE_CHECKING, Any

from rspnet.data.index import columns
from rspnet.disk import reading, sha256
from rspnet.errors import ConfigError

if TYPE_CHECKING:
    from rspnet.report.record import Record

_WEIGHTS = "encoder.safetensors"


def check_features(record: "Record", path: str) -> None:
    """Check that features given by --features are of a run's videos and network, as far as its folder names these.

    Args:
        record: The run, with these features.
        path: File or folder of the features.

    Raises:
        ConfigError: The features are of other weights, or none of their videos is in the run's index by name.
    """
    assert record.features is not None
    own, made = _weights_of(record), record.features.made
    if own is not None and own != _identity(made):
        raise ConfigError(
            f"--features: {path} holds features of other weights ({made.get('weights')}) than "
            f"{record.run_dir}; make them with stages/extract.py --weights {_network_of(record)}"
        )
    if record.index is None:
        return
    known = columns(record.index, ["video"])["video"].to_pylist()
    named = record.features.rows["video"].to_pylist()
    if named and not {basename(name) for name in known} & {basename(name) for name in named}:
        raise ConfigError(
            f"--features: {path} has features of {named[0]} and others, but of no video of {record.run_dir}; "
            "make them of its videos"
        )


def _identity(facts: dict[str, Any]) -> object:
    """Return the hash of weights, or the seed that fresh ones were drawn with."""
    return facts.get("weights_sha256") or facts.get("seed") or 0


def _weights_of(record: "Record") -> object:
    """Return the identity of the weights that an evaluation measured, or that a training wrote; None if not known."""
    if record.stage == "evaluate":
        sources = record.environment.get("sources")
        known: dict[str, Any] = (sources if isinstance(sources, dict) else {}) | (record.result or {})
        return _identity(known) if "weights_sha256" in known else None
    path = record.run_dir / _WEIGHTS
    with reading(path):
        return sha256(path) if path.is_file() else None


def _network_of(record: "Record") -> object:
    if record.stage != "evaluate":
        return record.run_dir
    weights = (record.result or {}).get("weights", "that")
    return f"{weights} --run.seed {_weights_of(record)}" if weights == "none" else weights
