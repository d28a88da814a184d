"""Run a study: networks that differ in one choice each, pretrained and measured by the stages.

    python benchmarks/study.py small_data --data jhmdb=/data/jhmdb [--jobs 2] [--rows base ...] [--seeds 1 2 3]

benchmarks/studies/NAME.yaml defines the study: `pretrain`, the options that all networks have in common, `rows`, the
options in which each differs (null: fresh weights), and `measures`, what is measured of each. Every run is a command of
a stage, shown as you would type it, in its own folder below --work. Finished runs are skipped, stopped ones are resumed
from their checkpoint, and a row whose options have changed is run anew beside the old one. When a run ends, its
numbers, their cost, and the predicted class of every test video (a letter each) are written to results/NAME.json; runs
in that file are skipped, too, until it is removed. benchmarks/report.py makes the documentation's tables from it.

`data` names the data set and its split: `split: official`, or `split: inner`, the official training videos alone, of
which three tenths of the films are tested, so that no choice is made on the official test videos. A row's
`and_unlabelled` names data sets that it is pretrained on as well; its `only` is the number of the data set's training
videos that it is pretrained on, drawn at random. Measures use the data set alone: by default with its split; with
`videos: all` without a split, so that each video looks for its class among those of other films; with `videos: folds`
all of its videos, too, in four commands, each of which tests another quarter of the films.
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
"""Exit statuses of a command that was asked to end."""


def main() -> None:
    """Run the requested runs that are not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(path.stem for path in STUDIES.glob("*.yaml")))
    parser.add_argument("--data", nargs="+", default=[], metavar="NAME=FOLDER", help="folder of each data set")
    parser.add_argument("--work", type=Path, default=Path("runs", "studies"), help="folder of all runs")
    parser.add_argument("--jobs", type=int, choices=range(1, 65), metavar="N", default=1, help="runs at a time")
    parser.add_argument("--rows", nargs="+", help="run only these rows")
    parser.add_argument("--seeds", nargs="+", type=int, help="run only these seeds")
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
    os.chdir(HERE)  # so that the commands have the same relative paths in any checkout
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
        threads: number of threads of each command.
    """

    def __init__(self, threads: int) -> None:
        self._threads, self._stopped, self._status = threads, threading.Event(), 0

    def work(self, left: list[Run], results: Results, jobs: int) -> int:
        """Do runs, and return the exit status: 1 if one failed, 130 after an interruption."""
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
                except KeyboardInterrupt:  # the commands receive it, too, and end properly
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
        """Do one run after the other, until none are left."""
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
            except Exception as error:  # one run has failed: the others go on, and the exit status reports it
                self._fail(run, f"{type(error).__name__}: {error}")

    def _fail(self, run: Run, why: str) -> None:
        print(f"study.py: {run.name}, seed {run.seed}: {why}", file=sys.stderr)
        self._status = 1


if __name__ == "__main__":
    main()
