"""One network of a study: its pretraining, if any, and what is measured of it, as commands of stages."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from rspnet.running.record import flat

HERE = Path(__file__).resolve().parents[1]
Options = dict[str, Any]
MORE, ONLY = "and_unlabelled", "only"
FOLDS = 4
"""Parts that films are dealt into, where each is tested once."""
FOLDED = {"classify", "knn", "linear"}
"""What of such parts is told together: shares of videos that are told right."""
INDEXES = {"own": ".own.jsonl", "all": ".all.jsonl", "folds": ".folds.jsonl"}
"""`videos` of a measure -> the end of its list's name, which `study_videos.listed` writes."""


class Run:
    """A row of a study with one seed.

    Args:
        study: what is compared.
        name: of the row.
        seed: of all its commands.
        index: the videos to pretrain on; beside it lie those of `INDEXES`.
        work: folder of all runs: what is in several studies under one name is pretrained once.

    Attributes:
        index: as given.
        recipe: what tells it from the same row of a study that was changed; of all seeds.
    """

    def __init__(self, study: Options, name: str, seed: int, index: Path, work: Path) -> None:
        self.name, self.seed, self.index, self.is_fresh = name, seed, index, study["rows"][name] is None
        self.pretraining = study["pretrain"] | (study["rows"][name] or {})
        settled = settings(self.pretraining)
        # What shapes a clip or the network holds for the measures as well, also of fresh weights.
        shapes = {key: value for key, value in settled.items() if key.split(".")[0] in ("clips", "encoder")}
        self.pretraining = {"data.index": str(index), "run.seed": seed} | without(self.pretraining)
        common = {"run.seed": seed} | shapes
        self.measures = [
            (measure, options["stage"], asked)
            for measure, options in study["measures"].items()
            for asked in asked_of(measure, options, common, index=index, is_fresh=self.is_fresh)
        ]
        trained = [study["data"], None if self.is_fresh else settled]
        self.recipe = digest([trained, [settings(options) for options in study["measures"].values()], shapes])
        self.folder = work / f"{named(name)}-{seed}-{digest(trained)}"

    def commands(self) -> list[tuple[str, list[str]]]:
        """What each command is called, and its words; the last one is the folder of its run."""
        weights = "none" if self.is_fresh else str(self.folder / "pretrain")
        found = [] if self.is_fresh else [("pretrain", [*words("pretrain", self.pretraining), "--run_dir", weights])]
        for name, stage, options in self.measures:
            folder = self.folder / f"{named(name)}-{digest(settings(options))}"
            found.append((name, words(stage, options | {"weights": weights, "run_dir": str(folder)})))
        return found


def asked_of(measure: str, options: Options, common: Options, *, index: Path, is_fresh: bool) -> list[Options]:
    """The options of a measure's commands: of one, of one for each fold, or of none where nothing is left to measure.

    Args:
        measure: what it is called.
        options: as a study says.
        common: to all measures of the run.
        index: as for `Run`.
        is_fresh: whether it is of fresh weights, which have learnt no task.
    """
    videos = options.get("videos", "own")
    asked = {"data.index": str(index.with_suffix(INDEXES[videos]))} | common
    asked |= {key: value for key, value in options.items() if key not in ("stage", "videos")}
    protocols = asked.get("protocol", "classify").split(",")
    if videos == "folds" and not set(protocols) <= FOLDED:
        raise ValueError(f"{measure}: of folds only {', '.join(sorted(FOLDED))} can be told together")
    if is_fresh and "pretext" in protocols:
        protocols.remove("pretext")
        if not protocols:
            return []
        asked["protocol"] = ",".join(protocols)
    if not is_fresh and not {"classify", "pretext"} & set(protocols):  # nothing is drawn
        del asked["run.seed"]
    return [asked | {"data.fold": fold} for fold in range(1, FOLDS + 1)] if videos == "folds" else [asked]


def chosen(study: Options) -> dict[str, tuple[list[str], int | None]]:
    """For each row the data sets that it is pretrained on beside the study's videos, and of how many of these."""
    rows = {name: study["pretrain"] | (row or {}) for name, row in study["rows"].items()}
    return {name: (row.get(MORE, []), row.get(ONLY)) for name, row in rows.items()}


def without(options: Options) -> Options:
    """Options of a stage, whose index has the videos that a row chooses."""
    return {key: value for key, value in options.items() if key not in (MORE, ONLY)}


def settings(options: Options) -> Options:
    """Options with those of the file that they name, which they go before."""
    if "config" not in options:
        return dict(options)
    file = flat(yaml.safe_load((HERE / options["config"]).read_text()))
    return file | {key: value for key, value in options.items() if key != "config"}


def words(stage: str, options: Options) -> list[str]:
    """A command of a stage."""
    command = [f"stages/{stage}.py"]
    for name, value in options.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return command


def named(text: str) -> str:
    """A folder's name for a row or a measure."""
    return re.sub("[^a-z0-9.]+", "_", text.lower())


def digest(options: object) -> str:
    """What tells options apart, in eight characters."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
