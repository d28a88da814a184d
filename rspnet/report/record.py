"""Reads a run's folder for the report: what is missing or damaged is left out, and reported if damaged."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rspnet.console import some
from rspnet.disk import reading
from rspnet.errors import ConfigError, RSPNetError
from rspnet.evaluation import features as feature_files
from rspnet.report.foreign import check_features
from rspnet.report.hits import contradiction
from rspnet.report.over_films import with_intervals
from rspnet.report.thumbnails import Thumbnails
from rspnet.running.record import read_options, read_result, read_text, stage_of
from rspnet.terminal import visible

if TYPE_CHECKING:
    from datasets import Dataset

    from rspnet.evaluation.features import Features

T = TypeVar("T")
Line = dict[str, Any]

_LEFT_OUT = "it is left out here"


@dataclass(frozen=True)
class Record:
    """A run, finished or not. Its files may come from anywhere, so that no value in them can be trusted.

    Attributes:
        run_dir: Its folder.
        stage: pretrain, finetune or evaluate; empty if not known.
        config: Options by section; empty if they cannot be read.
        result: Content of result.json; None if the run is not finished, or it cannot be read.
        metrics: Lines of metrics.jsonl: means of some steps (`event` interval) and of epochs (`event` epoch).
        environment: Versions, machine, and what the numbers come from (`sources`); empty if it cannot be read.
        index: The run's videos; None if there is no index, or it cannot be read.
        predictions: By protocol, a line of predictions for each test video; of a fine-tuned network as `classify`.
        neighbours: A line of nearest neighbours for each test video.
        features: Features of the videos; None if there are none, or they cannot be read.
        faults: What cannot be read, and why; a sentence for each.
        thumbnails: The pictures of its videos; shared by all runs of a page.
        called: Name to show if its folder's name is that of another run, too.
        in_brief: Whether its page is made as the run ends, without what takes long.
    """

    run_dir: Path
    stage: str
    config: dict[str, Any]
    result: dict[str, Any] | None
    metrics: list[Line]
    environment: dict[str, Any]
    index: "Dataset | None"
    predictions: dict[str, list[Line]]
    neighbours: list[Line]
    features: "Features | None"
    faults: tuple[str, ...] = ()
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    called: str = ""
    in_brief: bool = False

    @property
    def name(self) -> str:
        """The run's name on the page: `called`, or its folder's name."""
        return visible(self.called or self.run_dir.resolve().name)

    @property
    def is_unfinished(self) -> bool:
        """Whether it has no result at all; one that cannot be read is among the faults."""
        return self.result is None and not (self.run_dir / "result.json").exists()

    def options(self, section: str) -> dict[str, Any]:
        """Return a section of the run's options; empty if there is none of that name."""
        found = self.config.get(section)
        return found if isinstance(found, dict) else {}

    @property
    def protocols(self) -> list[str]:
        """The protocols that were measured, as stages/evaluate.py names them; `classify` for a fine-tuned network."""
        if self.stage == "finetune":
            return ["classify"]
        said = (self.result or {}).get("protocol", self.config.get("protocol"))
        return [name.strip() for name in said.split(",")] if isinstance(said, str) else []

    @property
    def scores(self) -> dict[str, dict[str, Any]]:
        """The result of each protocol, by name; empty for a pretraining or a run that is not finished."""
        if self.result is None:
            return {}
        if len(self.protocols) == 1:
            return {self.protocols[0]: self.result}
        return {name: self.result[name] for name in self.protocols}

    def lines(self, protocol: str) -> list[Line]:
        """Return a protocol's lines, one for each test video; empty if it has none for single videos."""
        return self.neighbours if protocol == "retrieval" else self.predictions.get(protocol, [])

    @classmethod
    def read(cls, run_dir: Path, features: str | None = None, thumbnails: Thumbnails | None = None) -> "Record":
        """Read a run's folder.

        Args:
            run_dir: The folder.
            features: File or folder of features to use instead of those in the run's folder.
            thumbnails: The page's; None for new ones of this run alone.

        Raises:
            ConfigError: There is no such folder, or it is not a run's; or `features` cannot be read, or are of another
                network or other videos.
        """
        with reading(run_dir):
            is_folder, is_file = run_dir.is_dir(), run_dir.is_file()
        if not is_folder:
            raise ConfigError(f"{run_dir}: {'is a file' if is_file else 'no such folder'}; name the folder of a run")
        reader = _Reader(run_dir)
        config = reader.take("config.yaml", lambda path: read_options(path, _LEFT_OUT), dict[str, Any]())
        result = reader.take("result.json", read_result, None)
        metrics = reader.lines("metrics.jsonl", ("event", "step"))
        stage = stage_of(config) or _stage(result)
        if not stage and not metrics:
            why = f" ({reader.faults[0]})" if reader.faults else ""
            remedy = "name that of a pretraining, fine-tuning or evaluation"
            raise ConfigError(f"{run_dir}: is not the folder of a run{why}; {remedy}")
        environment = reader.take("environment.json", _object, dict[str, Any]())
        index = reader.take("index.parquet", _index, None)
        known = feature_files.read(features) if features is not None else None
        if known is None:
            known = reader.take("features.parquet", lambda path: feature_files.read(str(path)), None)
        if known is None and isinstance(measured := config.get("features"), str):
            known = reader.measured(measured, (result or {}).get("features_sha256"))
        neighbours = [line for lines in reader.by_protocol("neighbours").values() for line in lines]
        predictions = reader.by_protocol("predictions")
        record = cls(run_dir, stage, config, result, metrics, environment, index, predictions, neighbours, known)
        (alone,) = record.protocols if len(record.protocols) == 1 else ("",)
        named = {name or alone: lines for name, lines in predictions.items()}
        record = cls(**vars(record) | {"predictions": named})
        for protocol, score in record.scores.items():
            if wrong := contradiction(lines := record.lines(protocol), score, protocol):
                reader.faults.append(f"{run_dir}: {wrong}: they do not belong together; the lines are left out here")
                lines.clear()
        facts = {"faults": tuple(reader.faults), "thumbnails": thumbnails or Thumbnails()}
        if stage == "finetune":
            facts["result"] = with_intervals(result, named.get("classify", []))
        record = cls(**vars(record) | facts)
        if features is not None:
            check_features(record, features)
        return record


class _Reader:
    """Reads the files of a folder, and collects in `faults` what could not be read."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.faults: list[str] = []

    def take(self, name: str, read: Callable[[Path], T], default: T) -> T:
        """Read a file; return the default if there is none, or if it cannot be read."""

        def of_a_file(path: Path) -> T:
            if not path.is_file():  # opening a pipe would wait for a writer
                raise ConfigError(f"{path}: is not a file; {_LEFT_OUT}")
            return read(path)

        return self._if_readable(self.run_dir / name, of_a_file, default)

    def measured(self, name: str, sha256: object) -> "Features | None":
        """Read the features that an evaluation measured (--features); None if the file is gone or has changed."""

        def unchanged(path: Path) -> "Features":
            if feature_files.sha256_of(name) != sha256:
                raise ConfigError(f"{path}: has changed since it was measured; {_LEFT_OUT}")
            return feature_files.read(name)

        return self._if_readable(Path(name), unchanged, None)

    def _if_readable(self, path: Path, read: Callable[[Path], T], default: T) -> T:
        try:
            return read(path) if path.exists() else default
        except (RSPNetError, OSError) as error:
            self.faults.append(" ".join(str(error).split()))
            return default

    def lines(self, name: str, keys: tuple[str, ...]) -> list[Line]:
        """Read lines that are JSON objects with these keys; others are counted as a fault and left out."""
        text = self.take(name, lambda path: read_text(path, _LEFT_OUT), "")
        found = [_line(line, keys) for line in text.split("\n") if line.strip()]
        if unknown := found.count(None):
            self.faults.append(f"{self.run_dir / name}: {some(unknown, 'line')} cannot be read; left out here")
        return [line for line in found if line is not None]

    def by_protocol(self, kind: str) -> dict[str, list[Line]]:
        """Read the lines of `predictions.jsonl` (under the empty name), `predictions_knn.jsonl` (`knn`) and so on."""
        names = sorted(path.name for path in self.run_dir.glob(f"{kind}*.jsonl"))
        return {
            name.removeprefix(kind).removesuffix(".jsonl").removeprefix("_"): self.lines(name, ("video",))
            for name in names
        }


def _stage(result: dict[str, Any] | None) -> str:
    said = (result or {}).get("stage")
    return next((stage for stage in ("pretrain", "finetune", "evaluate") if stage == said), "")


def _line(text: str, keys: tuple[str, ...]) -> Line | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and all(key in line for key in keys) else None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, _LEFT_OUT))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: is not a JSON object; {_LEFT_OUT}")
    return found


def _index(path: Path) -> "Dataset":
    from rspnet.data.index import load

    return load(path)
