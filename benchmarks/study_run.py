"""One network of a study: its pretraining, if any, and its measures, as commands of stages."""

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
"""Parts into which films are divided if each is to be tested once."""
FOLDED = {"classify", "knn", "linear"}
"""Protocols whose results of such parts can be pooled, because they are shares of correct videos."""
INDEXES = {"own": ".own.jsonl", "all": ".all.jsonl", "folds": ".folds.jsonl"}
"""`videos` of a measure -> the end of its list's name, which `study_videos.listed` writes."""


class Run:
    """A row of a study with one seed.

    Args:
        study: the study.
        name: name of the row.
        seed: seed of all its commands.
        index: list of the videos to pretrain on; beside it lie those of `INDEXES`.
        work: folder of all runs; a row that several studies share is pretrained once.

    Attributes:
        index: as given.
        recipe: hash of its options, of which a change makes it another run; the same for all seeds.
    """

    def __init__(self, study: Options, name: str, seed: int, index: Path, work: Path) -> None:
        self.name, self.seed, self.index, self.is_fresh = name, seed, index, study["rows"][name] is None
        self.pretraining = study["pretrain"] | (study["rows"][name] or {})
        settled = settings(self.pretraining)
        # Options of clips and encoder apply to the measures as well, also of fresh weights.
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
        """Return the name and the words of each command; the last word is the folder of its run."""
        weights = "none" if self.is_fresh else str(self.folder / "pretrain")
        found = [] if self.is_fresh else [("pretrain", [*words("pretrain", self.pretraining), "--run_dir", weights])]
        for name, stage, options in self.measures:
            folder = self.folder / f"{named(name)}-{digest(settings(options))}"
            found.append((name, words(stage, options | {"weights": weights, "run_dir": str(folder)})))
        return found


def asked_of(measure: str, options: Options, common: Options, *, index: Path, is_fresh: bool) -> list[Options]:
    """Return the options of a measure's commands: one, one for each fold, or none if nothing is left to measure.

    Args:
        measure: name of the measure.
        options: its options in the study.
        common: options that all measures of the run share.
        index: as for `Run`.
        is_fresh: whether the run is of fresh weights, of which pretraining's tasks are not measured.

    Raises:
        ValueError: `videos: folds` with a protocol whose results cannot be pooled.
    """
    videos = options.get("videos", "own")
    asked = {"data.index": str(index.with_suffix(INDEXES[videos]))} | common
    asked |= {key: value for key, value in options.items() if key not in ("stage", "videos")}
    protocols = asked.get("protocol", "classify").split(",")
    if videos == "folds" and not set(protocols) <= FOLDED:
        raise ValueError(f"{measure}: over folds only {', '.join(sorted(FOLDED))} can be pooled")
    if is_fresh and "pretext" in protocols:
        protocols.remove("pretext")
        if not protocols:
            return []
        asked["protocol"] = ",".join(protocols)
    if not is_fresh and not {"classify", "pretext"} & set(protocols):  # nothing is random
        del asked["run.seed"]
    return [asked | {"data.fold": fold} for fold in range(1, FOLDS + 1)] if videos == "folds" else [asked]


def chosen(study: Options) -> dict[str, tuple[list[str], int | None]]:
    """Return for each row the further data sets that it is pretrained on, and on how many of the study's videos."""
    rows = {name: study["pretrain"] | (row or {}) for name, row in study["rows"].items()}
    return {name: (row.get(MORE, []), row.get(ONLY)) for name, row in rows.items()}


def without(options: Options) -> Options:
    """Return options without those that choose videos, which are no options of a stage: its index has these videos."""
    return {key: value for key, value in options.items() if key not in (MORE, ONLY)}


def settings(options: Options) -> Options:
    """Return options together with those of the file that they name, over which they win."""
    if "config" not in options:
        return dict(options)
    file = flat(yaml.safe_load((HERE / options["config"]).read_text()))
    return file | {key: value for key, value in options.items() if key != "config"}


def words(stage: str, options: Options) -> list[str]:
    """Return the words of a command of a stage."""
    command = [f"stages/{stage}.py"]
    for name, value in options.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return command


def named(text: str) -> str:
    """Return a folder's name for a row or a measure."""
    return re.sub("[^a-z0-9.]+", "_", text.lower())


def digest(options: object) -> str:
    """Return a hash of options, of eight characters."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
