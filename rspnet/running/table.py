"""Results of several runs in one table: a row for runs that differ in fold and seed alone, with mean and spread.

Runs that are not comparable (of another protocol, network or data set, or with other options) get rows of their own:
their numbers are never averaged. Without torch.
"""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rspnet.disk import reading
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running.record import FREE, flat, read_options, read_result
from rspnet.weights.description import NAME, read_description

_REMEDY = "copy the whole run folder"
_NOT_COMPARED = {*FREE, "data.root", "data.index", "data.layout", "data.fold", "run.seed", "test.batch"}
_NOT_COMPARED |= {"weights", "features", "protocol"}
"""Options that may differ within a row; videos, weights and protocol are compared by what the result says of them."""
_MEASURES = {"pretrain": ("loss", "rsp_accuracy", "avid_top1"), "retrieval": ("recall",)}
_MEASURES |= {"cluster": ("v_measure",), "pretext": ("rsp_accuracy", "avid_top1")}
_ACCURACY = ("top1", "top5")


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        run_dir: Its folder.
        said: Its result, of one protocol.
        options: Those of its flat options that must be equal within a row.
        num_folds: How many official folds its data set has.
        origin: Hash of the weights that it began with. For the test of a fine-tuned network, of the weights that the
            fine-tuning began with, since each fold has a network of its own. None: fresh weights.
    """

    run_dir: Path
    said: dict[str, Any]
    options: dict[str, Any]
    num_folds: int
    origin: str | None

    @property
    def place(self) -> tuple[int, int]:
        """Fold and seed."""
        return self.said["fold"], self.said["seed"]

    @property
    def what(self) -> str:
        """What was measured: the protocol of an evaluation, or else the stage."""
        return str(self.said.get("protocol", self.said["stage"]))

    def measures(self) -> dict[str, float]:
        """Return the numbers that are averaged, by name; those of a retrieval are `recall@1` and so on."""
        found: dict[str, float] = {}
        for name in _MEASURES.get(self.what, _ACCURACY):
            value = self.said.get(name)
            if isinstance(value, dict):
                found |= {f"{name}@{k}": number for k, number in value.items()}
            elif value is not None:
                found[name] = value
        return found


@dataclass(frozen=True)
class Spread:
    """A number over several runs.

    Attributes:
        mean: Mean over the folds of their means over seeds.
        deviation: Standard deviation of the folds' means; with one fold, of its seeds; None for a single run.
        low: The smallest value of a run.
        high: The largest value of a run.
    """

    mean: float
    deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """Comparable runs.

    Attributes:
        results: The runs, by fold and seed.
        apart: The options that set it apart from other rows of the same kind.
    """

    results: tuple[Result, ...]
    apart: str = ""

    @property
    def folds(self) -> list[int]:
        """Folds of the runs."""
        return sorted({result.place[0] for result in self.results})

    @property
    def missing_folds(self) -> list[int]:
        """Official folds of the data set without a run."""
        return sorted(set(range(1, self.results[0].num_folds + 1)) - set(self.folds))

    def spreads(self) -> dict[str, Spread]:
        """Return mean and spread over the runs, for each measure that all of them have."""
        by_fold = [[result for result in self.results if result.place[0] == fold] for fold in self.folds]
        return {name: _spread([[one.measures()[name] for one in fold] for fold in by_fold]) for name in self._names()}

    def _names(self) -> list[str]:
        return [name for name in self.results[0].measures() if all(name in one.measures() for one in self.results)]

    def as_json(self) -> dict[str, Any]:
        """Return the row as `--format json` shows it."""
        first = self.results[0]
        return {
            "stage": first.said["stage"],
            "protocol": first.said.get("protocol"),
            "arch": first.options["arch"],
            "weights": sorted({str(one.said.get("weights")) for one in self.results}),
            "weights_sha256": sorted({str(one.origin) for one in self.results}),
            "data_fingerprint": first.said["data_fingerprint"],
            "options": self.apart,
            "runs": [{"run_dir": str(one.run_dir), "fold": one.place[0], "seed": one.place[1]} for one in self.results],
            "folds": self.folds,
            "missing_folds": self.missing_folds,
            "measures": {name: _digits(vars(spread)) for name, spread in self.spreads().items()},
        }


def read(run_dir: Path) -> list[Result]:
    """Read the results of a finished run, one for each protocol, and what decides whether they are comparable.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: there is no run, or it is not finished, or its result lacks what is compared.
    """
    path, config = run_dir / "result.json", run_dir / "config.yaml"
    if not path.is_file():
        why = "this run is not finished: start it again, or leave it out" if config.is_file() else "is not a run folder"
        raise ConfigError(f"{run_dir}: {why} (no result.json in it)")
    said, options = read_result(path), flat(read_options(config, _REMEDY))
    needed = ("fold", "seed", "data_fingerprint", "weights_sha256")
    if lacking := [name for name in needed if name not in said]:
        raise ConfigError(f"{path}: lacks {lacking[0]}; {_REMEDY}")
    common = {name: value for name, value in options.items() if name not in _NOT_COMPARED}
    common |= {"data": said["data_fingerprint"], "precision": said.get("precision"), "arch": _arch(said, options)}
    common |= {name: said.get(name) for name in ("pooling", "layer")}
    num_folds, origin = _num_folds(run_dir / "index.parquet"), _origin(said)
    names = str(said.get("protocol", "")).split(",")
    several = [said | said[name.strip()] | {"protocol": name.strip()} for name in names] if len(names) > 1 else [said]
    several = [one for one in several if "not_measured" not in one]
    return [Result(run_dir, one, common, num_folds, origin) for one in several]


def _arch(said: dict[str, Any], options: dict[str, Any]) -> str:
    return str(said.get("arch", options.get("encoder.name")))


def rows(results: Iterable[Result], *, any_weights: bool) -> list[Row]:
    """Group comparable runs.

    Args:
        results: of runs.
        any_weights: whether runs that began with different weights are comparable.

    Raises:
        ConfigError: two comparable runs with the same weights have the same fold and seed, so one would count twice.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        key = repr((result.what, sorted(result.options.items(), key=str), None if any_weights else result.origin))
        groups.setdefault(key, []).append(result)
    made = []
    for group in groups.values():
        group.sort(key=lambda one: one.place)
        for one, other in combinations(group, 2):
            if one.place == other.place and not (any_weights and one.origin != other.origin):
                place = "fold {} and seed {}".format(*one.place)
                raise ConfigError(
                    f"{one.run_dir} and {other.run_dir}: are the same kind of run with {place}; leave one out"
                )
        made.append(group)
    return [Row(tuple(group), _apart(group[0], [other[0] for other in made])) for group in made]


def cells(table: Sequence[Row]) -> list[list[str]]:
    """Return the table as text, header first, without empty columns: what was measured, on what, and each measure."""
    names = list(dict.fromkeys(name for row in table for name in row.spreads()))
    lines = [["measured", "arch", "weights", "options", "folds", "seeds", *names]]
    for row in table:
        first, spreads = row.results[0], row.spreads()
        weights = sorted({str(one.said.get("weights") or "none") for one in row.results})
        lines.append(
            [
                first.what,
                str(first.options["arch"]),
                weights[0] if len(weights) == 1 else f"{len(weights)} weights",
                row.apart,
                ", ".join(map(str, row.folds)) + (f" of {first.num_folds}" if row.missing_folds else ""),
                ", ".join(map(str, sorted({one.place[1] for one in row.results}))),
                *(_text(spreads[name]) if name in spreads else "" for name in names),
            ]
        )
    kept = [column for column in zip(*lines) if any(column[1:])]
    return [list(line) for line in zip(*kept)]


def _text(spread: Spread) -> str:
    return f"{spread.mean:.2f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.2f}")


def _digits(numbers: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if number is None else round(number, 4) for name, number in numbers.items()}


def _spread(by_fold: list[list[float]]) -> Spread:
    means = [statistics.fmean(seeds) for seeds in by_fold]
    parts, every = means if len(means) > 1 else by_fold[0], [number for seeds in by_fold for number in seeds]
    deviation = statistics.stdev(parts) if len(parts) > 1 else None
    return Spread(statistics.fmean(means), deviation, min(every), max(every))


def _apart(result: Result, others: list[Result]) -> str:
    """Return the options by which a row differs from other rows of the same kind, as text."""
    alike = [other for other in others if other.what == result.what]
    names = sorted({name for other in alike for name in other.options.keys() | result.options.keys()})
    differing = [name for name in names if len({repr(other.options.get(name)) for other in alike}) > 1]
    shown = [name for name in differing if name not in ("arch", "encoder.name")]
    return ", ".join(f"{name} {str(result.options.get(name))[:12]}" for name in shown)


def _origin(said: dict[str, Any]) -> str | None:
    """Return the hash of the weights that a run began with; None for fresh weights.

    For the test of a fine-tuned network, which each fold and seed has of its own, it is that of the weights that the
    fine-tuning began with.
    """
    own: str | None = said["weights_sha256"]
    if said.get("protocol") == "classify" and own is not None and os.path.isdir(said["weights"]):
        try:
            description = read_description(Path(said["weights"], NAME)) or {}
        except CheckpointError:  # e.g. an exported folder, which does not record it
            return own
        provenance = description.get("provenance")
        if description["weights"].get("sha256") == own and isinstance(provenance, dict):
            began: str | None = provenance.get("weights_sha256", own)
            return began
    return own


def _num_folds(index: Path) -> int:
    """Return how many official folds a run's videos are split into."""
    if not index.is_file():
        return 1
    try:
        with reading(index):
            folds = pq.read_table(index, columns=["folds"])["folds"].to_pylist()
    except pa.ArrowException as error:
        raise CheckpointError(f"{index}: cannot be read ({error}); {_REMEDY}") from None
    return min((1 if row is None else len(row) for row in folds), default=1)
