"""What a run's number depends on besides its options: weights, videos, precision; and whether these are unchanged.

Without torch, so that a finished run answers at once.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rspnet.console import say
from rspnet.disk import in_words, is_there, reading, sha256
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running.record import flat, read_options, stage_of
from rspnet.weights import exported
from rspnet.weights.description import NAME, find_weights, is_export, named_weights, same_run, settled
from rspnet.weights.manifest import STATE, is_checkpoint

PRECISIONS = ("no", "fp16", "bf16")
START_AGAIN = "choose another --run_dir, or remove the folder to start again"
"""What to do if a folder holds another run than the one asked for."""

_FACTS = {
    "weights_sha256": str | None,
    "fold": int,
    "seed": int,
    "precision": str,
    "data_fingerprint": str | None,  # absent until the videos are written down
}
"""Sources in environment.json, with their types."""


def precision() -> str:
    """Return the mixed precision that accelerate will use.

    Raises:
        ConfigError: it is none of `PRECISIONS`.
    """
    wanted = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    if wanted not in PRECISIONS:
        raise ConfigError(f"mixed precision {wanted}: not supported; launch with one of {', '.join(PRECISIONS)}")
    return wanted


def check_named(config: dict[str, Any]) -> None:
    """Check that what a new run names exists, before the run has a folder.

    Raises:
        ConfigError: its features, or a folder of its videos, do not exist.
        CheckpointError: its weights do not exist.
    """
    from rspnet.data.run_index import check_places

    if (features := config.get("features")) is not None:
        if not is_there(features):
            raise ConfigError(f"--features: {features}: no such file or folder; stages/extract.py makes them")
        return
    check_places(config["data"]["root"], config["data"]["index"])
    watched = config.get("monitor", {}).get("data")
    if watched is not None and not is_there(watched):
        raise ConfigError(f"monitor.data: {watched}: no such file or folder")
    if (named := named_weights(config.get("weights"))) is not None:
        find_weights(named)


def as_made(config: Any, run_dir: Path) -> Any:
    """Return an evaluation's options, with the clips, network and pooling that its features, if any, were made with.

    If the features are gone, these are the options of the run that began with them. If neither is there, the options
    are returned as they are, and the mistake is reported later.

    Args:
        config: of stages/evaluate.py.
        run_dir: the run's folder.

    Raises:
        ConfigError: it asks for others than the features were made with.
    """
    from rspnet.evaluation.features import made_by

    if config.features is None:
        return config
    said: dict[str, Any] = {}
    if (made := made_by(config.features)) is not None:
        encoder = {"name": made.get("arch"), "width": made.get("width")}
        said = {"clips": made.get("clip"), "encoder": encoder, "pooling": made.get("pooling")}
    else:
        with suppress(CheckpointError):
            said = read_options(run_dir / "config.yaml", START_AGAIN)
    try:
        clips = {name: said["clips"][name] for name in vars(config.clips)}
        sections = {"clips": replace(config.clips, **clips), "encoder": replace(config.encoder, **said["encoder"])}
        made = replace(config, pooling=said["pooling"], **sections)
    except (KeyError, TypeError):
        return config
    usual, asked, now = (flat(asdict(each)) for each in (type(config)(), config, made))
    for name, value in now.items():
        if value != asked[name] != usual[name]:
            raise ConfigError(f"{name}: {asked[name]}; {config.features} was made with {value}: leave it out")
    return made


def settle(run_dir: Path, config: dict[str, Any], *, begun: bool) -> str | None:
    """Return the weights of a run under a name that stays valid while the other run that they come from goes on.

    A run that began with a checkpoint of that other run keeps to this checkpoint.

    Args:
        run_dir: the run's folder.
        config: its options, by section.
        begun: whether it has begun before.

    Raises:
        CheckpointError: it has not begun, and the weights do not exist.
    """
    named: str | None = config.get("weights")
    if named is None or named_weights(named) is None:
        return named
    if begun:
        with suppress(CheckpointError):  # reported when the folder is opened
            then = read_options(run_dir / "config.yaml", START_AGAIN).get("weights")
            if isinstance(then, str) and same_run(then, named):
                if not is_checkpoint(Path(then)):
                    say(f"{run_dir}: began with {then}, which no longer exists")
                return then
        with suppress(CheckpointError):
            return settled(named, whole=stage_of(config) == "pretrain")
        return named
    return settled(named, whole=stage_of(config) == "pretrain")


def begin(run_dir: Path, config: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return what a new run's number depends on, except its videos: of these, only check that they are there."""
    from rspnet.data.run_index import look_for_videos

    data = config["data"]
    if (features := config.get("features")) is not None:
        from rspnet.evaluation.features import read

        return read(features).facts(features)
    look_for_videos(run_dir / "index.parquet", data["root"], data["index"])
    weights = _weight_file(config)
    return {
        "weights_sha256": _hash(weights) if weights and os.path.isfile(weights) else None,
        "fold": data["fold"],
        "seed": config["run"]["seed"],
        "precision": precision,
    }


def keep_videos(path: Path, config: dict[str, Any]) -> str:
    """Write a run's own index, and return its fingerprint.

    Args:
        path: where to write it.
        config: the run's options, by section.
    """
    from rspnet.data.index import fingerprint, read_rows, write_rows
    from rspnet.data.run_index import keep_index

    data = config["data"]
    if (features := config.get("features")) is not None:
        from rspnet.evaluation.features import read

        found = read(features)
        write_rows(found.of_videos(features), path)
        return str(found.made["data_fingerprint"])  # the videos' own: `path` lacks what is known of their files
    keep_index(path, data["root"], data["index"], layout=data["layout"])
    return fingerprint(read_rows(path))


def compare(run_dir: Path, config: dict[str, Any], precision: str, *, result: dict[str, Any] | None) -> dict[str, Any]:
    """Check that what a run's number depends on is as it was when the run began, and return it.

    Weights or videos that no longer exist cannot be compared: a finished run only reports that; for others it is an
    error where they are needed.
    """
    try:
        facts: dict[str, Any] = json.loads((run_dir / "environment.json").read_text(encoding="utf-8"))["sources"]
        was, weights_then = facts["precision"], facts["weights_sha256"]
        if strange := [name for name, kinds in _FACTS.items() if not isinstance(facts.get(name), kinds)]:
            raise ValueError(f"{strange[0]} is {facts.get(strange[0])!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise other_run(run_dir, f"an environment.json that does not name its sources ({in_words(error)})") from None
    if (features := config.get("features")) is not None:
        _compare_features(run_dir, features, facts.get("features_sha256"))
        return facts
    if precision != was:
        raise other_run(run_dir, f"mixed precision {was}, not {precision}")
    weights = _weight_file(config)
    if weights is None or os.path.isfile(weights):
        if (now := _hash(weights) if weights else None) != weights_then:
            kinds = [f"SHA-256 {known[:12]}..." if known else "none" for known in (weights_then, now)]
            raise other_run(run_dir, f"other weights: {kinds[0]}, now {kinds[1]} ({config['weights']})")
    elif result:
        say(f"{weights}: no longer exists; whether the result is of these weights is unknown")
    _compare_videos(run_dir, config["data"], result)
    return facts


def _compare_features(run_dir: Path, features: str, then: object) -> None:
    from rspnet.evaluation.features import sha256_of

    if not is_there(features):
        say(f"{features}: no longer exists; whether the result is of these features is unknown")
    elif sha256_of(features) != then:
        raise other_run(run_dir, f"other features: SHA-256 {str(then)[:12]}..., now another ({features})")


def _compare_videos(run_dir: Path, data: dict[str, Any], result: dict[str, Any] | None) -> None:
    from rspnet.data.run_index import follow_videos, look_for_videos

    path = run_dir / "index.parquet"
    if not path.is_file():
        raise other_run(run_dir, "no index.parquet any more, which listed its videos")
    try:
        look_for_videos(path, data["root"], data["index"])
    except ConfigError as error:
        if not result:
            raise
        if (root := data["root"]) is not None and os.path.isdir(root) and os.listdir(root):
            raise other_run(run_dir, f"other videos: none of those looked for is in {root}") from None
        say(f"{error}; whether the result is of these videos is unknown")
        return
    if differences := follow_videos(path, data["root"], data["index"], layout=data["layout"]):
        raise other_run(run_dir, f"other videos: {differences}")


def _weight_file(config: dict[str, Any]) -> Path | None:
    """Return the file that a run's `weights` stands for, whether or not it exists; None for fresh weights."""
    named = named_weights(config.get("weights"))
    if named is None:
        return None
    if not os.path.isdir(named):
        return Path(named)
    if is_checkpoint(Path(named)):
        return Path(named, STATE)
    return Path(named, exported.MODEL if is_export(named) else NAME)


def _hash(weights: Path) -> str:
    with reading(weights, CheckpointError):
        return sha256(weights)


def other_run(run_dir: Path, what: str) -> ConfigError:
    """Return the error for a folder that holds another run than the one asked for."""
    return ConfigError(f"{run_dir}: holds a run with {what}; {START_AGAIN}")
