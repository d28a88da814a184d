"""What a run's number comes from beside its options: weights, videos, precision; and whether they are still the same.

Without torch, so that a run that is done answers at once.
"""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rspnet.console import say
from rspnet.disk import in_words, is_there, reading, sha256
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running.record import read_options, stage_of
from rspnet.weights import exported
from rspnet.weights.description import NAME, find_weights, is_export, named_weights, same_run, settled
from rspnet.weights.manifest import STATE, is_checkpoint

PRECISIONS = ("no", "fp16", "bf16")
START_AGAIN = "choose another --run_dir, or remove the folder to start again"
"""What to do where a run's folder is not the one that is asked for."""

_FACTS = {
    "weights_sha256": str | None,
    "fold": int,
    "seed": int,
    "precision": str,
    "data_fingerprint": str | None,  # not there while the videos are looked for
}
"""What environment.json tells of these, and by what."""


def precision() -> str:
    """What accelerate will calculate in.

    Raises:
        ConfigError: something that is not known here.
    """
    wanted = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    if wanted not in PRECISIONS:
        raise ConfigError(f"mixed precision {wanted}: there are {', '.join(PRECISIONS)}; launch with one of them")
    return wanted


def check_named(config: dict[str, Any]) -> None:
    """See that what a new run names is there, before it has a folder.

    Raises:
        ConfigError: the folder of its videos is not.
        CheckpointError: its weights are not.
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
    """The options of an evaluation with the clips, network and pooling that its features were made with, if it has any.

    Of features that are gone a run that began with them says it; of what holds none nothing does, which is said later.

    Args:
        config: of stages/evaluate.py.
        run_dir: the run's folder.
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
        return replace(config, pooling=said["pooling"], **sections)
    except (KeyError, TypeError):
        return config


def settle(run_dir: Path, config: dict[str, Any], *, begun: bool) -> str | None:
    """The weights of a run, by a name that stays true while another run that they are of goes on.

    A run that has begun with a checkpoint of that other run keeps to this one.

    Args:
        run_dir: the run's folder.
        config: its options, by section.
        begun: whether it has begun before.

    Raises:
        CheckpointError: it has not, and the weights are not there.
    """
    named: str | None = config.get("weights")
    if named is None or named_weights(named) is None:
        return named
    if begun:
        with suppress(CheckpointError):  # who looks at the folder says so
            then = read_options(run_dir / "config.yaml", START_AGAIN).get("weights")
            if isinstance(then, str) and same_run(then, named):
                if not is_checkpoint(Path(then)):
                    say(f"{run_dir}: began with {then}, which is not kept any more")
                return then
        with suppress(CheckpointError):
            return settled(named, whole=stage_of(config) == "pretrain")
        return named
    return settled(named, whole=stage_of(config) == "pretrain")


def begin(run_dir: Path, config: dict[str, Any], precision: str) -> dict[str, Any]:
    """What a new run's number comes from, but for its videos, which are only looked for."""
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
    """Write a run's own index; returns its fingerprint.

    Args:
        path: where.
        config: the run's options, by section.
    """
    from rspnet.data.index import fingerprint, read_rows, write_rows
    from rspnet.data.run_index import keep_index

    data = config["data"]
    if (features := config.get("features")) is not None:
        from rspnet.evaluation.features import read

        found = read(features)
        write_rows(found.of_videos(features), path)
        return str(found.made["data_fingerprint"])  # that of the videos: what is known of their files is not here
    keep_index(path, data["root"], data["index"], layout=data["layout"])
    return fingerprint(read_rows(path))


def compare(run_dir: Path, config: dict[str, Any], precision: str, *, result: dict[str, Any] | None) -> dict[str, Any]:
    """See that what a run's number comes from is what it was when the run began; returns it.

    Weights or videos that are not there any more cannot be compared: that is said where the run is done, and a mistake
    where they are needed.
    """
    try:
        facts: dict[str, Any] = json.loads((run_dir / "environment.json").read_text(encoding="utf-8"))["sources"]
        was, weights_then = facts["precision"], facts["weights_sha256"]
        if strange := [name for name, kinds in _FACTS.items() if not isinstance(facts.get(name), kinds)]:
            raise ValueError(f"{strange[0]} is {facts.get(strange[0])!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise other_run(run_dir, f"an environment.json that does not tell its sources ({in_words(error)})") from None
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
        say(f"{weights}: not there any more; whether the result is of these weights is not known")
    _compare_videos(run_dir, config["data"], result)
    return facts


def _compare_features(run_dir: Path, features: str, then: object) -> None:
    from rspnet.evaluation.features import sha256_of

    if not is_there(features):
        say(f"{features}: not there any more; whether the result is of these features is not known")
    elif sha256_of(features) != then:
        raise other_run(run_dir, f"other features: SHA-256 {str(then)[:12]}..., now another ({features})")


def _compare_videos(run_dir: Path, data: dict[str, Any], result: dict[str, Any] | None) -> None:
    from rspnet.data.run_index import follow_videos, look_for_videos

    path = run_dir / "index.parquet"
    if not path.is_file():
        raise other_run(run_dir, "no index.parquet any more, which told its videos")
    try:
        look_for_videos(path, data["root"], data["index"])
    except ConfigError as error:
        if not result:
            raise
        if (root := data["root"]) is not None and os.path.isdir(root) and os.listdir(root):
            raise other_run(run_dir, f"other videos: none of those looked for is in {root}") from None
        say(f"{error}; whether the result is of these videos is not known")
        return
    if differences := follow_videos(path, data["root"], data["index"], layout=data["layout"]):
        raise other_run(run_dir, f"other videos: {differences}")


def _weight_file(config: dict[str, Any]) -> Path | None:
    """The file that a run's `weights` means, there or not; None: fresh ones."""
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
    """The mistake of asking a run's folder for another run."""
    return ConfigError(f"{run_dir}: holds a run with {what}; {START_AGAIN}")
