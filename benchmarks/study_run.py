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
MORE = "and_unlabelled"
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
        recipe: what tells it from the same row of a study that was changed; of all seeds.
    """

    def __init__(self, study: Options, name: str, seed: int, index: Path, work: Path) -> None:
        self.name, self.seed, self.is_fresh = name, seed, study["rows"][name] is None
        self.pretraining = study["pretrain"] | (study["rows"][name] or {})
        settled = settings(self.pretraining)
        # What shapes a clip or the network holds for the measures as well, also of fresh weights.
        shapes = {key: value for key, value in settled.items() if key.split(".")[0] in ("clips", "encoder")}
        self.pretraining = {"data.index": str(index), "run.seed": seed} | without(self.pretraining)
        self.stages, self.measures = {}, dict[str, list[Options]]()
        for measure, options in study["measures"].items():
            videos = options.get("videos", "own")
            own = {"data.index": str(index.with_suffix(INDEXES[videos])), "run.seed": seed}
            asked = own | shapes | {key: value for key, value in options.items() if key not in ("stage", "videos")}
            protocols = asked.get("protocol", "classify").split(",")
            if videos == "folds" and not set(protocols) <= FOLDED:
                raise ValueError(f"{measure}: of folds only {', '.join(sorted(FOLDED))} can be told together")
            if self.is_fresh and "pretext" in protocols:  # it has learnt no task
                protocols.remove("pretext")
                if not protocols:
                    continue
                asked["protocol"] = ",".join(protocols)
            if not self.is_fresh and not {"classify", "pretext"} & set(protocols):  # nothing is drawn
                del asked["run.seed"]
            self.stages[measure] = options["stage"]
            folds = range(1, FOLDS + 1) if videos == "folds" else [None]
            self.measures[measure] = [asked | ({} if fold is None else {"data.fold": fold}) for fold in folds]
        trained = [study["data"], None if self.is_fresh else settled]
        self.recipe = digest([trained, [settings(options) for options in study["measures"].values()], shapes])
        self.folder = work / f"{named(name)}-{seed}-{digest(trained)}"

    def commands(self) -> list[tuple[str, list[str]]]:
        """What each command is called, and its words; the last one is the folder of its run."""
        weights = "none" if self.is_fresh else str(self.folder / "pretrain")
        found = [] if self.is_fresh else [("pretrain", [*words("pretrain", self.pretraining), "--run_dir", weights])]
        for name, asked in self.measures.items():
            for options in asked:
                folder = self.folder / f"{named(name)}-{digest(settings(options))}"
                found.append((name, words(self.stages[name], options | {"weights": weights, "run_dir": str(folder)})))
        return found


def beside(study: Options) -> dict[str, list[str]]:
    """For each row the data sets that it is pretrained on beside the study's videos."""
    return {name: (study["pretrain"] | (row or {})).get(MORE, []) for name, row in study["rows"].items()}


def without(options: Options) -> Options:
    """Options of a stage, which knows nothing of other data sets than that of its index."""
    return {key: value for key, value in options.items() if key != MORE}


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
