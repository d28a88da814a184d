"""Run a study: networks that differ in a choice each, pretrained and measured by the stages.

    python benchmarks/study.py small_data --data jhmdb=/data/jhmdb [--jobs 2] [--rows base ...] [--seeds 1 2 3]

benchmarks/studies/NAME.yaml says what is compared: `pretrain`, the options that all have in common, `rows`, those in
which each differs (null: fresh weights), and `measures`, what is measured of each. Every run is a command of a stage,
shown as you would type it, in a folder of its own below --work: what is there already is not done again, what was
stopped goes on from its checkpoint, and a row whose options were changed is run anew beside the old one. As each run
ends its numbers, what they took, and the class that was said of every test video (a letter each) go into
results/NAME.json; what is in that file is not done again either, until it is removed. benchmarks/report.py makes the
tables of the documentation of it.

`data` says of which videos: by name, with `split: official`, or `split: inner`: the official training videos alone, of
which three tenths of the films are tested, so that no choice is made on the official test videos. A row's
`and_unlabelled` names data sets that it is pretrained on beside them, its `only` says of how many training videos of
the data set, drawn at random. A measure is of the data set alone: as it is
split; with `videos: all` without a split, where each video looks for its class among those of other films; with
`videos: folds` of all of its videos as well, in four commands, each of which tests another quarter of the films.
"""

import argparse
import os
import queue
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import yaml
from study_results import Results
from study_run import Run, chosen
from study_videos import listed

HERE = Path(__file__).resolve().parents[1]
STUDIES = HERE / "benchmarks" / "studies"
STOPPED = (130, 143, -2, -15)
"""What a command ends with that was asked to."""


def main() -> None:
    """Run what is asked for and not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(path.stem for path in STUDIES.glob("*.yaml")))
    parser.add_argument("--data", nargs="+", default=[], metavar="NAME=FOLDER", help="where each data set lies")
    parser.add_argument("--work", type=Path, default=Path("runs", "studies"), help="folder of all runs")
    parser.add_argument("--jobs", type=int, choices=range(1, 65), metavar="N", default=1, help="runs at a time")
    parser.add_argument("--rows", nargs="+", help="these alone")
    parser.add_argument("--seeds", nargs="+", type=int, help="these alone")
    parser.add_argument("--json", type=Path, help="file of results (default: results/STUDY.json)")
    args = parser.parse_args()
    study = yaml.safe_load((STUDIES / f"{args.study}.yaml").read_text())
    if unknown := [name for name in args.rows or () if name not in study["rows"]]:
        parser.error(f"--rows: no {unknown[0]!r} in {args.study}, which has {', '.join(study['rows'])}")
    if unknown := [seed for seed in args.seeds or () if seed not in study["seeds"]]:
        parser.error(f"--seeds: no {unknown[0]} in {args.study}, which has {', '.join(map(str, study['seeds']))}")
    places = {
        name: Path(folder).absolute() for name, _, folder in (each.partition("=") for each in args.data) if folder
    }
    file = (args.json or HERE / "results" / f"{args.study}.json").absolute()
    os.chdir(HERE)  # so that the commands are those of a checkout, wherever it lies
    commands = Commands(max(1, (os.cpu_count() or 1) // args.jobs))
    with Results(file, study) as results:
        indexes = {
            name: listed(study["data"], more, places, args.work / "data", only=only, call=commands.call)
            for name, (more, only) in chosen(study).items()
            if name in (args.rows or study["rows"])
        }
        asked = [
            Run(study, name, seed, indexes[name], args.work)
            for seed in study["seeds"]  # a first seed of every row before the second of any
            for name in study["rows"]
            if seed in (args.seeds or study["seeds"]) and name in (args.rows or study["rows"])
        ]
        left = [run for run in asked if not results.has(run)]
        if len(left) < len(asked):
            print(
                f"{len(asked) - len(left)} of {len(asked)} runs are in {file}: remove it to run them again",
                file=sys.stderr,
            )
        sys.exit(commands.work(left, results, args.jobs))


class Commands:
    """Runs the commands of stages, several at a time.

    Args:
        threads: cores of each.
    """

    def __init__(self, threads: int) -> None:
        self._threads, self._stopped, self._status = threads, threading.Event(), 0

    def work(self, left: list[Run], results: Results, jobs: int) -> int:
        """Do runs, and return the exit status: 1 where one failed, 130 after an interruption."""
        runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
        for run in left:
            runs.put(run)
        workers = [threading.Thread(target=self._one_by_one, args=(runs, results)) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                try:
                    worker.join()
                except KeyboardInterrupt:  # the commands have it as well, and end in order
                    self._stopped.set()
        return 130 if self._stopped.is_set() else self._status

    def call(self, command: list[str]) -> None:
        """Run a command, shown first.

        Raises:
            CalledProcessError: it failed.
        """
        print(f"$ python {shlex.join(command)}", file=sys.stderr, flush=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(self._threads), "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([sys.executable, *command], cwd=HERE, stdout=subprocess.DEVNULL, env=environment, check=True)

    def _one_by_one(self, runs: "queue.SimpleQueue[Run]", results: Results) -> None:
        """Do one run after the other, until there are none."""
        while not self._stopped.is_set() and not runs.empty():
            try:
                run = runs.get_nowait()
            except queue.Empty:
                return
            try:
                for _, command in run.commands():
                    if not self._stopped.is_set() and not Path(command[-1], "result.json").exists():
                        self.call(command)
                if not self._stopped.is_set():
                    results.add(run)
            except subprocess.CalledProcessError as error:
                if error.returncode in STOPPED:
                    self._stopped.set()
                    return
                self._fail(run, f"a command ended with status {error.returncode}")
            except Exception as error:  # of one run: the others are done, and the exit status tells
                self._fail(run, f"{type(error).__name__}: {error}")

    def _fail(self, run: Run, why: str) -> None:
        print(f"study.py: {run.name}, seed {run.seed}: {why}", file=sys.stderr)
        self._status = 1


if __name__ == "__main__":
    main()
