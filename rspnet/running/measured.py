"""Read from a run's folder how its network was trained, and what was measured with it.

This goes to those who get the network alone. Where files were is not for them: only the last name of a path is kept.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rspnet.console import say, some
from rspnet.errors import CheckpointError
from rspnet.evaluation.interval import interval
from rspnet.running.record import read_options, read_result

_RECIPE = ("clips", "augment", "pretext", "optim")
_REMEDY = "it is ignored"


def recipe(run_dir: Path) -> dict[str, Any] | None:
    """Return the options of a training that determine its outcome, by section; None if the folder is not a run's.

    Beside the sections: `data`, the name of its folder or index; `seed`; and `frozen` of a fine-tuning.

    Args:
        run_dir: A run's folder, or any other.
    """
    options = _options(run_dir)
    if options is None:
        return None
    kept = {name: options[name] for name in (*_RECIPE, "frozen") if name in options}
    run = options.get("run")
    return {"data": _data_name(options), **kept, "seed": run.get("seed") if isinstance(run, dict) else None}


def measured(run_dir: Path, provenance: dict[str, Any], weights_sha256: str | None) -> list[dict[str, Any]]:
    """Return what was measured with a run's weights: by its own final test, and by evaluations in its folder.

    Evaluations of other weights, such as those that the run had before, do not count.

    Args:
        run_dir: The run's folder.
        provenance: What encoder.json says of the training.
        weights_sha256: Of encoder.safetensors.

    Returns:
        A dict for each number: `protocol`, `metric`, `value` and `interval` (percent; 95 %, or None), `chance`
        (percent, or None), `num_videos`, `num_failed` (that could not be read), `views`, `fold`, `data` (a name) and
        `data_fingerprint`. Equal ones, measured again, are listed once.
    """
    found: list[dict[str, Any]] = []
    try:
        if provenance.get("stage") == "finetune":
            found += _numbers(provenance, _options(run_dir))
    except (KeyError, TypeError, ValueError) as error:
        say(f"{run_dir}: the test result in its encoder.json is damaged ({error!r}); {_REMEDY}")
    for path in sorted(run_dir.glob("*/result.json")):
        try:
            result = read_result(path)
            if result["stage"] == "evaluate" and weights_sha256 and result.get("weights_sha256") == weights_sha256:
                found += _numbers(result, _options(path.parent))
        except CheckpointError as error:
            say(f"{error}; {_REMEDY}")
        except (KeyError, TypeError, ValueError) as error:
            say(f"{path}: is no result of a run ({error!r}); {_REMEDY}")
    return [each for place, each in enumerate(found) if each not in found[:place]]


def _options(run_dir: Path) -> dict[str, Any] | None:
    path = run_dir / "config.yaml"
    if not path.is_file():
        return None
    try:
        return read_options(path, _REMEDY)
    except CheckpointError as error:
        say(str(error))
        return None


def _data_name(options: dict[str, Any] | None) -> str | None:
    data = (options or {}).get("data")
    named = data.get("root") or data.get("index") if isinstance(data, dict) else None
    return (Path(str(named)).name or None) if named else None


def _numbers(result: dict[str, Any], options: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return a dict for each number of a result, from `read_result` or encoder.json."""
    protocol = result.get("protocol", "classify")
    if "," in protocol:  # the results of several, each under its name
        names = [name.strip() for name in protocol.split(",")]
        each = [_numbers({**result, **result[name], "protocol": name}, options) for name in names]
        return [number for numbers in each for number in numbers]
    if "not_measured" in result:
        return []
    number = result.get("num_queries", result.get("num_videos", 0))
    shared = {name: result.get(name) for name in ("views", "fold", "data_fingerprint", "num_failed")}
    intervals = result.get("interval", {})
    return [
        {
            "protocol": protocol,
            "metric": metric,
            "value": value,
            "interval": [round(end, 2) for end in ends] if ends else None,
            "chance": chance,
            "num_videos": number,
            "data": _data_name(options),
            **shared,
        }
        for metric, key, value, chance in _values(protocol, result)
        if number
        for ends in [intervals[key] if key in intervals else interval(value, number)]
    ]


def _values(protocol: str, result: dict[str, Any]) -> Iterator[tuple[str, str, float, float | None]]:
    """Yield each number of one protocol as (metric, its key in ``interval``, value, chance)."""
    if protocol == "retrieval":
        for k, value in result.get("recall", {}).items():
            yield f"recall at {k}", k, value, result["chance"][k]
    elif protocol == "few_shot":
        for shots, value in result["top1"].items():
            yield f"top-1 from {some(int(shots), 'video')} a class", shots, value, result["chance_top1"]
    elif protocol == "cluster":
        yield "v-measure", "v_measure", result["v_measure"], result["chance_v_measure"]
    elif protocol == "pretext":
        for name, metric in (("rsp_accuracy", "RSP accuracy"), ("avid_top1", "A-VID top-1")):
            yield metric, name, result[name], result["chance"][name]
    else:
        for k in (1, 5):
            if f"top{k}" in result:
                yield f"top-{k}", f"top{k}", result[f"top{k}"], result.get(f"chance_top{k}")
