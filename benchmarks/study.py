"""Run a study: networks that differ in a choice each, pretrained and measured by the stages.

    python benchmarks/study.py small_data --data jhmdb=/data/jhmdb [--jobs 2] [--rows base ...] [--seeds 1 2 3]

benchmarks/studies/NAME.yaml says what is compared: `pretrain`, the options that all have in common, `rows`, those in
which each differs (null: fresh weights), and `measures`, what is measured of each. Every run is a command of a stage,
shown as you would type it, in a folder of its own below --work: what is there already is not done again, what was
stopped goes on from its checkpoint, and a row whose options were changed is run anew beside the old one. As each run
ends its numbers, what they took, and the class that was said of every test video (a letter each) go into
results/NAME.json; benchmarks/report.py makes the tables of the documentation of them.

`data` says of which videos: by name, with `split: official`, or `split: inner`: the official training videos alone, of
which three tenths of the films are tested, so that no choice is made on the official test videos. `and_unlabelled`
names data sets that are pretrained on beside them. A measure is of the same videos, or with `videos: all` of all of
them, without a split: each looks for its class among those of other films.
"""

import argparse
import hashlib
import json
import os
import queue
import random
import re
import shlex
import string
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from rspnet.data.groups import film_of
from rspnet.report.record import Record

HERE = Path(__file__).resolve().parents[1]
HELD_OUT = 0.3  # of the training films, where the split is `inner`
NUMBERS = ("top1", "recall", "v_measure", "rsp_accuracy", "avid_top1", "interval", "num_videos")
ENVIRONMENT = ("versions", "platform", "cpus")
UNTESTED = "-"
Options = dict[str, Any]


def main() -> None:
    """Run what is asked for and not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="the name of a file in benchmarks/studies")
    parser.add_argument("--data", nargs="+", required=True, metavar="NAME=FOLDER", help="where each data set lies")
    parser.add_argument("--work", type=Path, default=Path("runs", "studies"), help="folder of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; they share the cores")
    parser.add_argument("--rows", nargs="+", help="these alone")
    parser.add_argument("--seeds", nargs="+", type=int, help="these alone")
    parser.add_argument("--json", type=Path, help="file of results (default: results/STUDY.json)")
    args = parser.parse_args()
    os.chdir(HERE)  # so that the commands are those of a checkout, wherever it lies
    study = yaml.safe_load((HERE / "benchmarks" / "studies" / f"{args.study}.yaml").read_text())
    places = {name: Path(folder) for name, _, folder in (each.partition("=") for each in args.data)}
    index = listed(study["data"], places, args.work / "data")
    results = Results(args.json or HERE / "results" / f"{args.study}.json")
    runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
    most = max(len(row_seeds(study, name)) for name in study["rows"])
    for place in range(most):  # a first seed of every row before the second of any
        for name in args.rows or study["rows"]:
            for seed in row_seeds(study, name)[place : place + 1]:
                if not args.seeds or seed in args.seeds:
                    runs.put(Run(study, name, seed, index, args.work))
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    workers = [threading.Thread(target=work, args=(runs, results, threads)) for _ in range(args.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(results.failed)


def row_seeds(study: Options, name: str) -> list[int]:
    """The seeds of a row: its own, else the study's."""
    own = (study["rows"][name] or {}).get("seeds")
    return list(own or study["seeds"])


class Run:
    """One network: its pretraining, if any, and what is measured of it.

    Args:
        study: what is compared.
        name: of the row.
        seed: of all its commands.
        index: the videos.
        work: folder of all runs: a network that is in several studies is pretrained once.
    """

    def __init__(self, study: Options, name: str, seed: int, index: Path, work: Path) -> None:
        self.name, self.seed, self.is_fresh = name, seed, study["rows"][name] is None
        row = {key: value for key, value in (study["rows"][name] or {}).items() if key != "seeds"}
        common = {"data.index": str(index), "run.seed": seed}
        self.options = common | study["pretrain"] | row
        # What shapes a clip or the network holds for the measures as well.
        shared = {key: value for key, value in self.options.items() if key.split(".")[0] in ("clips", "encoder")}
        self.stages, self.measures = {}, dict[str, Options]()
        for measure, options in study["measures"].items():
            self.stages[measure] = options["stage"]
            asked = common | shared | {key: value for key, value in options.items() if key not in ("stage", "videos")}
            if options.get("videos") == "all":
                asked["data.index"] = str(index.with_suffix(".all.jsonl"))
            if self.is_fresh and "protocol" in asked:  # it has learnt no task
                asked["protocol"] = ",".join(each for each in asked["protocol"].split(",") if each != "pretext")
            if not self.is_fresh and "pretext" not in asked.get("protocol", "pretext"):  # nothing is drawn
                del asked["run.seed"]
            self.measures[measure] = asked
        trained = [study["data"], None if self.is_fresh else self.options]
        self.folder = work / f"{re.sub('[^a-z0-9.]+', '_', name.lower())}-{seed}-{digest(trained)}"
        self.sha = digest([trained, self.measures])

    def commands(self) -> list[tuple[str, list[str]]]:
        """What each command is called, and its words; the last one is the folder of its run."""
        weights = "none" if self.is_fresh else str(self.folder / "pretrain")
        found = [] if self.is_fresh else [("pretrain", [*words("pretrain", self.options), "--run_dir", weights])]
        for name, options in self.measures.items():
            folder = self.folder / f"{re.sub('[^a-z0-9.]+', '_', name)}-{digest(options)}"
            found.append((name, words(self.stages[name], options | {"weights": weights, "run_dir": folder})))
        return found


def digest(options: object) -> str:
    """What tells options apart, in eight characters."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]


class Results:
    """The results of a study, in a file that holds what is done so far.

    Args:
        path: of it.

    Attributes:
        failed: 1 where a command failed.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.failed, self._lock = path, 0, threading.Lock()

    def add(self, run: Run) -> None:
        """Put a finished run's numbers in, in place of those of the same row and seed."""
        row = {"row": run.name, "seed": run.seed, "sha": run.sha} | measured(run)
        with self._lock:
            found = self._read()
            labels, shared = row.pop("labels"), row.pop("shared")
            for video in sorted(labels.keys() - set(found["videos"])):
                found["videos"].append(video)
                found["labels"] += letter(found["classes"], labels[video])
                found["shared"] += "+" if video in shared else UNTESTED
            row["said"] = {
                name: "".join(
                    letter(found["classes"], said[video]) if video in said else UNTESTED for video in found["videos"]
                )
                for name, said in row["said"].items()
            }
            others = [other for other in found["runs"] if (other["row"], other["seed"]) != (run.name, run.seed)]
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(found | {"runs": [*others, row]}, indent=1) + "\n")
            os.replace(partial, self.path)

    def has(self, run: Run) -> bool:
        """Whether a run is done."""
        known = {(other["row"], other["seed"], other["sha"]) for other in self._read()["runs"]}
        return (run.name, run.seed, run.sha) in known

    def _read(self) -> Options:
        if self.path.exists():
            return json.loads(self.path.read_text())
        return {"classes": [], "videos": [], "labels": "", "shared": "", "runs": []}


def letter(classes: list[str], name: str | None) -> str:
    """A class in one character, by its place in a list that grows; none is "?"."""
    if name is None:
        return "?"
    if name not in classes:
        classes.append(name)
    return string.ascii_letters[classes.index(name)]


def work(runs: "queue.SimpleQueue[Run]", results: Results, threads: int) -> None:
    """Do one run after the other, until there are none."""
    while True:
        try:
            run = runs.get_nowait()
        except queue.Empty:
            return
        if results.has(run):
            continue
        try:
            for _, command in run.commands():
                call(command, threads)
        except subprocess.CalledProcessError as error:
            print(f"{run.name}, seed {run.seed}: failed with status {error.returncode}", file=sys.stderr)
            results.failed = 1
            continue
        results.add(run)


def words(stage: str, options: Options) -> list[str]:
    """A command of a stage."""
    command = [f"stages/{stage}.py"]
    for name, value in options.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value, default=str).strip('"')]
    return command


def call(command: list[str], threads: int) -> None:
    """Run a command, shown first, on so many cores."""
    print(f"$ python {shlex.join(command)}", file=sys.stderr, flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    subprocess.run([sys.executable, *command], cwd=HERE, stdout=subprocess.DEVNULL, env=environment, check=True)


def measured(run: Run) -> Options:
    """What the finished commands of a run say."""
    found: Options = {"commands": [shlex.join(["python", *command]) for _, command in run.commands()]}
    found |= {"device_hours": 0.0, "measures": {}, "said": {}, "labels": {}, "shared": set()}
    for name, command in run.commands():
        record = Record.read(Path(command[-1]))
        if record.result is None:
            raise SystemExit(f"{command[-1]}: has no result.json; remove it and call again")
        result = record.result
        found["device_hours"] += result.get("device_hours", 0.0)
        found |= {key: result[key] for key in ("data_fingerprint", "precision", "device") if key in result}
        found |= {key: record.environment[key] for key in ENVIRONMENT if key in record.environment}
        for protocol, score in {"training": result}.items() if name == "pretrain" else record.scores.items():
            key = name if protocol in ("classify", "training") else protocol
            found["measures"][key] = {number: score[number] for number in NUMBERS if number in score}
            lines = record.neighbours if protocol == "retrieval" else record.predictions.get(protocol, [])
            if lines:
                found["shared"] |= in_both(record)
                found["labels"] |= {line["video"]: line["label"] for line in lines}
                # Among each other, videos are not looked for in their own film; among training videos they are.
                among_each_other = score.get("num_gallery") == score.get("num_queries")
                found["said"][key] = {line["video"]: first(line, among_each_other) for line in lines}
    found["device_hours"] = round(found["device_hours"], 4)
    return found


def in_both(record: Record) -> set[str]:
    """The test videos of a run that come from a film of which there are training videos, too, of another class."""
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


def first(line: Options, of_another_film: bool) -> str | None:
    """The class that is said of a video: a classifier's first, or that of the nearest neighbour."""
    if "predicted" in line:
        return line["predicted"][0]
    near, film = line["neighbours"], film_of(line["video"], line["label"])
    if of_another_film and film is not None:
        near = [each for each in near if film_of(each["video"], each["label"]) != film]
    return near[0]["label"] if near else None


def listed(data: Options, places: dict[str, Path], work: Path) -> Path:
    """Make small copies of the videos, once, and the list that a study is of."""
    index = work / f"{data['name']}_{data['short_side']}_{data['split']}.jsonl"
    if index.exists():
        return index
    copied = work / f"{data['name']}_{data['short_side']}.jsonl"
    found, folder = work / f"{data['name']}.jsonl", work / f"{data['name']}_{data['short_side']}"
    work.mkdir(parents=True, exist_ok=True)
    if not copied.exists():
        if not places.get(data["name"], Path()).name:
            sys.exit(f"study.py: {data['name']} is needed; name its folder: --data {data['name']}=FOLDER")
        call(["stages/verify.py", str(places[data["name"]]), "--depth", "decode", "--out", str(found)], 1)
        size = ["--short_side", str(data["short_side"]), "--out", str(copied)]
        call(["stages/transcode.py", str(found), str(folder), *size], 1)
    rows = [json.loads(line) for line in copied.read_text().splitlines()]
    if data["split"] == "inner":
        rows = inner(rows)
    write(index.with_suffix(".all.jsonl"), [row | {"split": None, "folds": None} for row in rows])
    for name in data.get("and_unlabelled", []):
        more = listed({"name": name, "short_side": data["short_side"], "split": "official"}, places, work)
        others = [json.loads(line) for line in more.read_text().splitlines()]
        rows += [row | {"label": None, "split": "train", "folds": None} for row in others]
    write(index, rows)
    return index


def write(path: Path, rows: list[Options]) -> None:
    """Write an index, all of it or nothing."""
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.replace(partial, path)


def inner(rows: list[Options]) -> list[Options]:
    """The training videos of the first fold; those of some of their films are tested."""
    rows = [row for row in rows if (row["folds"] or [row["split"]])[0] == "train"]
    films = sorted({str(film_of(row["video"], row["label"]) or row["video"]) for row in rows})
    held_out = set(random.Random(0).sample(films, round(HELD_OUT * len(films))))
    for row in rows:
        is_held_out = str(film_of(row["video"], row["label"]) or row["video"]) in held_out
        row |= {"split": "test" if is_held_out else "train", "folds": None}
    return rows


if __name__ == "__main__":
    main()
