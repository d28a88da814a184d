"""The folder of a run: who may write to it, what is recorded at the start, and the result at the end."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rspnet.cli.config import dump
from rspnet.console import is_main, say
from rspnet.disk import make_folder, sha256, write_json, write_text, writing_to
from rspnet.errors import CheckpointError, ConfigError, LostError, RSPNetError
from rspnet.running import sources
from rspnet.running.checkpoints import latest
from rspnet.running.environment import environment
from rspnet.running.launch import check_accumulation, processes
from rspnet.running.place import Place, held, unmake
from rspnet.running.record import FREE, FREE_IN_PRETRAINING, flat, read_options, stage_of
from rspnet.running.results import rounded, summary
from rspnet.running.soundness import check_kinds, clear, seal, sound_result
from rspnet.running.sources import START_AGAIN, other_run
from rspnet.running.team import Team
from rspnet.running.telling import closing
from rspnet.stdout import print_json
from rspnet.temporary import sweep
from rspnet.weights.description import named_weights

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from accelerate import Accelerator

    from rspnet.running.trackers import Trackers
    from rspnet.weights.read import WeightFile

Config = TypeVar("Config", bound="DataclassInstance")

# Options that name files: the files are compared, not their names; see rspnet/running/sources.py.
_NAMES = ("data.root", "data.index", "data.layout", "weights", "features")


@dataclass
class Run:
    """A run in progress: its folder, its processes, and what its result depends on.

    Args:
        accelerator: see below.
        team: see below.
        facts: see below; has ``data_fingerprint`` only if the run continues an earlier one.
        run_dir: the run's folder.
        config: the resolved options.
        place: the run's folder at the start, to notice if it is removed or renamed; None but in the main process.

    Attributes:
        accelerator: accelerate's `Accelerator`.
        team: the processes of the run.
        facts: what the result depends on besides the options, and states: ``weights_sha256`` (None: fresh weights),
            ``data_fingerprint``, ``fold``, ``seed``, ``precision``, ``processes``, ``device``.
        trackers: where its curves go; None until it trains.
    """

    accelerator: "Accelerator"
    team: Team
    facts: dict[str, Any]
    run_dir: Path
    config: dict[str, Any]
    place: Place | None = None
    trackers: "Trackers | None" = None

    @cached_property
    def newest(self) -> tuple[Path, int] | None:
        """The checkpoint that the run resumes from, as (folder, step); None for a new run. All processes must ask."""
        from rspnet.running.keeper import state_fault  # which loads torch

        return self.team.by_main(lambda: latest(self.run_dir, state_fault))

    def keep_videos(self) -> Path:
        """Write a new run's index and environment.json; all processes call it, and wait for the main process.

        This is done late because listing a large folder takes minutes: mistakes in the options are found before.

        Returns:
            Path of the run's own index.

        Raises:
            ConfigError: the videos are not usable, or a process does not see the run's folder.
        """
        from rspnet.data.fetched import bound

        path = self.run_dir / "index.parquet"
        bound(self.config["data"]["cache_gb"])

        def keep() -> str:
            fingerprint = sources.keep_videos(path, self.config)
            facts = self.facts | {"data_fingerprint": fingerprint}
            write_json(self.run_dir / "environment.json", environment() | {"sources": facts})
            return fingerprint

        if "data_fingerprint" not in self.facts:
            self.facts["data_fingerprint"] = self.team.by_main(keep)
        shared = "the main process has it, but this one cannot see it; put --run_dir on a disk that all processes share"
        self.team.check(None if path.is_file() else ConfigError(f"{path}: {shared}"))
        return path

    def read_weights(self) -> "WeightFile | None":
        """Return the weights that the run begins with; None if they are fresh, or it resumes from its own checkpoint.

        Raises:
            CheckpointError: they cannot be used, or have changed since the run recorded their SHA-256.
        """
        from rspnet.weights.read import read_weights

        if (named := named_weights(self.config["weights"])) is None or self.newest is not None:
            return None
        weights = read_weights(named)
        if sha256(weights.path) != self.facts["weights_sha256"]:
            raise CheckpointError(f"{weights.path}: was replaced while this run began; give the same command again")
        return weights

    def check_there(self) -> None:
        """Check that the run's folder is still there before more is written, which would create it again.

        All processes must call it.

        Raises:
            LostError: it was removed or renamed.
        """
        self.team.by_main(self._check_place)

    def _check_place(self) -> None:
        if self.place:
            self.place.check()

    def write_lines(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Write a .jsonl file of the run, one object per line; main process only."""
        if is_main():
            self._check_place()
            write_text(self.run_dir / name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def run_once(
    run_dir: str | Path,
    config: Config,
    work: Callable[[Config, Run], dict[str, Any]],
    *,
    start: Callable[[], "Accelerator"],
    report: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Do a run's work unless it is done, print its result (on stdout as one line of JSON), and return it.

    A finished or interrupted run in the folder is taken for this one if its options, its initial weights, its videos
    and its precision are the same. The number of processes and the device may differ: they change numbers by rounding
    alone, except that in fine-tuning each process's share of a step has its own batch statistics.

    Args:
        run_dir: the run's folder; see `open_run`.
        config: the resolved options.
        work: does the work, and returns the result, which is rounded and written to result.json.
        start: makes the accelerator, see `processes`.
        report: writes a report to the folder of a finished run, and never fails; None: there is none.

    Raises:
        ConfigError: the folder is another run's, or in use; or the videos are not there; or accelerate's settings
            are not supported.
        LostError: the folder was removed or renamed while the run worked.
    """
    check_accumulation()
    place, options, precision = Path(run_dir), dataclasses.asdict(config), sources.precision()
    team, accelerator_of = processes(start)
    with contextlib.ExitStack() as stack:

        def claim() -> tuple[Path, str | None, dict[str, Any] | None, dict[str, Any]]:
            named = sources.settle(place, options, begun=(begun := _has_begun(place)))
            options.update(dataclasses.asdict(told := _with_weights(config, named)))
            if not begun:
                sources.check_named(options)
            begun = stack.enter_context(open_run(place, options, dump(told)))
            result = sound_result(place, options) if begun else None
            if begun:
                return place, named, result, sources.compare(place, options, precision, result=result)
            return place, named, None, sources.begin(place, options, precision)

        place, named, result, facts = team.by_main(claim)  # once: another run's newest checkpoint may move meanwhile
        config = _with_weights(config, named)
        options = dataclasses.asdict(config)
        if result is not None:
            say(f"{place}: this was done before; remove the folder to do it again")
            result |= {name: now for name, now in _names(place, options).items() if name in result}
        else:
            accelerator = accelerator_of()
            facts |= {"processes": accelerator.num_processes, "device": accelerator.device.type}
            here = stack.enter_context(Place(place)) if is_main() else None
            run = Run(accelerator, team, facts, place, options, here)
            result = rounded(work(config, run))
            run.check_there()
            if is_main():
                write_json(place / "result.json", result)
                seal(place)
            run.check_there()
            if options["run"].get("trackers"):
                from rspnet.running import tracked  # loads what draws pictures

                tracked.finish(run, result)
            accelerator.end_training()
            if is_main() and report is not None:
                report(place)
    if is_main():
        say(*summary(result).splitlines(), *closing(options, place))
        say(f"written to {place}")
        print_json(result)
    return result


def _with_weights(config: Config, named: str | None) -> Config:
    """Return the config with another name for its weights; the config itself if the name is the same."""
    return config if getattr(config, "weights", None) == named else dataclasses.replace(config, weights=named)


@contextlib.contextmanager
def open_run(run_dir: Path, config: dict[str, Any], config_yaml: str) -> Iterator[bool]:
    """Lock the run folder: a new one gets `config.yaml`, an existing one must have these options. Main process only.

    A run that ended before its first checkpoint, because of a mistake in its options or data for example, left nothing
    to protect: it starts over with the current options and videos. The folder of such a run is recognised by its lock
    file, which no other folder has: a config.yaml or an index that somebody else put there is not replaced. A folder
    that was created for a command which is then refused is removed again.

    Yields:
        Whether the run has begun before.

    Raises:
        ConfigError: another live process writes to it, it holds a run with other options or other files, or it cannot
            be created.
        CheckpointError: its contents are not those of a run.
        DiskError: its disk is full, or read-only.
    """
    made = list(takewhile(lambda folder: not os.path.lexists(folder), (run_dir, *run_dir.parents)))  # innermost first
    make_folder(run_dir, "choose another --run_dir")
    path, lock = run_dir / "config.yaml", run_dir / ".lock"
    with writing_to(run_dir):
        empty = all(entry.name.startswith(".") for entry in run_dir.iterdir())
    if _has_begun(run_dir) and not path.exists():
        raise CheckpointError(f"{path}: is missing (it holds the run's options); copy it again, or {START_AGAIN}")
    if not empty and not (path.exists() and (lock.exists() or _has_begun(run_dir))):
        raise ConfigError(f"{run_dir}: is not empty, and not a run folder; choose another --run_dir")
    try:
        check_kinds(run_dir)
        with held(run_dir, lock):
            sweep(run_dir)
            begun = _has_begun(run_dir)
            if not begun:
                clear(run_dir)
                write_text(path, config_yaml)
            elif other := _difference(path, config):
                raise other_run(run_dir, other)
            yield begun
    except LostError:  # the folder of this name is now another
        raise
    except RSPNetError:
        unmake(run_dir, made)
        raise


def _names(run_dir: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return the paths in a result that may have changed since: a copied folder, weights that were moved."""
    names = {"run_dir": str(run_dir), "weights": options.get("weights")}
    return {name: now for name, now in names.items() if now is not None}


def _has_begun(run_dir: Path) -> bool:
    """Whether the folder holds checkpoints or a result, which must not be lost."""
    return any((run_dir / name).exists() for name in ("checkpoints", "result.json"))


def _difference(path: Path, config: dict[str, Any]) -> str | None:
    """Return the first option that differs from when the run began and changes what it computes, None if none does."""
    before, now = flat(read_options(path, START_AGAIN)), flat(config)
    if (stage := stage_of(before)) != stage_of(now):  # not "remove it": --weights may name it
        if stage is None:
            raise CheckpointError(f"{path}: does not tell the run's options (only some); {START_AGAIN}")
        raise ConfigError(f"{path.parent}: holds another kind of run ({stage}); choose another --run_dir")
    free = (*_NAMES, *(FREE_IN_PRETRAINING if stage == "pretrain" else FREE))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and name not in free:
            return f"{name}={before.get(name)}, not {now.get(name)}"
    return None
