"""The results file of a study: the numbers of every run, and its predictions for every test video.

`videos` and `labels` have the test videos and the class of each, as a letter by its place in `classes`. A run's `said`
has for each measure the predicted class of each video, "?" if there is none and "-" if the run has not tested the
video; for the probe on a few labels it has one such text for each of its draws. `shared` marks the test videos whose
film is in the training set, too, `pretrained_on` those that are themselves pretrained on, without their classes.
"""

import json
import os
import shlex
import string
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from study_run import Options, Run
from study_videos import is_pretrained_on

from rspnet.data.groups import film_of
from rspnet.disk import write_text
from rspnet.evaluation.features import Features
from rspnet.lock import exclusive
from rspnet.report.lines import queries
from rspnet.report.record import Record

NUMBERS = ("top1", "recall", "v_measure", "rsp_accuracy", "avid_top1", "controls", "interval", "num_videos")
ENVIRONMENT = ("versions", "platform", "cpus")
UNTESTED, NOTHING, MARKED, UNMARKED = "-", "?", "+", "-"
MARKS = ("shared", "pretrained_on")
SHOTS = 5
"""Labelled videos per class with which the probe on a few labels predicts each test video."""


class Results:
    """The results of a study so far, in a file that one process at a time writes.

    Args:
        path: the file.
        study: the study; runs of rows that it no longer has are removed.
    """

    def __init__(self, path: Path, study: Options) -> None:
        self.path, self._study, self._lock = path, study, threading.Lock()

    def __enter__(self) -> "Results":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            folder = os.open(self.path.parent, os.O_RDONLY)
            stack.callback(os.close, folder)
            try:
                stack.enter_context(exclusive(folder))
            except BlockingIOError:
                sys.exit(f"study.py: another study is writing into {self.path.parent}; wait for it, or give --json")
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def add(self, run: Run) -> None:
        """Add a finished run; it replaces runs of its row with the same seed or with other options."""
        row = {"row": run.name, "seed": run.seed, "recipe": run.recipe} | measured(run)
        with self._lock:
            found = self._read()
            labels, marked = row.pop("labels"), {mark: row.pop(mark) for mark in MARKS}
            for video in sorted(labels.keys() - set(found["videos"])):
                found["videos"].append(video)
                found["labels"] += letter(found["classes"], labels[video])
                for mark, videos in marked.items():
                    found[mark] += MARKED if video in videos else UNMARKED
            row["said"] = {
                name: [letters(found, each) for each in said] if isinstance(said, list) else letters(found, said)
                for name, said in row["said"].items()
            }
            others = [
                other
                for other in found["runs"]
                if other["row"] in self._study["rows"]
                and (other["row"] != run.name or (other["recipe"] == run.recipe and other["seed"] != run.seed))
            ]
            order = list(self._study["rows"])
            runs = sorted([*others, row], key=lambda each: (order.index(each["row"]), each["seed"]))
            write_text(self.path, json.dumps(found | {"runs": runs}, indent=1) + "\n")

    def has(self, run: Run) -> bool:
        """Whether the file has a run, with its current options."""
        known = {(other["row"], other["seed"], other["recipe"]) for other in self._read()["runs"]}
        return (run.name, run.seed, run.recipe) in known

    def _read(self) -> Options:
        if self.path.exists():
            found: Options = json.loads(self.path.read_text())
            return found
        return {"classes": [], "videos": [], "labels": ""} | dict.fromkeys(MARKS, "") | {"runs": []}


def letters(found: Options, said: dict[str, str | None]) -> str:
    """Return the predictions of the results' videos, a character each."""
    return "".join(letter(found["classes"], said[video]) if video in said else UNTESTED for video in found["videos"])


def letter(classes: list[str], name: str | None) -> str:
    """Return a class as a letter, by its place in `classes`, to which new ones are added; "?" for None."""
    if name is None:
        return NOTHING
    if name not in classes:
        classes.append(name)
    return string.ascii_letters[classes.index(name)]


def measured(run: Run) -> Options:
    """Return the results of the finished commands of a run.

    Raises:
        ValueError: a command has no result, or files that cannot be read or contradict its result.
    """
    found: Options = {"commands": [shlex.join(["python", *command]) for _, command in run.commands()]}
    found |= {"device_hours": 0.0, "measures": {}, "said": {}, "labels": {}, "shared": set()}
    rows = map(json.loads, run.index.read_text().splitlines())
    found["pretrained_on"] = {row["video"] for row in rows if is_pretrained_on(row)}
    for name, command in run.commands():
        record = Record.read(Path(command[-1]))
        if record.result is None or record.faults:
            raise ValueError("; ".join(record.faults) or f"{command[-1]} has no result.json")
        result = record.result
        found["device_hours"] += result.get("device_hours", 0.0)
        found |= {key: result[key] for key in ("data_fingerprint", "precision", "device") if key in result}
        found |= {key: record.environment[key] for key in ENVIRONMENT if key in record.environment}
        for protocol, score in {"training": result}.items() if name == "pretrain" else record.scores.items():
            key = name if protocol in ("classify", "training") else protocol
            numbers = {number: score[number] for number in NUMBERS if number in score}
            found["measures"][key] = pooled(found["measures"][key], numbers) if key in found["measures"] else numbers
            lines = record.lines(protocol)
            if protocol == "few_shot" and record.features is not None:
                found["said"][key] = by_a_few(record.features)
            if lines:
                found["shared"] |= in_both(record)
                found["labels"] |= {line["video"]: line["label"] for line in lines}
                found["said"][key] = found["said"].get(key, {}) | said(record, protocol)
    found["device_hours"] = round(found["device_hours"], 4)
    return found


def pooled(one: Options, other: Options) -> Options:
    """Return the result of two parts of the videos together."""
    total = one["num_videos"] + other["num_videos"]
    right = sum(round(each["top1"] * each["num_videos"] / 100) for each in (one, other))  # top1 has two decimals
    return {"top1": round(100 * right / total, 2), "num_videos": total}


def said(record: Record, protocol: str) -> dict[str, str | None]:
    """Return each test video's predicted class: a classifier's first, or that of the nearest neighbour that counts."""
    if protocol != "retrieval":
        return {line["video"]: line["predicted"][0] for line in record.predictions[protocol]}
    return {query.video: query.counted.label if query.counted else None for query in queries(record)}


def by_a_few(features: Features) -> list[dict[str, str | None]]:
    """Return the class of each test video by a probe on `SHOTS` videos per class, in each of an evaluation's draws."""
    import numpy as np

    from rspnet.evaluation.few_shot import few_shot_classes

    videos, labels, splits = (np.array(features.rows[name].to_pylist()) for name in ("video", "label", "split"))
    classes, numbers = np.unique(labels, return_inverse=True)
    known, tested, values = splits == "train", splits == "test", np.array(features.values)
    found = few_shot_classes(values[known], numbers[known], values[tested], shots=SHOTS)
    return [dict(zip(videos[tested].tolist(), classes[said].tolist())) for said in found]


def in_both(record: Record) -> set[str]:
    """Return the test videos of a run that come from a film of which there are training videos, too."""
    if record.index is None or record.result is None:
        return set()
    sides: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    for row in record.index.select_columns(["video", "label", "split", "folds"]):
        label = record.index.features["label"].int2str(row["label"]) if row["label"] is not None else None
        split = row["folds"][record.result["fold"] - 1] if row["folds"] else row["split"]
        if split in sides and (film := film_of(row["video"], label)):
            sides[split][row["video"]] = film
    known = set(sides["train"].values())
    return {video for video, film in sides["test"].items() if film in known}
